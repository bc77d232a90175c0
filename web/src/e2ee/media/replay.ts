/**
 * Which counters of a key have been used (RFC 9605 §9.3): a window of the last 1024. A sender has one counter for all
 * its streams, so there is one window for all of them, and it is as wide as some seconds of camera, screen and sound.
 */

export const WINDOW = 1024;

export class ReplayWindow {
  /** One bit a counter, at its place modulo the width. */
  readonly #bits = new Uint32Array(WINDOW / 32);
  /** One above the newest counter. */
  #end = 0;

  /** Whether a counter may still come: it is neither used nor too old to know. */
  isFresh(counter: number): boolean {
    if (counter >= this.#end) return true;
    return counter >= this.#end - WINDOW && !this.#has(counter);
  }

  /** Notes the counter of a frame that has proved authentic; false if another frame was quicker with it. */
  take(counter: number): boolean {
    if (!this.isFresh(counter)) return false;
    if (counter >= this.#end) {
      if (counter - this.#end >= WINDOW) this.#bits.fill(0);
      else for (let skipped = this.#end; skipped < counter; skipped++) this.#clear(skipped);
      this.#end = counter + 1;
    }
    const place = counter % WINDOW;
    this.#bits[place >>> 5] = this.#word(place) | (1 << (place & 31));
    return true;
  }

  #word(place: number): number {
    return this.#bits[place >>> 5] ?? 0;
  }

  #has(counter: number): boolean {
    const place = counter % WINDOW;
    return (this.#word(place) & (1 << (place & 31))) !== 0;
  }

  #clear(counter: number): void {
    const place = counter % WINDOW;
    this.#bits[place >>> 5] = this.#word(place) & ~(1 << (place & 31));
  }
}
