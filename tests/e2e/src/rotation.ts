/** How long a picture stands still while keys change, against the time before. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Crowd } from './crowd.ts';
import type { Person } from './person.ts';

/** How long pictures are watched, in ms: what is measured is the longest freeze of such a time. */
const WATCHED_MS = 10_000;

/** Longest times without a new frame, in ms. */
export interface Freezes {
  quiet: number;
  /** While somebody came and went. */
  changing: number;
}

/** What one person sees of another; Cem comes and goes. */
export async function freezes(person: Person, of: Person, crowd: Crowd): Promise<Freezes> {
  const freeze = () => person.window.evaluate((video) => window.probe.longestFreeze(video), person.video(of));
  await freeze();
  await pause(WATCHED_MS);
  const quiet = await freeze();
  const begin = Date.now();
  // Everybody gets new keys when somebody comes, and again when whoever left has been removed.
  const guest = await crowd.join('Cem');
  await person.sees('tile', { name: 'Cem', trust: 'keys' });
  await crowd.leave(guest);
  await person.sees('tile', { name: 'Cem' }, 0);
  await pause(WATCHED_MS - (Date.now() - begin));
  return { quiet, changing: await freeze() };
}
