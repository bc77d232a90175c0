/** Swiping a sheet away downwards. */

/** So much of its height is enough at any speed. */
const PART = 1 / 3;
/** A flick: at least so far (px), so fast (px per ms). */
const FLICK = { distance: 24, speed: 0.5 };

/** Whether a finger that moved so far down (px) in so long (ms) sends a sheet of that height away. */
export function sendsAway(moved: number, ms: number, height: number): boolean {
  return moved > height * PART || (moved >= FLICK.distance && moved / Math.max(1, ms) >= FLICK.speed);
}
