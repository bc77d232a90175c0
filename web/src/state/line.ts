/** What people see of their lines: whose connection is weak, and whose picture the server pauses. */

import type { RtcParticipant } from '../rtc/types';
import { Marks } from './marks';

/**
 * The server judges every 2 s and lets a quality fall at once (docs/quality.md): two bad judgements in a row are no
 * hiccup. Shorter, and every busy moment of a Wi-Fi would be news; longer, and people wonder first.
 */
export const WEAK_AFTER_MS = 4000;
/** The server takes its time to let it rise, so that little more is needed. */
export const WELL_AFTER_MS = 4000;
/** Pictures stand still for a moment when layers change. Then the last one is better than none. */
export const PAUSED_AFTER_MS = 1000;
/** A picture that comes again is shown at once. */
const RESUMED_AFTER_MS = 0;
/** One's own weak connection is told again at the earliest after this; the mark on one's own picture stays anyway. */
export const TOLD_AGAIN_MS = 60_000;

export class Lines {
  #weak = new Marks(WEAK_AFTER_MS, WELL_AFTER_MS);
  #cameras = new Marks(PAUSED_AFTER_MS, RESUMED_AFTER_MS);
  #screens = new Marks(PAUSED_AFTER_MS, RESUMED_AFTER_MS);
  #toldAt = -Infinity;

  /** What is so at `now`; nothing is while one is not `connected`. Returns when a mark can change next, or `null`. */
  update(participants: RtcParticipant[], connected: boolean, now: number): number | null {
    const of = (is: (participant: RtcParticipant) => boolean | null | undefined) =>
      new Map(participants.map((one) => [one.identity, connected && is(one) === true]));
    const due = [
      this.#weak.update(
        of((one) => one.weak),
        now,
      ),
      this.#cameras.update(
        of((one) => one.camera?.video && one.camera.paused),
        now,
      ),
      this.#screens.update(
        of((one) => one.screen?.video && one.screen.paused),
        now,
      ),
    ].filter((at) => at !== null);
    return due.length > 0 ? Math.min(...due) : null;
  }

  isWeak(identity: string): boolean {
    return this.#weak.marked(identity);
  }

  isCameraPaused(identity: string): boolean {
    return this.#cameras.marked(identity);
  }

  isScreenPaused(identity: string): boolean {
    return this.#screens.marked(identity);
  }

  /** Whether to tell somebody now that their own connection has become weak. */
  isNews(wasWeak: boolean, isWeak: boolean, now: number): boolean {
    if (wasWeak || !isWeak || now - this.#toldAt < TOLD_AGAIN_MS) return false;
    this.#toldAt = now;
    return true;
  }
}
