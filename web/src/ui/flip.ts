/**
 * Tiles that move: they stand in their new place at once, and what is drawn comes there from the old one by transforms
 * alone, so that no frame lays anything out and the compositor does it even while the page is busy. The frame is
 * stretched from the old rectangle to the new one; the picture in it is stretched back, so that a face keeps its
 * proportions; the name plate only travels.
 */

import type { Rect } from '../state/geometry';

export const MOVE_MS = 320;
const STEPS = 24;

/** cubic-bezier(0.2, 0, 0, 1): how far a movement is when part `t` of its time is over. */
export function ease(t: number): number {
  if (t <= 0) return 0;
  if (t >= 1) return 1;
  // x(u) = 0.6 u (1-u)² + u³ grows with u: bisect, then y(u) = 3 u² (1-u) + u³.
  let [low, high] = [0, 1];
  for (let i = 0; i < 24; i++) {
    const u = (low + high) / 2;
    if (0.6 * u * (1 - u) ** 2 + u ** 3 < t) low = u;
    else high = u;
  }
  const u = (low + high) / 2;
  return 3 * u ** 2 * (1 - u) + u ** 3;
}

export function between(from: Rect, to: Rect, part: number): Rect {
  const mix = (a: number, b: number) => a + (b - a) * part;
  return {
    x: mix(from.x, to.x),
    y: mix(from.y, to.y),
    width: mix(from.width, to.width),
    height: mix(from.height, to.height),
  };
}

export interface Step {
  /** Of the frame, from its top left corner. */
  frame: { x: number; y: number; scaleX: number; scaleY: number };
  /** Of the picture in the frame, from its middle. */
  picture: { scaleX: number; scaleY: number };
  /** Of the name plate at the bottom left. */
  plate: { x: number; y: number };
}

/** How a tile that stands at `to` looks as if it were at `now`. */
export function step(now: Rect, to: Rect): Step {
  const [scaleX, scaleY] = [now.width / to.width, now.height / to.height];
  const [x, y] = [now.x - to.x, now.y - to.y];
  const cover = Math.max(scaleX, scaleY);
  return {
    frame: { x, y, scaleX, scaleY },
    picture: { scaleX: cover / scaleX, scaleY: cover / scaleY },
    plate: { x, y: y + now.height - to.height },
  };
}

interface Parts {
  frame: HTMLElement;
  picture: HTMLElement;
  plate: HTMLElement;
}

const px = (value: number) => `${value.toFixed(2)}px`;

export class Mover {
  #from: Rect | null = null;
  #to: Rect | null = null;
  #startedAt = 0;
  #running: Animation[] = [];

  /** The tile stands at `to` now; `animated`: it comes there from where it was seen last. */
  move(to: Rect, parts: Parts, animated: boolean): void {
    const from = this.#seen(performance.now());
    this.stop();
    this.#to = to;
    const drawn = [from, to].every((rect) => rect && rect.width > 0 && rect.height > 0);
    if (!from || !animated || !drawn || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    this.#from = from;
    this.#startedAt = performance.now();
    const steps = Array.from({ length: STEPS + 1 }, (_, i) => step(between(from, to, ease(i / STEPS)), to));
    const run = (element: HTMLElement, transform: (at: Step) => string) =>
      this.#running.push(
        element.animate(
          steps.map((at) => ({ transform: transform(at) })),
          MOVE_MS,
        ),
      );
    run(
      parts.frame,
      ({ frame: { x, y, scaleX, scaleY } }) => `translate(${px(x)}, ${px(y)}) scale(${scaleX}, ${scaleY})`,
    );
    if (from.width !== to.width || from.height !== to.height)
      run(parts.picture, ({ picture: { scaleX, scaleY } }) => `scale(${scaleX}, ${scaleY})`);
    run(parts.plate, ({ plate: { x, y } }) => `translate(${px(x)}, ${px(y)})`);
  }

  stop(): void {
    for (const animation of this.#running.splice(0)) animation.cancel();
    this.#from = null;
  }

  /** Where it is drawn at the moment. */
  #seen(now: number): Rect | null {
    if (!this.#to || !this.#from) return this.#to;
    return between(this.#from, this.#to, ease((now - this.#startedAt) / MOVE_MS));
  }
}
