/** Swipes of a finger: a sheet away downwards, a page to the side. */

/** So much of its height is enough at any speed. */
const PART = 1 / 3;
/** A flick: at least so far (px), so fast (px per ms). */
const FLICK = { distance: 24, speed: 0.5 };

/** Whether a finger that moved so far down (px) in so long (ms) sends a sheet of that height away. */
export function sendsAway(moved: number, ms: number, height: number): boolean {
  return moved > height * PART || (moved >= FLICK.distance && moved / Math.max(1, ms) >= FLICK.speed);
}

/** So far (px) to the side, and clearly more than up or down. */
const TURN = { distance: 48, slope: 1.5 };

/** Which page a finger that moved so far (px) asks for: 1 the next, -1 the previous one, 0 none. */
export function turnedBy(right: number, down: number): -1 | 0 | 1 {
  if (Math.abs(right) < TURN.distance || Math.abs(right) < Math.abs(down) * TURN.slope) return 0;
  return right < 0 ? 1 : -1;
}
