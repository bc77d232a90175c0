/** Before the first test: the media files, so that no test's time is spent on them, and a sound card. */
import { flashAndBeep, lookFiles } from './media.ts';
import { LOOKS } from './meeting.ts';
import { startSoundCard } from './sound-card.ts';

/** Returns what is done after the last test. */
export default function setup(): Promise<() => Promise<void>> {
  Object.values(LOOKS).forEach(lookFiles);
  flashAndBeep();
  return startSoundCard();
}
