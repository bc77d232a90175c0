/**
 * Where the tiles go: pure functions from the size of the stage to rectangles.
 *
 * Grid: for every number of columns the largest tile whose ratio lies between two bounds; the largest area wins, and
 * an arrangement whose last row is at most half full counts 8 % less. Share: a strip of people at the side or on top,
 * whichever leaves the shared picture larger.
 */

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Most tiles at once; more go to further pages. */
export const PAGE_DESKTOP = 25;
export const PAGE_PHONE = 8;

const LAST_ROW_PENALTY = 0.92;
const SHARE_SIDE_WIDTH = 208;
const SHARE_TOP_WIDTH = 160;
const STRIP_RATIO = 16 / 9;
const SELF_MARGIN = 14;

interface Fit {
  columns: number;
  rows: number;
  width: number;
  height: number;
}

/** The best arrangement of `n` ≥ 1 tiles with ratios between `min` and `max`. */
export function fit(n: number, stage: Size, gap: number, min: number, max: number): Fit {
  let best: Fit = { columns: 1, rows: n, width: 0, height: 0 };
  let bestScore = -1;
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns);
    let width = Math.max(0, (stage.width - gap * (columns - 1)) / columns);
    let height = Math.max(0, (stage.height - gap * (rows - 1)) / rows);
    if (width > height * max) width = height * max;
    else if (width < height * min) height = width / min;
    const last = n - columns * (rows - 1);
    const score = width * height * (last <= columns / 2 ? LAST_ROW_PENALTY : 1);
    if (score > bestScore) {
      best = { columns, rows, width, height };
      bestScore = score;
    }
  }
  return best;
}

/** Rectangles of `n` tiles. The last row is centred; in portrait it widens as far as the ratio allows. */
export function grid(n: number, stage: Size, gap: number, min: number, max: number): Rect[] {
  if (n < 1) return [];
  const { columns, rows, width, height } = fit(n, stage, gap, min, max);
  const top = (stage.height - rows * height - (rows - 1) * gap) / 2;
  return Array.from({ length: n }, (_, i) => {
    const row = Math.floor(i / columns);
    const inRow = row === rows - 1 ? n - columns * (rows - 1) : columns;
    const wide =
      stage.height > stage.width ? Math.min((stage.width - gap * (inRow - 1)) / inRow, height * max) : width;
    const left = (stage.width - inRow * wide - (inRow - 1) * gap) / 2;
    return {
      x: left + (i - row * columns) * (wide + gap),
      y: top + row * (height + gap),
      width: wide,
      height,
    };
  });
}

/** One's own picture, floating at the bottom right while there are one or two people. */
export function floatingSelf(stage: Size): Rect {
  const portrait = stage.height > stage.width;
  const width = portrait
    ? Math.max(96, stage.width * 0.28)
    : Math.min(256, Math.max(140, stage.width * 0.19));
  const height = portrait ? (width * 4) / 3 : (width * 9) / 16;
  return {
    x: stage.width - width - SELF_MARGIN,
    y: stage.height - height - SELF_MARGIN,
    width,
    height,
  };
}

/**
 * The `shown` tiles of a page, in a meeting of `people` without a shared screen. Both count oneself; the own tile is
 * the last rectangle.
 */
export function peopleLayout(shown: number, people: number, stage: Size, gap: number): Rect[] {
  const portrait = stage.height > stage.width;
  if (people <= 2) {
    const others = grid(shown - 1, stage, gap, portrait ? 0.4 : 1, portrait ? 2 : 2.1);
    return [...others, floatingSelf(stage)];
  }
  return grid(shown, stage, gap, portrait ? 0.7 : 0.9, 1.9);
}

export interface ShareLayout {
  share: Rect;
  /** Slots of the strip, in order. */
  strip: Rect[];
}

/** A shared picture of the given ratio with at most `people` slots beside or above it. */
export function shareLayout(people: number, ratio: number, stage: Size, gap: number): ShareLayout {
  const { width: w, height: h } = stage;
  const topHeight = SHARE_TOP_WIDTH / STRIP_RATIO;
  const besideWidth = Math.max(0, Math.min(w - SHARE_SIDE_WIDTH - gap, h * ratio));
  const belowWidth = Math.max(0, Math.min(w, (h - topHeight - gap) * ratio));
  if (besideWidth >= belowWidth) {
    const slot = { width: SHARE_SIDE_WIDTH, height: SHARE_SIDE_WIDTH / STRIP_RATIO };
    const count = Math.min(people, Math.max(1, Math.floor((h + gap) / (slot.height + gap))));
    const height = besideWidth / ratio;
    const x = Math.max(0, (w - besideWidth - gap - slot.width) / 2);
    const first = (h - count * (slot.height + gap) + gap) / 2;
    return {
      share: { x, y: (h - height) / 2, width: besideWidth, height },
      strip: Array.from({ length: count }, (_, i) => ({
        x: x + besideWidth + gap,
        y: first + i * (slot.height + gap),
        ...slot,
      })),
    };
  }
  // On top. Where the shared picture leaves room, for example upright on a phone, the strip has several rows.
  const slot = { width: SHARE_TOP_WIDTH, height: topHeight };
  const height = belowWidth / ratio;
  const perRow = Math.max(1, Math.floor((w + gap) / (slot.width + gap)));
  const most = Math.max(1, Math.floor((h - height + 0.5) / (slot.height + gap)));
  const rows = Math.min(most, Math.ceil(people / perRow));
  const count = Math.min(people, perRow * rows);
  const stripHeight = rows * (slot.height + gap);
  const y = Math.max(0, (h - stripHeight - height) / 2);
  return {
    share: { x: (w - belowWidth) / 2, y: y + stripHeight, width: belowWidth, height },
    strip: Array.from({ length: count }, (_, i) => {
      const row = Math.floor(i / perRow);
      const inRow = Math.min(perRow, count - row * perRow);
      const first = (w - inRow * (slot.width + gap) + gap) / 2;
      return {
        x: first + (i - row * perRow) * (slot.width + gap),
        y: y + row * (slot.height + gap),
        ...slot,
      };
    }),
  };
}

/** What a strip needs to know about a person. */
export interface StripPerson {
  id: string;
  isLocal: boolean;
  /** When they last spoke, milliseconds; 0 = never. */
  spokeAt: number;
}

export interface StripChoice {
  /** Ids in the order of the slots; one's own last. */
  shown: string[];
  /** How many others the "+N" slot stands for; 0 = there is none. */
  hidden: number;
}

/**
 * Who stands in a strip of `slots` places. Whoever was visible stays where they were; a speaker who is not visible
 * takes the place of the visible one who has been silent longest. What does not fit becomes "+N", one's own tile stays.
 */
export function chooseStrip(before: string[], people: StripPerson[], slots: number): StripChoice {
  const own = people.filter((person) => person.isLocal).map((person) => person.id);
  const others = people.filter((person) => !person.isLocal);
  if (people.length <= slots) return { shown: [...others.map((person) => person.id), ...own], hidden: 0 };

  // One place is one's own, one is "+N".
  const room = Math.max(0, slots - own.length - 1);
  const byId = new Map(others.map((person) => [person.id, person]));
  const shown = before.filter((id) => byId.has(id)).slice(0, room);
  for (const person of others) {
    if (shown.length >= room) break;
    if (!shown.includes(person.id)) shown.push(person.id);
  }
  const waiting = others
    .filter((person) => person.spokeAt > 0 && !shown.includes(person.id))
    .sort((a, b) => b.spokeAt - a.spokeAt);
  for (const speaker of waiting) {
    let quietest = -1;
    for (let i = 0; i < shown.length; i++) {
      const at = byId.get(shown[i] ?? '')?.spokeAt ?? 0;
      const least = quietest < 0 ? Infinity : (byId.get(shown[quietest] ?? '')?.spokeAt ?? 0);
      if (at < least) quietest = i;
    }
    if (quietest < 0 || (byId.get(shown[quietest] ?? '')?.spokeAt ?? 0) >= speaker.spokeAt) break;
    shown[quietest] = speaker.id;
  }
  return { shown: [...shown, ...own], hidden: others.length - shown.length };
}
