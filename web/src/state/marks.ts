/**
 * Marks of people that do not flutter: what is so for a while sets one, what has ceased for a while takes it away. Pure
 * bookkeeping over times that are passed in.
 */

interface Track {
  /** Since when it is so, or not. */
  since: number;
  so: boolean;
  marked: boolean;
  changedAt: number;
}

export class Marks {
  #tracks = new Map<string, Track>();

  constructor(
    private readonly onAfterMs: number,
    private readonly offAfterMs: number,
  ) {}

  /** Tells of whom it is so at `now`. Returns when `marked` can change next, or `null`. */
  update(states: Map<string, boolean>, now: number): number | null {
    for (const id of [...this.#tracks.keys()]) if (!states.has(id)) this.#tracks.delete(id);
    let next: number | null = null;
    for (const [id, so] of states) {
      let track = this.#tracks.get(id);
      if (!track) {
        track = { since: now, so, marked: false, changedAt: 0 };
        this.#tracks.set(id, track);
      }
      if (track.so !== so) {
        track.so = so;
        track.since = now;
      }
      const due = track.since + (so ? this.onAfterMs : this.offAfterMs);
      if (track.marked !== so) {
        if (now >= due) {
          track.marked = so;
          track.changedAt = so ? now : track.since;
        } else next = next === null ? due : Math.min(next, due);
      }
    }
    return next;
  }

  marked(id: string): boolean {
    return this.#tracks.get(id)?.marked ?? false;
  }

  /** When the mark was set, or when it ceased to be so before the mark went; while it stays so, this stays. 0 = never. */
  changedAt(id: string): number {
    return this.#tracks.get(id)?.changedAt ?? 0;
  }
}
