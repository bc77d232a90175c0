/**
 * Where everything on the stage stands: one pure function from the people, the shared screens, what is large, and the
 * size of the stage to rectangles. Nobody's place depends on who speaks, except in the strip and in the view that
 * shows the speaker large.
 */

import { isPortrait, sameRect, type Rect, type Size } from './geometry';
import { fit, gridRatios, place } from './layout-grid';
import { largeLayout, largeRatios } from './layout-large';
import { ownView, type Corner } from './own-view';
import { chooseStrip, type StripItem } from './strip';

/** Most tiles at once; more go to further pages. */
export const PAGE_DESKTOP = 25;
export const PAGE_PHONE = 8;

export const VIEWS = ['equal', 'speaker'] as const;
export type View = (typeof VIEWS)[number];

export type Source = 'camera' | 'screen_share';

/** One picture of one person. */
export interface Picture {
  identity: string;
  source: Source;
}

export interface StagePerson {
  identity: string;
  isLocal: boolean;
  speaking: boolean;
  spokeAt: number;
}

export interface LayoutInput {
  /** The others in the order in which they came, oneself last. */
  people: readonly StagePerson[];
  /** Whose screens are shown, the newest last; never one's own. */
  shares: readonly string[];
  pinned: Picture | null;
  view: View;
  /** Who is large in the view of that name. */
  speaker: string | null;
  own: { corner: Corner; hidden: boolean };
  size: Size;
  phone: boolean;
  /** From 0; beyond the last one it is the last. */
  page: number;
  /** Width to height of the shared screen that is large. */
  ratio: number;
  /** Keys of those who stood in the strip before. */
  before: readonly string[];
}

export interface Tile extends Picture {
  key: string;
  rect: Rect;
  place: 'grid' | 'large' | 'strip' | 'floating';
}

export interface Layout {
  tiles: readonly Tile[];
  /** Stands for those who have no place in the strip. */
  more: { rect: Rect; count: number } | null;
  /** The controls to turn pages; `page` from 0. */
  pages: { rect: Rect; page: number; count: number; upright: boolean } | null;
  /** Keys of those in the strip. */
  strip: readonly string[];
  /** Changes when the pictures are arranged in another way, and not just in another size. */
  arrangement: string;
}

export const EMPTY_LAYOUT: Layout = { tiles: [], more: null, pages: null, strip: [], arrangement: '' };

export function keyOf({ identity, source }: Picture): string {
  return `${source} ${identity}`;
}

const camera = (identity: string): Picture => ({ identity, source: 'camera' });
const screen = (identity: string): Picture => ({ identity, source: 'screen_share' });

function tile(picture: Picture, rect: Rect, place: Tile['place']): Tile {
  return { ...picture, key: keyOf(picture), rect, place };
}

export function layout(input: LayoutInput): Layout {
  if (input.size.width <= 0 || input.size.height <= 0) return EMPTY_LAYOUT;
  const large = largePicture(input);
  if (large) return withLarge(large, input);
  return input.people.length <= 2 ? alone(input) : pages(input);
}

/** What fills most of the stage: what is pinned, else the newest shared screen, else the speaker where that is wished. */
function largePicture({ people, shares, pinned, view, speaker }: LayoutInput): Picture | null {
  const others = people.filter(({ isLocal }) => !isLocal).map(({ identity }) => identity);
  // Of two people the other one is large anyway.
  const choice = shares.length > 0 || people.length > 2;
  if (pinned && choice) {
    const known = pinned.source === 'screen_share' ? shares : others;
    if (known.includes(pinned.identity)) return pinned;
  }
  const newest = shares.at(-1);
  if (newest !== undefined) return screen(newest);
  if (view === 'equal' || !choice) return null;
  const shown = others.find((identity) => identity === speaker) ?? others[0];
  return shown === undefined ? null : camera(shown);
}

const gapOf = (phone: boolean) => (phone ? 6 : 8);

/** One or two people: the other fills the stage, one's own picture floats. */
function alone({ people, own, size, phone }: LayoutInput): Layout {
  const others = people.filter(({ isLocal }) => !isLocal);
  const self = people.find(({ isLocal }) => isLocal);
  const ratios = largeRatios(size);
  const rects = others.length
    ? place(others.length, fit(others.length, size, gapOf(phone), ratios), size, gapOf(phone), ratios.max)
    : [];
  const tiles = rects.flatMap((rect, i) => {
    const other = others[i];
    return other ? [tile(camera(other.identity), rect, 'grid')] : [];
  });
  // Alone, the invitation has the middle, and one's own picture the corner that is kept free for it.
  const corner = others.length ? own.corner : 'bottom-right';
  if (self && !own.hidden) tiles.push(tile(camera(self.identity), ownView(size, corner), 'floating'));
  return { ...EMPTY_LAYOUT, tiles, arrangement: `floating ${others.length}` };
}

const BUTTON = 44;
/** Low and wide, as a phone held across, the controls stand at the side: height is scarce there. */
const LOW = 420;

function pageControls({ width, height }: Size, gap: number): { rect: Rect; rest: Size; upright: boolean } {
  const upright = height < LOW && width > height;
  const size = upright ? { width: 64, height: 2 * BUTTON + 28 } : { width: 2 * BUTTON + 80, height: BUTTON };
  return upright
    ? {
        upright,
        rect: { x: width - size.width, y: (height - size.height) / 2, ...size },
        rest: { width: width - size.width - gap, height },
      }
    : {
        upright,
        rect: { x: (width - size.width) / 2, y: height - size.height, ...size },
        rest: { width, height: height - size.height - gap },
      };
}

/** Equal tiles, on as many pages as it takes. */
function pages({ people, own, size, phone, page: wanted }: LayoutInput): Layout {
  const gap = gapOf(phone);
  const seen = own.hidden ? people.filter(({ isLocal }) => !isLocal) : people;
  const perPage = phone ? PAGE_PHONE : PAGE_DESKTOP;
  const count = Math.ceil(seen.length / perPage);
  const page = Math.max(0, Math.min(wanted, count - 1));
  const visible = seen.slice(page * perPage, (page + 1) * perPage);
  const controls = count > 1 ? pageControls(size, gap) : null;
  const stage = controls?.rest ?? size;
  const ratios = gridRatios(size);
  const best = fit(visible.length, stage, gap, ratios);
  const rects = place(visible.length, best, stage, gap, ratios.max);
  return {
    ...EMPTY_LAYOUT,
    tiles: visible.flatMap(({ identity }, i) => {
      const rect = rects[i];
      return rect ? [tile(camera(identity), rect, 'grid')] : [];
    }),
    pages: controls && { rect: controls.rect, page, count, upright: controls.upright },
    arrangement: [
      `grid ${best.columns}×${best.rows} of ${visible.length}`,
      isPortrait(stage) ? 'upright' : 'across',
      controls ? (controls.upright ? 'controls at the side' : 'controls below') : '',
    ].join(' '),
  };
}

/** One large picture, everybody else in a strip. */
function withLarge(large: Picture, input: LayoutInput): Layout {
  const { people, shares, own, size, phone, ratio, before } = input;
  const gap = gapOf(phone);
  const pictures = new Map<string, Picture>();
  const items: StripItem[] = [];
  const add = (picture: Picture, item: Omit<StripItem, 'key'>) => {
    if (keyOf(picture) === keyOf(large)) return;
    pictures.set(keyOf(picture), picture);
    items.push({ key: keyOf(picture), ...item });
  };
  for (const identity of shares.toReversed())
    add(screen(identity), { kind: 'screen', speaking: false, spokeAt: 0 });
  for (const { identity, isLocal, speaking, spokeAt } of people)
    if (!isLocal || !own.hidden)
      add(camera(identity), { kind: isLocal ? 'own' : 'person', speaking, spokeAt });

  const ratios = large.source === 'screen_share' ? { min: ratio, max: ratio } : largeRatios(size);
  const arranged = largeLayout(items.length, ratios, size, gap);
  const { shown, hidden } = chooseStrip(before, items, arranged.strip.length);
  const slots = [...arranged.strip];
  // The "+N" slot stands before one's own tile.
  const ownInStrip = items.some(({ kind }) => kind === 'own');
  const [more] = hidden > 0 ? slots.splice(ownInStrip ? -2 : -1, 1) : [];
  return {
    tiles: [
      tile(large, arranged.large, 'large'),
      ...shown.flatMap((key, i) => {
        const [picture, rect] = [pictures.get(key), slots[i]];
        return picture && rect ? [tile(picture, rect, 'strip')] : [];
      }),
    ],
    more: more ? { rect: more, count: hidden } : null,
    pages: null,
    strip: shown,
    arrangement: arranged.arrangement,
  };
}

/** `next`, with every part of `before` that did not change: who watches sees at once what did. */
export function keepUnchanged(before: Layout, next: Layout): Layout {
  const known = new Map(before.tiles.map((tile) => [tile.key, tile]));
  const tiles = next.tiles.map((tile) => {
    const old = known.get(tile.key);
    return old && old.place === tile.place && sameRect(old.rect, tile.rect) ? old : tile;
  });
  const kept = {
    ...next,
    tiles: sameList(before.tiles, tiles) ? before.tiles : tiles,
    strip: sameList(before.strip, next.strip) ? before.strip : next.strip,
    more: sameSlot(before.more, next.more, ['count']) ? before.more : next.more,
    pages: sameSlot(before.pages, next.pages, ['page', 'count', 'upright']) ? before.pages : next.pages,
  };
  return LAYOUT_PARTS.every((part) => kept[part] === before[part]) ? before : kept;
}

const LAYOUT_PARTS = Object.keys(EMPTY_LAYOUT) as (keyof Layout)[];

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}

function sameSlot<T extends { rect: Rect }>(a: T | null, b: T | null, fields: (keyof T)[]): boolean {
  if (!a || !b) return a === b;
  return sameRect(a.rect, b.rect) && fields.every((field) => a[field] === b[field]);
}
