/**
 * Who is marked as speaking: on after 300 ms of speech, off after 1 s of silence, so that a cough or a breath does not
 * make rings jump. Pure bookkeeping over times that are passed in.
 */

export const ON_AFTER_MS = 300;
export const OFF_AFTER_MS = 1000;

interface Track {
  /** Since when they speak or are silent. */
  since: number;
  speaking: boolean;
  marked: boolean;
  spokeAt: number;
}

export class SpeakerMarks {
  #tracks = new Map<string, Track>();

  /** Tells who speaks at `now`. Returns when `marked` can change next, or `null`. */
  update(speaking: Map<string, boolean>, now: number): number | null {
    for (const id of [...this.#tracks.keys()]) if (!speaking.has(id)) this.#tracks.delete(id);
    let next: number | null = null;
    for (const [id, speaks] of speaking) {
      let track = this.#tracks.get(id);
      if (!track) {
        track = { since: now, speaking: speaks, marked: false, spokeAt: 0 };
        this.#tracks.set(id, track);
      }
      if (track.speaking !== speaks) {
        track.speaking = speaks;
        track.since = now;
      }
      const due = track.since + (speaks ? ON_AFTER_MS : OFF_AFTER_MS);
      if (track.marked !== speaks) {
        if (now >= due) {
          track.marked = speaks;
          track.spokeAt = speaks ? now : track.since;
        } else next = next === null ? due : Math.min(next, due);
      }
    }
    return next;
  }

  marked(id: string): boolean {
    return this.#tracks.get(id)?.marked ?? false;
  }

  /** When they last began or ceased to speak; while they go on speaking it stays. 0 = never. */
  spokeAt(id: string): number {
    return this.#tracks.get(id)?.spokeAt ?? 0;
  }
}
