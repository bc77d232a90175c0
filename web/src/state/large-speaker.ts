/**
 * Who is large in the view that shows the speaker large. Somebody else takes over only after having spoken for a while
 * and while the one shown is silent, so that a word in between or two people at once do not make the picture change.
 * Oneself is never large.
 */

/** So long somebody is marked as speaking before they become large. */
export const LARGE_AFTER_MS = 1500;

export interface Speaker {
  identity: string;
  isLocal: boolean;
  speaking: boolean;
}

export class LargeSpeaker {
  #shown: string | null = null;
  /** Since when whoever speaks has been doing so. */
  #since = new Map<string, number>();

  get shown(): string | null {
    return this.#shown;
  }

  /** Tells who speaks at `now`. Returns when `shown` can change next, or `null`. */
  update(people: readonly Speaker[], now: number): number | null {
    const others = people.filter(({ isLocal }) => !isLocal);
    const speakers = new Set(others.filter(({ speaking }) => speaking).map(({ identity }) => identity));
    for (const identity of [...this.#since.keys()]) if (!speakers.has(identity)) this.#since.delete(identity);
    for (const identity of speakers) if (!this.#since.has(identity)) this.#since.set(identity, now);

    if (!others.some(({ identity }) => identity === this.#shown)) this.#shown = null;
    if (this.#shown !== null && speakers.has(this.#shown)) return null;
    const longest = [...this.#since].sort(([, a], [, b]) => a - b)[0];
    if (!longest) return null;
    const [identity, since] = longest;
    if (this.#shown !== null && now < since + LARGE_AFTER_MS) return since + LARGE_AFTER_MS;
    this.#shown = identity;
    return null;
  }
}
