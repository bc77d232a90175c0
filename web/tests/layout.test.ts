import { describe, expect, it } from 'vitest';
import type { Size } from '../src/state/geometry';
import { EMPTY_LAYOUT, keepUnchanged, layout, type LayoutInput, type Tile } from '../src/state/layout';
import { fit, gridRatios } from '../src/state/layout-grid';
import { clampInside, cornerByKey, CORNERS, nearestCorner, nextCorner, ownView } from '../src/state/own-view';

const DESKTOP = { width: 1416, height: 752 };
const PHONE = { width: 378, height: 696 };
const ACROSS = { width: 668, height: 363 };

function people(others: number, speaking: string[] = []) {
  return [...Array.from({ length: others }, (_, i) => `p${i}`), 'me'].map((identity) => ({
    identity,
    isLocal: identity === 'me',
    speaking: speaking.includes(identity),
    spokeAt: 0,
    weak: false,
    videoPaused: false,
    screenPaused: false,
  }));
}

function laidOut(others: number, size: Size, change: Partial<LayoutInput> = {}) {
  return layout({
    people: people(others),
    shares: [],
    pinned: null,
    view: 'equal',
    speaker: null,
    own: { corner: 'bottom-right', hidden: false },
    size,
    phone: size !== DESKTOP,
    page: 0,
    ratio: 16 / 9,
    before: [],
    ...change,
  });
}

const ids = (tiles: readonly Tile[]) => tiles.map(({ identity }) => identity);
const own = (tiles: readonly Tile[]) => tiles.find(({ identity }) => identity === 'me');

describe('equal tiles', () => {
  const best = (n: number) => fit(n, DESKTOP, 8, gridRatios(DESKTOP));

  it('stand two by two for 4 people and three by three for 9 on a desktop', () => {
    expect(best(4)).toMatchObject({ columns: 2, rows: 2 });
    expect(best(9)).toMatchObject({ columns: 3, rows: 3 });
  });

  it('avoid a last row that is at most half full when the loss is small', () => {
    // 10 people: four columns would give slightly larger tiles, but leave two of four in the last row.
    expect(best(10)).toMatchObject({ columns: 5, rows: 2 });
    expect(best(3)).toMatchObject({ columns: 3, rows: 1 });
  });

  it('have the last row in the middle, and oneself last', () => {
    const { tiles } = laidOut(4, DESKTOP);
    const last = tiles.slice(3).map(({ rect }) => rect);
    const left = Math.min(...last.map(({ x }) => x));
    const right = Math.max(...last.map(({ x, width }) => x + width));
    expect(left).toBeCloseTo(DESKTOP.width - right, 3);
    expect(ids(tiles).at(-1)).toBe('me');
  });

  it('widen in the last row in portrait, as far as the ratio allows', () => {
    const { tiles } = laidOut(4, PHONE);
    const [first, last] = [tiles[0]?.rect, tiles[4]?.rect];
    expect(last && first && last.width > first.width * 1.5).toBe(true);
    expect(last && last.width / last.height).toBeLessThan(1.901);
  });

  it('are 25 on a page, on a phone 8, with controls to turn them', () => {
    expect(laidOut(24, DESKTOP).pages).toBeNull();
    expect(laidOut(25, DESKTOP).pages).toMatchObject({ page: 0, count: 2 });
    expect(laidOut(7, PHONE).pages).toBeNull();
    expect(laidOut(8, PHONE).pages).toMatchObject({ page: 0, count: 2, upright: false });
    expect(laidOut(8, ACROSS).pages).toMatchObject({ upright: true });
    expect(ids(laidOut(25, DESKTOP, { page: 1 }).tiles)).toEqual(['me']);
  });

  it('say that they stand otherwise where the page controls make an upright window broad', () => {
    const stand = (height: number) =>
      laidOut(30, { width: 200, height }, { phone: false, page: 1 }).arrangement;
    expect(stand(252)).not.toBe(stand(253));
  });

  it('go back to the last page there is', () => {
    expect(laidOut(25, DESKTOP, { page: 7 }).pages).toMatchObject({ page: 1 });
    expect(laidOut(25, DESKTOP, { page: -1 }).pages).toMatchObject({ page: 0 });
  });

  it('leave one’s own out where it is hidden', () => {
    expect(ids(laidOut(3, DESKTOP, { own: { corner: 'top-left', hidden: true } }).tiles)).toEqual([
      'p0',
      'p1',
      'p2',
    ]);
  });

  it('are none on a stage without size', () => {
    expect(laidOut(4, { width: 0, height: 0 })).toBe(EMPTY_LAYOUT);
  });
});

describe('two people', () => {
  it('are the other one large and oneself at the bottom right', () => {
    const { tiles } = laidOut(1, DESKTOP);
    expect(tiles[0]?.rect.width).toBeCloseTo(DESKTOP.width, 0);
    expect(tiles[1]).toMatchObject({ identity: 'me', place: 'floating', rect: { width: 256, height: 144 } });
  });

  it('are oneself upright on a phone', () => {
    const self = ownView(PHONE, 'bottom-right');
    expect(self.width).toBeCloseTo(PHONE.width * 0.28, 3);
    expect(self.height / self.width).toBeCloseTo(4 / 3, 3);
  });

  it('are only the other one where one’s own picture is hidden', () => {
    expect(ids(laidOut(1, DESKTOP, { own: { corner: 'top-left', hidden: true } }).tiles)).toEqual(['p0']);
  });

  it('stay as they are when one is pinned or the speaker is wished large', () => {
    const usual = laidOut(1, DESKTOP);
    expect(laidOut(1, DESKTOP, { pinned: { identity: 'p0', source: 'camera' } })).toEqual(usual);
    expect(laidOut(1, DESKTOP, { view: 'speaker', speaker: 'p0' })).toEqual(usual);
  });
});

describe('one’s own floating picture', () => {
  it('lies in its corner, above the other’s name at the bottom left', () => {
    const at = (corner: (typeof CORNERS)[number]) => ownView(DESKTOP, corner);
    expect(at('top-left')).toMatchObject({ x: 14, y: 14 });
    expect(at('bottom-right')).toMatchObject({ x: 1416 - 256 - 14, y: 752 - 144 - 14 });
    expect(at('bottom-left').y + 144).toBe(752 - 46);
    for (const corner of CORNERS) expect(nearestCorner(at(corner), DESKTOP)).toBe(corner);
  });

  it('keeps the corner beside the invitation while one is alone', () => {
    const { tiles } = laidOut(0, DESKTOP, { own: { corner: 'top-left', hidden: false } });
    expect(tiles.map(({ rect }) => rect)).toEqual([ownView(DESKTOP, 'bottom-right')]);
  });

  it('goes to a corner by arrow keys, and through all by one button', () => {
    expect(cornerByKey('bottom-right', 'ArrowUp')).toBe('top-right');
    expect(cornerByKey('bottom-right', 'ArrowRight')).toBe('bottom-right');
    expect(cornerByKey('top-right', 'ArrowLeft')).toBe('top-left');
    expect(cornerByKey('top-left', 'ArrowDown')).toBe('bottom-left');
    expect(cornerByKey('top-left', 'Enter')).toBeNull();
    const seen = new Set<string>();
    for (let corner = nextCorner('top-left'); !seen.has(corner); corner = nextCorner(corner))
      seen.add(corner);
    expect([...seen].sort()).toEqual([...CORNERS].sort());
  });

  it('is not dragged off the stage', () => {
    expect(clampInside({ x: -50, y: 9999, width: 256, height: 144 }, DESKTOP)).toMatchObject({
      x: 0,
      y: 752 - 144,
    });
  });
});

describe('a shared screen', () => {
  const shared = (others: number, size: Size, change: Partial<LayoutInput> = {}) => {
    const { tiles, more } = laidOut(others, size, { shares: ['p0'], ...change });
    const [large, ...strip] = tiles;
    if (!large) throw new Error('nothing is large');
    return { large, strip, more };
  };

  it('has the strip at the side where the stage is wide', () => {
    const { large, strip } = shared(5, DESKTOP);
    expect(large).toMatchObject({ identity: 'p0', source: 'screen_share', place: 'large' });
    expect(strip.every(({ rect }) => rect.x >= large.rect.x + large.rect.width)).toBe(true);
    expect(strip[0]?.rect).toMatchObject({ width: 208, height: 117 });
    expect(ids(strip)).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'me']);
  });

  it('has the strip on top where the stage is narrow', () => {
    const stage = { width: 1044, height: 752 };
    const { large, strip } = shared(5, stage);
    expect(strip.every(({ rect }) => rect.y + rect.height <= large.rect.y)).toBe(true);
    expect(strip[0]?.rect).toMatchObject({ width: 160, height: 90 });
    expect(large.rect.width).toBe(stage.width);
  });

  it('has more people above it where it leaves room, as upright on a phone', () => {
    const { large, strip } = shared(4, PHONE);
    expect(strip).toHaveLength(5);
    expect(new Set(strip.map(({ rect }) => rect.y)).size).toBe(3);
    expect(large.rect.width).toBe(PHONE.width);
  });

  it('leaves two places beside it on the smallest stage: for the others and for oneself', () => {
    const { strip, more } = shared(5, { width: 200, height: 150 }, { phone: true });
    expect(ids(strip)).toEqual(['me']);
    expect(more?.count).toBe(5);
  });

  it('is the newest; older ones stand first in the strip', () => {
    const { large, strip } = shared(3, DESKTOP, { shares: ['p2', 'p0'] });
    expect(large.identity).toBe('p0');
    expect(strip[0]).toMatchObject({ identity: 'p2', source: 'screen_share' });
    expect(ids(strip.slice(1))).toEqual(['p0', 'p1', 'p2', 'me']);
  });

  it('gives way to what is pinned', () => {
    const older = shared(3, DESKTOP, {
      shares: ['p2', 'p0'],
      pinned: { identity: 'p2', source: 'screen_share' },
    });
    expect(older.large).toMatchObject({ identity: 'p2', source: 'screen_share' });
    const person = shared(3, DESKTOP, { pinned: { identity: 'p1', source: 'camera' } });
    expect(person.large).toMatchObject({ identity: 'p1', source: 'camera' });
    expect(person.strip[0]).toMatchObject({ identity: 'p0', source: 'screen_share' });
    expect(ids(person.strip.slice(1))).toEqual(['p0', 'p2', 'me']);
  });
});

describe('somebody large', () => {
  it('is pinned, and the others are in the strip', () => {
    const { tiles } = laidOut(4, DESKTOP, { pinned: { identity: 'p2', source: 'camera' } });
    expect(tiles[0]).toMatchObject({ identity: 'p2', place: 'large' });
    expect(ids(tiles.slice(1))).toEqual(['p0', 'p1', 'p3', 'me']);
  });

  it('is who speaks where that is wished, at first the first one, never oneself', () => {
    const large = (speaker: string | null) => laidOut(3, DESKTOP, { view: 'speaker', speaker }).tiles[0];
    expect(large('p1')).toMatchObject({ identity: 'p1', place: 'large' });
    expect(large(null)).toMatchObject({ identity: 'p0', place: 'large' });
    expect(large('me')).toMatchObject({ identity: 'p0', place: 'large' });
  });

  it('leaves upright a strip of some rows', () => {
    const { tiles, more } = laidOut(4, PHONE, { pinned: { identity: 'p2', source: 'camera' } });
    expect(tiles.filter(({ place }) => place === 'strip')).toHaveLength(4);
    expect(more).toBeNull();
  });

  it('who is oneself or nobody is not pinned', () => {
    for (const identity of ['me', 'gone'])
      expect(laidOut(4, DESKTOP, { pinned: { identity, source: 'camera' } })).toEqual(laidOut(4, DESKTOP));
    expect(laidOut(4, DESKTOP, { pinned: { identity: 'p0', source: 'screen_share' } })).toEqual(
      laidOut(4, DESKTOP),
    );
  });
});

describe('what did not change', () => {
  it('stays the same object', () => {
    const [before, again] = [laidOut(30, DESKTOP), laidOut(30, DESKTOP)];
    expect(keepUnchanged(before, again)).toBe(before);
    const turned = keepUnchanged(before, laidOut(30, DESKTOP, { page: 1 }));
    expect(turned.pages).toMatchObject({ page: 1 });
    const two = laidOut(1, DESKTOP);
    const moved = keepUnchanged(two, laidOut(1, DESKTOP, { own: { corner: 'top-left', hidden: false } }));
    expect(moved.tiles[0]).toBe(two.tiles[0]);
    expect(own(moved.tiles)).not.toBe(own(two.tiles));
  });
});
