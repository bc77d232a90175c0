/** One's own picture while it floats: with one or two people it lies in a corner of the stage. */

import { isPortrait, type Rect, type Size } from './geometry';

export const CORNERS = ['top-left', 'top-right', 'bottom-right', 'bottom-left'] as const;
export type Corner = (typeof CORNERS)[number];

const MARGIN = 14;
/** At the bottom left stands the other's name: 10 below it, 28 high, 8 above it. */
const NAME_PLATE = 46;

export function ownView(stage: Size, corner: Corner): Rect {
  const portrait = isPortrait(stage);
  const wanted = portrait
    ? Math.max(96, stage.width * 0.28)
    : Math.min(256, Math.max(140, stage.width * 0.19));
  const ratio = portrait ? 3 / 4 : 16 / 9;
  const bottom = corner === 'bottom-left' ? NAME_PLATE : MARGIN;
  const room = Math.max(0, Math.min(stage.width - 2 * MARGIN, (stage.height - MARGIN - bottom) * ratio));
  const width = Math.min(wanted, room);
  const height = width / ratio;
  return {
    x: corner.endsWith('left') ? MARGIN : stage.width - width - MARGIN,
    y: corner.startsWith('top') ? MARGIN : stage.height - height - bottom,
    width,
    height,
  };
}

/** The corner that the middle of a picture is nearest to. */
export function nearestCorner({ x, y, width, height }: Rect, stage: Size): Corner {
  const row = y + height / 2 < stage.height / 2 ? 'top' : 'bottom';
  return `${row}-${x + width / 2 < stage.width / 2 ? 'left' : 'right'}`;
}

/** Where an arrow key moves it; `null` for another key. */
export function cornerByKey(corner: Corner, key: string): Corner | null {
  const [row, column] = corner.split('-') as ['top' | 'bottom', 'left' | 'right'];
  switch (key) {
    case 'ArrowUp':
      return `top-${column}`;
    case 'ArrowDown':
      return `bottom-${column}`;
    case 'ArrowLeft':
      return `${row}-left`;
    case 'ArrowRight':
      return `${row}-right`;
    default:
      return null;
  }
}

/** The corners in turn, clockwise: one button reaches them all. */
export function nextCorner(corner: Corner): Corner {
  return CORNERS[(CORNERS.indexOf(corner) + 1) % CORNERS.length] ?? corner;
}

/** Keeps a picture that is being dragged inside the stage. */
export function clampInside(rect: Rect, stage: Size): Rect {
  return {
    ...rect,
    x: Math.max(0, Math.min(stage.width - rect.width, rect.x)),
    y: Math.max(0, Math.min(stage.height - rect.height, rect.y)),
  };
}
