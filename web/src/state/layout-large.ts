/**
 * One large picture and a strip of small ones: at the side or on top, whichever leaves the large picture larger.
 */

import { isPortrait, largest, type Ratios, type Rect, type Size } from './geometry';

const SIDE_WIDTH = 208;
const TOP_WIDTH = 160;
const SLOT_RATIO = 16 / 9;
/** Upright, a large picture of a person leaves the strip so much of the height. */
const STRIP_PART = 0.4;

/** The ratios of one person in the large picture. */
export function largeRatios(stage: Size): Ratios {
  return isPortrait(stage) ? { min: 0.4, max: 2 } : { min: 1, max: 2.1 };
}

export interface LargeLayout {
  large: Rect;
  /** Slots of the strip, in order; at least two where more than one picture is wanted. */
  strip: Rect[];
  /** Changes when the pictures are arranged in another way, and not just in another size. */
  arrangement: string;
}

/** A large picture of these ratios, and at most `small` slots beside or above it. */
export function largeLayout(small: number, ratios: Ratios, stage: Size, gap: number): LargeLayout {
  if (small < 1)
    return {
      large: centred(largest(stage.width, stage.height, ratios), stage),
      strip: [],
      arrangement: 'large',
    };
  const side = beside(small, ratios, stage, gap);
  const top = above(small, ratios, stage, gap);
  return area(side.large) >= area(top.large) ? side : top;
}

const area = ({ width, height }: Size) => width * height;

function centred(size: Size, stage: Size): Rect {
  return { x: (stage.width - size.width) / 2, y: (stage.height - size.height) / 2, ...size };
}

function beside(small: number, ratios: Ratios, { width: w, height: h }: Size, gap: number): LargeLayout {
  // Two slots fit in any case: one for "+N" and one for oneself.
  const height = Math.min(SIDE_WIDTH / SLOT_RATIO, (h - gap) / 2);
  const slot = { width: height * SLOT_RATIO, height };
  const count = Math.min(small, Math.max(2, Math.floor((h + gap) / (slot.height + gap))));
  const large = largest(w - slot.width - gap, h, ratios);
  const x = Math.max(0, (w - large.width - gap - slot.width) / 2);
  const first = (h - count * (slot.height + gap) + gap) / 2;
  return {
    large: { x, y: (h - large.height) / 2, ...large },
    strip: Array.from({ length: count }, (_, i) => ({
      x: x + large.width + gap,
      y: first + i * (slot.height + gap),
      ...slot,
    })),
    arrangement: `side ${count}`,
  };
}

function above(small: number, ratios: Ratios, stage: Size, gap: number): LargeLayout {
  const { width: w, height: h } = stage;
  const width = Math.min(TOP_WIDTH, (w - gap) / 2);
  const slot = { width, height: width / SLOT_RATIO };
  const row = slot.height + gap;
  // Where the large picture leaves room, for example upright on a phone, the strip has several rows.
  const least = largest(w, h - row, ratios).height;
  const keep = isPortrait(stage) ? Math.min(least, Math.max(h * (1 - STRIP_PART), w / ratios.max)) : least;
  const perRow = Math.max(2, Math.floor((w + gap) / (slot.width + gap)));
  const rows = Math.min(Math.ceil(small / perRow), Math.max(1, Math.floor((h - keep + 0.5) / row)));
  const count = Math.min(small, perRow * rows);
  const large = largest(w, h - rows * row, ratios);
  const y = Math.max(0, (h - rows * row - large.height) / 2);
  return {
    large: { x: (w - large.width) / 2, y: y + rows * row, ...large },
    strip: Array.from({ length: count }, (_, i) => {
      const line = Math.floor(i / perRow);
      const inRow = Math.min(perRow, count - line * perRow);
      const first = (w - inRow * (slot.width + gap) + gap) / 2;
      return { x: first + (i - line * perRow) * (slot.width + gap), y: y + line * row, ...slot };
    }),
    arrangement: `top ${rows}×${perRow} of ${count}`,
  };
}
