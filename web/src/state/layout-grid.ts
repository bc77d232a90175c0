/**
 * Equal tiles: for every number of columns the largest tile whose ratio lies between two bounds; the largest area wins,
 * and an arrangement whose last row is at most half full counts 8 % less.
 */

import { isPortrait, largest, type Ratios, type Rect, type Size } from './geometry';

const LAST_ROW_PENALTY = 0.92;

export interface Fit extends Size {
  columns: number;
  rows: number;
}

/** The ratios of equal tiles. */
export function gridRatios(stage: Size): Ratios {
  return { min: isPortrait(stage) ? 0.7 : 0.9, max: 1.9 };
}

/** The best arrangement of `n` ≥ 1 tiles. */
export function fit(n: number, stage: Size, gap: number, ratios: Ratios): Fit {
  let best: Fit = { columns: 1, rows: n, width: 0, height: 0 };
  let bestScore = -1;
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns);
    const tile = largest(
      (stage.width - gap * (columns - 1)) / columns,
      (stage.height - gap * (rows - 1)) / rows,
      ratios,
    );
    const last = n - columns * (rows - 1);
    const score = tile.width * tile.height * (last <= columns / 2 ? LAST_ROW_PENALTY : 1);
    if (score > bestScore) {
      best = { columns, rows, ...tile };
      bestScore = score;
    }
  }
  return best;
}

/** The rectangles of that arrangement. The last row is centred; in portrait it widens as far as the ratio allows. */
export function place(
  n: number,
  { columns, rows, width, height }: Fit,
  stage: Size,
  gap: number,
  max: number,
) {
  const top = (stage.height - rows * height - (rows - 1) * gap) / 2;
  return Array.from({ length: n }, (_, i): Rect => {
    const row = Math.floor(i / columns);
    const inRow = row === rows - 1 ? n - columns * (rows - 1) : columns;
    const wide = isPortrait(stage)
      ? Math.min((stage.width - gap * (inRow - 1)) / inRow, height * max)
      : width;
    const left = (stage.width - inRow * wide - (inRow - 1) * gap) / 2;
    return {
      x: left + (i - row * columns) * (wide + gap),
      y: top + row * (height + gap),
      width: wide,
      height,
    };
  });
}
