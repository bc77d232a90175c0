/**
 * Who is marked as speaking: on after 300 ms of speech, off after 1 s of silence, so that a cough or a breath does not
 * make rings jump.
 */

import { Marks } from './marks';

export const ON_AFTER_MS = 300;
export const OFF_AFTER_MS = 1000;

export class SpeakerMarks extends Marks {
  constructor() {
    super(ON_AFTER_MS, OFF_AFTER_MS);
  }

  /** When they last began or ceased to speak; while they go on speaking it stays. 0 = never. */
  spokeAt(id: string): number {
    return this.changedAt(id);
  }
}
