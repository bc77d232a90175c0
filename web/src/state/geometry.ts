/** Rectangles and sizes in pixels. */

export interface Size {
  width: number;
  height: number;
}

export interface Rect extends Size {
  x: number;
  y: number;
}

/** Between which ratios (width to height) a picture may be drawn. */
export interface Ratios {
  min: number;
  max: number;
}

export function isPortrait({ width, height }: Size): boolean {
  return height > width;
}

/** The largest picture with an allowed ratio in the space of `width` × `height`. */
export function largest(width: number, height: number, { min, max }: Ratios): Size {
  const [w, h] = [Math.max(0, width), Math.max(0, height)];
  if (w > h * max) return { width: h * max, height: h };
  if (w < h * min) return { width: w, height: w / min };
  return { width: w, height: h };
}

export function sameRect(a: Rect, b: Rect): boolean {
  return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;
}
