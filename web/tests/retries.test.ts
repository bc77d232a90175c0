import { describe, expect, it } from 'vitest';
import { retryDelay } from '../src/rtc/retries';

/** When each try begins, in ms, if each fails at once. */
function tries(random: () => number): number[] {
  const times: number[] = [];
  let now = 0;
  for (;;) {
    const delay = retryDelay(times.length, random);
    if (delay === null) return times;
    times.push((now += delay));
  }
}

describe('the way back into a meeting', () => {
  it('is tried at once, and within a second after the end of a short outage', () => {
    for (const luck of [0, 0.5, 0.999]) {
      const times = tries(() => luck);
      expect(times[0]).toBeLessThanOrEqual(250);
      for (const [index, time] of times.entries()) {
        const before = times[index - 1] ?? 0;
        if (before < 3_000) expect(time - before).toBeLessThan(1_000);
        // Not a flood either: the server may be what is down.
        if (index > 0) expect(time - before).toBeGreaterThanOrEqual(300);
      }
    }
  });

  it('is tried for as long as the server keeps the place, and then given up', () => {
    for (const luck of [0, 0.999]) {
      const last = tries(() => luck).at(-1);
      expect(last).toBeGreaterThan(40_000);
      expect(last).toBeLessThan(150_000);
    }
  });
});
