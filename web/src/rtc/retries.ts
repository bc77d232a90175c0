/** When the way back into a meeting is tried again. */

/** The first try comes within this time: a line that only blinked is there again, and after a restart of the server
 * its clients still do not come in one moment. */
const FIRST_MS = 250;

/**
 * Then so many tries with these pauses on average. Most outages last seconds, and whoever waits looks at a frozen meeting:
 * the library's own pauses grow to 7 s within five tries, so that an outage of 3 s took up to 6. A try in vain costs one
 * request. About a minute and a half in all, longer than the server keeps somebody's place.
 */
const PAUSES: readonly (readonly [tries: number, ms: number])[] = [
  [12, 600],
  [8, 2_000],
  [12, 5_000],
];

/** How long to wait before the next try after so many, in ms; `null` to give up. `random` gives 0 to 1. */
export function retryDelay(tries: number, random: () => number): number | null {
  if (tries === 0) return Math.round(FIRST_MS * random());
  let left = tries;
  for (const [count, ms] of PAUSES) {
    if (left <= count) return Math.round(ms * (0.5 + random()));
    left -= count;
  }
  return null;
}
