/**
 * Which frames of a stream come too late to be shown: a server that holds frames back must not show them after newer
 * ones. Judged by what is authentic, epochs and counters, and by one's own clock: a frame is late when one that was
 * sealed after it was opened more than two seconds ago. A stream that is late as a whole, as a shared screen may be,
 * loses nothing.
 */

export const LATE_MS = 2000;
/** Marks are this far apart, so there are few of them. */
const MARK_MS = 200;

interface Place {
  epoch: number;
  counter: number;
}

export class Lateness {
  /** The newest frame at some moments of the last two seconds, oldest first. */
  #marks: (Place & { at: number })[] = [];
  #newest: Place | null = null;
  /** What was the newest frame two seconds ago. */
  #floor: Place | null = null;

  isLate(place: Place, now: number): boolean {
    while (this.#marks[0] && this.#marks[0].at < now - LATE_MS) this.#floor = this.#marks.shift() ?? null;
    return this.#floor !== null && isBefore(place, this.#floor);
  }

  opened(place: Place, now: number): void {
    if (this.#newest && !isBefore(this.#newest, place)) return;
    this.#newest = place;
    const last = this.#marks.at(-1);
    if (!last || now - last.at >= MARK_MS) this.#marks.push({ ...place, at: now });
  }
}

function isBefore(one: Place, other: Place): boolean {
  return one.epoch < other.epoch || (one.epoch === other.epoch && one.counter < other.counter);
}
