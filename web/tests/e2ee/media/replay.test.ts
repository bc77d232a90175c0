import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LATE_MS, Lateness } from '../../../src/e2ee/media/lateness';
import { ReplayWindow, WINDOW } from '../../../src/e2ee/media/replay';

describe('the replay window', () => {
  it('takes each counter once, and none from before the window', () => {
    const window = new ReplayWindow();
    expect(window.take(5000)).toBe(true);
    expect(window.take(5000)).toBe(false);
    expect(window.take(5001 - WINDOW)).toBe(true);
    expect(window.take(5001 - WINDOW)).toBe(false);
    expect(window.take(5000 - WINDOW)).toBe(false);
    expect(window.isFresh(5002)).toBe(true);
  });

  it('does what a set of all counters would', () => {
    const steps = fc.array(fc.oneof(fc.integer({ min: -1100, max: 40 }), fc.integer({ min: 0, max: 3000 })), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(steps, fc.boolean(), (moves, far) => {
        const window = new ReplayWindow();
        const used = new Set<number>();
        let newest = far ? 2 ** 40 : 0;
        window.take(newest);
        used.add(newest);
        for (const move of moves) {
          const counter = Math.max(0, newest + move);
          const fresh = counter > newest - WINDOW && !used.has(counter);
          expect(window.isFresh(counter)).toBe(fresh);
          expect(window.take(counter)).toBe(fresh);
          if (fresh) used.add(counter);
          newest = Math.max(newest, counter);
        }
      }),
    );
  });
});

describe('lateness', () => {
  const at = (counter: number, epoch = 1) => ({ epoch, counter });

  it('is two seconds behind what was opened', () => {
    const lateness = new Lateness();
    lateness.opened(at(10), 0);
    expect(lateness.isLate(at(9), LATE_MS)).toBe(false);
    expect(lateness.isLate(at(9), LATE_MS + 1)).toBe(true);
    expect(lateness.isLate(at(10), LATE_MS + 1)).toBe(false);
    expect(lateness.isLate(at(9, 2), LATE_MS + 1)).toBe(false);
    expect(lateness.isLate(at(99, 0), LATE_MS + 1)).toBe(true);
  });

  it('is nothing that befalls a stream that is late as a whole', () => {
    const lateness = new Lateness();
    for (let frame = 0; frame < 100; frame++) {
      expect(lateness.isLate(at(frame), frame * 5000)).toBe(false);
      lateness.opened(at(frame), frame * 5000);
    }
  });

  it('is found while frames come all the time', () => {
    const lateness = new Lateness();
    for (let ms = 0; ms < 10_000; ms += 20) lateness.opened(at(ms), ms);
    expect(lateness.isLate(at(9980 - LATE_MS - 300), 9980)).toBe(true);
    expect(lateness.isLate(at(9980 - LATE_MS + 100), 9980)).toBe(false);
  });
});
