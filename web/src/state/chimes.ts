/** Which sound is heard when: one for a burst of the same kind, so that a class arriving rings once. */

import type { Chime, Sounds } from '../rtc/types';
import type { Clock } from './ports';

/** A burst ends when nothing of its kind happened for so long. */
export const BURST_MS = 3000;

export class Chimes {
  #last = new Map<Chime, number>();

  constructor(
    private readonly clock: Pick<Clock, 'now'>,
    private readonly sounds: Sounds,
    private readonly allowed: () => boolean,
  ) {}

  /** `speaker` is the chosen device, `''` for the system's. */
  ring(chime: Chime, speaker: string): void {
    const now = this.clock.now();
    const last = this.#last.get(chime);
    this.#last.set(chime, now);
    if (last !== undefined && now - last < BURST_MS) return;
    if (this.allowed()) this.sounds.play(chime, speaker);
  }
}
