import { describe, expect, it } from 'vitest';
import {
  chooseStrip,
  fit,
  floatingSelf,
  grid,
  PAGE_DESKTOP,
  PAGE_PHONE,
  peopleLayout,
  shareLayout,
  type Rect,
} from '../src/state/layout';

const DESKTOP = { width: 1416, height: 752 };
const PHONE = { width: 378, height: 696 };

function inside(rect: Rect, stage: { width: number; height: number }): boolean {
  const e = 0.001;
  return (
    rect.x >= -e &&
    rect.y >= -e &&
    rect.x + rect.width <= stage.width + e &&
    rect.y + rect.height <= stage.height + e
  );
}

function overlap(a: Rect, b: Rect): boolean {
  const e = 0.001;
  return (
    a.x + a.width > b.x + e && b.x + b.width > a.x + e && a.y + a.height > b.y + e && b.y + b.height > a.y + e
  );
}

describe('the grid', () => {
  it.each([DESKTOP, PHONE, { width: 900, height: 400 }, { width: 600, height: 600 }])(
    'keeps the tiles of every page inside the stage and apart, with allowed ratios (%o)',
    (stage) => {
      const min = stage.height > stage.width ? 0.7 : 0.9;
      for (const [perPage, most] of [
        [PAGE_PHONE, 3 * PAGE_PHONE],
        [PAGE_DESKTOP, 2 * PAGE_DESKTOP + 1],
      ] as const) {
        for (let people = 3; people <= most; people++) {
          for (let first = 0; first < people; first += perPage) {
            const shown = Math.min(perPage, people - first);
            const rects = peopleLayout(shown, people, stage, 8);
            expect(rects).toHaveLength(shown);
            rects.forEach((rect, i) => {
              expect(inside(rect, stage)).toBe(true);
              expect(rect.width / rect.height).toBeGreaterThan(min - 0.001);
              expect(rect.width / rect.height).toBeLessThan(1.901);
              for (const other of rects.slice(i + 1)) expect(overlap(rect, other)).toBe(false);
            });
            // The grid fills the stage in one direction, also with one or two tiles on the last page.
            const [left, top] = [Math.min(...rects.map(({ x }) => x)), Math.min(...rects.map(({ y }) => y))];
            expect(Math.min(left, top)).toBeCloseTo(0, 3);
          }
        }
      }
    },
  );

  it('puts 4 people two by two and 9 three by three on a desktop', () => {
    expect(fit(4, DESKTOP, 8, 0.9, 1.9)).toMatchObject({ columns: 2, rows: 2 });
    expect(fit(9, DESKTOP, 8, 0.9, 1.9)).toMatchObject({ columns: 3, rows: 3 });
  });

  it('avoids a last row that is at most half full when the loss is small', () => {
    // 10 people: four columns would give slightly larger tiles, but leave two of four in the last row.
    expect(fit(10, DESKTOP, 8, 0.9, 1.9)).toMatchObject({ columns: 5, rows: 2 });
    expect(fit(3, DESKTOP, 8, 0.9, 1.9)).toMatchObject({ columns: 3, rows: 1 });
  });

  it('centres the last row', () => {
    const rects = grid(5, DESKTOP, 8, 0.9, 1.9);
    const last = rects.slice(3);
    const left = Math.min(...last.map((rect) => rect.x));
    const right = Math.max(...last.map((rect) => rect.x + rect.width));
    expect(left).toBeCloseTo(DESKTOP.width - right, 3);
  });

  it('widens a last row in portrait, as far as the ratio allows', () => {
    const rects = peopleLayout(5, 5, PHONE, 6);
    const last = rects[4];
    const first = rects[0];
    expect(last && first && last.width > first.width * 1.5).toBe(true);
    expect(last && last.width / last.height).toBeLessThan(1.901);
  });

  it('stands a stage without size', () => {
    for (const rect of grid(4, { width: 0, height: 0 }, 8, 0.9, 1.9)) {
      expect(rect.width).toBe(0);
      expect(Number.isFinite(rect.x)).toBe(true);
    }
    expect(grid(0, DESKTOP, 8, 0.9, 1.9)).toEqual([]);
  });
});

describe('two people', () => {
  it('show the other large and oneself at the bottom right', () => {
    const [other, self] = peopleLayout(2, 2, DESKTOP, 8);
    expect(other?.width).toBeCloseTo(DESKTOP.width, 0);
    expect(self).toEqual(floatingSelf(DESKTOP));
    expect(self?.width).toBe(256);
    expect((self?.width ?? 0) / (self?.height ?? 1)).toBeCloseTo(16 / 9, 3);
  });

  it('show oneself upright on a phone', () => {
    const self = floatingSelf(PHONE);
    expect(self.width).toBeCloseTo(PHONE.width * 0.28, 3);
    expect(self.height / self.width).toBeCloseTo(4 / 3, 3);
    expect(inside(self, PHONE)).toBe(true);
  });

  it('show one alone only floating', () => {
    expect(peopleLayout(1, 1, DESKTOP, 8)).toEqual([floatingSelf(DESKTOP)]);
  });
});

describe('a shared screen', () => {
  it('takes the strip to the side where the stage is wide', () => {
    const { share, strip } = shareLayout(6, 16 / 9, DESKTOP, 8);
    expect(strip.every((slot) => slot.x >= share.x + share.width)).toBe(true);
    expect(strip[0]).toMatchObject({ width: 208, height: 117 });
  });

  it('takes the strip on top where the stage is narrow', () => {
    const stage = { width: 1044, height: 752 };
    const { share, strip } = shareLayout(6, 16 / 9, stage, 8);
    expect(strip.every((slot) => slot.y + slot.height <= share.y)).toBe(true);
    expect(strip[0]).toMatchObject({ width: 160, height: 90 });
    expect(share.width).toBe(stage.width);
  });

  it('shows more people above it where it leaves room, as upright on a phone', () => {
    const { share, strip } = shareLayout(5, 16 / 9, PHONE, 6);
    expect(strip).toHaveLength(5);
    expect(new Set(strip.map((slot) => slot.y)).size).toBe(3);
    expect(share.width).toBe(PHONE.width);
    for (const slot of strip) expect(inside(slot, PHONE)).toBe(true);
  });

  it.each([DESKTOP, PHONE, { width: 700, height: 380 }])('fits inside %o with its strip', (stage) => {
    for (const ratio of [16 / 9, 4 / 3, 9 / 16, 21 / 9]) {
      const { share, strip } = shareLayout(30, ratio, stage, 8);
      expect(share.width / share.height).toBeCloseTo(ratio, 3);
      expect(inside(share, stage)).toBe(true);
      expect(strip.length).toBeGreaterThan(0);
      for (const slot of strip) expect(overlap(slot, share)).toBe(false);
    }
  });
});

describe('the strip', () => {
  const person = (id: string, spokeAt = 0) => ({ id, isLocal: id === 'me', spokeAt });
  const people = (...ids: string[]) => [...ids.map((id) => person(id)), person('me')];

  it('shows everybody where there is room, oneself last', () => {
    expect(chooseStrip([], people('a', 'b'), 3)).toEqual({ shown: ['a', 'b', 'me'], hidden: 0 });
  });

  it('keeps one slot for the others and one for oneself', () => {
    expect(chooseStrip([], people('a', 'b', 'c', 'd', 'e'), 4)).toEqual({
      shown: ['a', 'b', 'me'],
      hidden: 3,
    });
  });

  it('leaves visible people in their places', () => {
    const { shown } = chooseStrip(['b', 'c', 'me'], people('a', 'b', 'c', 'd', 'e'), 4);
    expect(shown).toEqual(['b', 'c', 'me']);
  });

  it('gives a speaker the place of the one silent longest', () => {
    const all = [person('a', 500), person('b', 100), person('c', 900), person('d'), person('me')];
    expect(chooseStrip(['a', 'b', 'me'], all, 4).shown).toEqual(['a', 'c', 'me']);
  });

  it('does not move somebody for a speaker of long ago', () => {
    const all = [person('a', 500), person('b', 600), person('c', 400), person('d'), person('me')];
    expect(chooseStrip(['a', 'b', 'me'], all, 4).shown).toEqual(['a', 'b', 'me']);
  });

  it('fills the place of somebody who left', () => {
    expect(chooseStrip(['a', 'gone', 'me'], people('a', 'b', 'c', 'd'), 4).shown).toEqual(['a', 'b', 'me']);
  });
});
