/** Tells the page how streams fare: at once when something new happens, else once a second and only what changed. */

import type { Counts, MediaReport } from './messages';

const EVERY_MS = 1000;

/** A stream that can say how it fares. */
export interface Reporting {
  report(): MediaReport;
}

export class Reports {
  readonly #changed = new Set<Reporting>();
  #planned = false;

  constructor(
    readonly post: (report: MediaReport) => void,
    readonly later: (work: () => void, ms: number) => void,
  ) {}

  /** Something was counted. */
  changed(stream: Reporting): void {
    this.#changed.add(stream);
    if (this.#planned) return;
    this.#planned = true;
    this.later(() => this.#flush(), EVERY_MS);
  }

  now(stream: Reporting): void {
    this.#changed.delete(stream);
    this.post(stream.report());
  }

  gone(stream: Reporting): void {
    this.#changed.delete(stream);
  }

  #flush(): void {
    this.#planned = false;
    for (const stream of this.#changed) this.post(stream.report());
    this.#changed.clear();
  }
}

export function count<Reason extends string>(counts: Counts<Reason>, reason: Reason): void {
  counts[reason] = (counts[reason] ?? 0) + 1;
}
