/** What holds for every stage, whoever is there and whatever is chosen. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPortrait, type Rect, type Ratios } from '../src/state/geometry';
import {
  layout,
  PAGE_DESKTOP,
  PAGE_PHONE,
  VIEWS,
  type Layout,
  type LayoutInput,
  type Tile,
} from '../src/state/layout';
import { CORNERS } from '../src/state/own-view';

const E = 0.001;

interface Scene {
  input: LayoutInput;
  /** Whoever begins to speak. */
  speaker: number;
}

/** From a tiny window to an ultra-wide screen; every choice; shares and pins of people who are there or not. */
const scenes: fc.Arbitrary<Scene> = fc
  .record({
    others: fc.integer({ min: 0, max: 59 }),
    sharers: fc.uniqueArray(fc.nat(59), { maxLength: 4 }),
    pinned: fc.option(
      fc.record({ who: fc.nat(60), source: fc.constantFrom('camera' as const, 'screen_share' as const) }),
    ),
    view: fc.constantFrom(...VIEWS),
    large: fc.option(fc.nat(59)),
    corner: fc.constantFrom(...CORNERS),
    hidden: fc.boolean(),
    width: fc.integer({ min: 200, max: 3840 }),
    height: fc.integer({ min: 150, max: 1600 }),
    phone: fc.boolean(),
    page: fc.integer({ min: 0, max: 8 }),
    ratio: fc.double({ min: 0.4, max: 3, noNaN: true }),
    spoke: fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }),
    speaking: fc.uniqueArray(fc.nat(59), { maxLength: 3 }),
    before: fc.uniqueArray(fc.nat(59), { maxLength: 12 }),
    speaker: fc.nat(59),
  })
  .map((one): Scene => {
    const name = (i: number) => (i < one.others ? `p${i}` : 'me');
    const people = Array.from({ length: one.others + 1 }, (_, i) => ({
      identity: name(i),
      isLocal: i === one.others,
      speaking: one.speaking.includes(i),
      spokeAt: one.spoke[i] ?? 0,
      weak: false,
      videoPaused: false,
      screenPaused: false,
    }));
    return {
      input: {
        people,
        shares: one.sharers.filter((i) => i < one.others).map(name),
        pinned: one.pinned && { identity: name(one.pinned.who), source: one.pinned.source },
        view: one.view,
        speaker: one.large === null ? null : name(one.large),
        own: { corner: one.corner, hidden: one.hidden },
        size: { width: one.width, height: one.height },
        phone: one.phone,
        page: one.page,
        ratio: one.ratio,
        before: one.before.map((i) => `camera ${name(i)}`),
      },
      speaker: one.speaker % (one.others + 1),
    };
  });

const holds = (property: (scene: Scene) => void) =>
  fc.assert(fc.property(scenes, property), { numRuns: 600 });

function rectsOf({ tiles, more, pages }: Layout): Rect[] {
  const solid = tiles.filter(({ place }) => place !== 'floating').map(({ rect }) => rect);
  return [...solid, ...(more ? [more.rect] : []), ...(pages ? [pages.rect] : [])];
}

function overlap(a: Rect, b: Rect): boolean {
  return (
    a.x + a.width > b.x + E && b.x + b.width > a.x + E && a.y + a.height > b.y + E && b.y + b.height > a.y + E
  );
}

/** The documented ratios of a tile. */
function ratiosOf(tile: Tile, { size, ratio, people }: LayoutInput): Ratios {
  const portrait = isPortrait(size);
  if (tile.place === 'strip') return { min: 16 / 9, max: 16 / 9 };
  if (tile.place === 'floating') return portrait ? { min: 0.75, max: 0.75 } : { min: 16 / 9, max: 16 / 9 };
  if (tile.source === 'screen_share') return { min: ratio, max: ratio };
  if (tile.place === 'large' || people.length <= 2)
    return portrait ? { min: 0.4, max: 2 } : { min: 1, max: 2.1 };
  return { min: portrait ? 0.7 : 0.9, max: 1.9 };
}

describe('on every stage', () => {
  it('nothing overlaps; only one’s own floating picture lies on another', () => {
    holds(({ input }) => {
      const rects = rectsOf(layout(input));
      rects.forEach((rect, i) => {
        for (const other of rects.slice(i + 1)) expect(overlap(rect, other)).toBe(false);
      });
    });
  });

  it('nothing leaves the stage, and everything has a size', () => {
    holds(({ input }) => {
      const shown = layout(input);
      for (const { x, y, width, height } of [...rectsOf(shown), ...shown.tiles.map(({ rect }) => rect)]) {
        expect(Math.min(x, y)).toBeGreaterThan(-E);
        expect(x + width).toBeLessThan(input.size.width + E);
        expect(y + height).toBeLessThan(input.size.height + E);
        expect(Math.min(width, height)).toBeGreaterThan(1);
      }
    });
  });

  it('ratios stay within their bounds', () => {
    holds(({ input }) => {
      for (const tile of layout(input).tiles) {
        const { min, max } = ratiosOf(tile, input);
        expect(tile.rect.width / tile.rect.height).toBeGreaterThan(min - E);
        expect(tile.rect.width / tile.rect.height).toBeLessThan(max + E);
      }
    });
  });

  it('everybody is on exactly one page, or in the strip, or counted in “+N”', () => {
    holds(({ input }) => {
      const first = layout({ ...input, page: 0 });
      const all = Array.from({ length: first.pages?.count ?? 1 }, (_, page) => layout({ ...input, page }));
      for (const { tiles } of all) {
        expect(tiles.filter(({ place }) => place === 'grid').length).toBeLessThanOrEqual(
          input.phone ? PAGE_PHONE : PAGE_DESKTOP,
        );
      }
      const shown = all.flatMap(({ tiles }) => tiles.map(({ key }) => key));
      expect(new Set(shown).size).toBe(shown.length);
      const people = input.people.length - (input.own.hidden ? 1 : 0);
      expect(shown.length + (first.more?.count ?? 0)).toBe(people + input.shares.length);
      // Oneself is always in sight, as far as one wishes to be.
      expect(shown.includes('camera me')).toBe(!input.own.hidden);
    });
  });

  it('nobody on screen moves when somebody speaks; in the strip one speaker may take one place', () => {
    holds(({ input, speaker }) => {
      const settled = layout({ ...input, before: layout(input).strip });
      const people = input.people.map((person, i) =>
        i === speaker ? { ...person, speaking: true, spokeAt: 2000 } : person,
      );
      const after = layout({ ...input, people, before: settled.strip });
      const places = new Map(after.tiles.map((tile) => [tile.key, tile.rect]));
      const gone = settled.tiles.filter(({ key }) => !places.has(key));
      for (const { key, rect } of settled.tiles) expect(places.get(key) ?? rect).toEqual(rect);
      expect(gone.length).toBeLessThanOrEqual(1);
      expect(after.tiles.length).toBe(settled.tiles.length);
      expect(after.more).toEqual(settled.more);
      for (const { place } of gone) expect(place).toBe('strip');
      if (gone[0]) {
        // The place that became free is the speaker's.
        const came = after.tiles.find(({ key }) => key === `camera ${input.people[speaker]?.identity}`);
        expect(came?.rect).toEqual(gone[0].rect);
      }
    });
  });

  it('one pixel more moves every edge by little, unless the arrangement changes', () => {
    holds(({ input }) => {
      const before = layout(input);
      const { width, height } = input.size;
      for (const size of [
        { width: width + 1, height },
        { width, height: height + 1 },
      ]) {
        const after = layout({ ...input, size });
        if (after.arrangement !== before.arrangement || isPortrait(size) !== isPortrait(input.size)) continue;
        // A row as high as the stage grows to both sides by its ratio, once per tile.
        const widest = Math.max(
          ...before.tiles.map(({ rect }) => before.tiles.filter((o) => o.rect.y === rect.y).length),
          1,
        );
        const bound = 3 + widest * 1.05;
        before.tiles.forEach(({ rect: a }, i) => {
          const b = after.tiles[i]?.rect ?? a;
          const edges = [
            a.x - b.x,
            a.y - b.y,
            a.x + a.width - b.x - b.width,
            a.y + a.height - b.y - b.height,
          ];
          for (const moved of edges) expect(Math.abs(moved)).toBeLessThan(bound);
        });
      }
    });
  });

  it('the same people and choices give the same places', () => {
    holds(({ input }) => {
      expect(layout(structuredClone(input))).toEqual(layout(input));
    });
  });
});
