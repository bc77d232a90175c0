/** How long to wait before the channel is opened again: short at first, longer each time, never longer than some seconds. */

const SHORTEST_MS = 300;
const LONGEST_MS = 5000;

export class Backoff {
  #tries = 0;

  /** `random` gives 0 to 1, so that not all come back at once. */
  constructor(readonly random: () => number) {}

  /** How long to wait now. */
  next(): number {
    const most = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** ++this.#tries);
    return Math.round(SHORTEST_MS + (most - SHORTEST_MS) * this.random());
  }

  /** It worked. */
  reset(): void {
    this.#tries = 0;
  }
}
