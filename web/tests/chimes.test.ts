import { beforeEach, describe, expect, it } from 'vitest';
import { BURST_MS, Chimes } from '../src/state/chimes';
import { FakeClock } from '../scripted/world';

describe('a chime', () => {
  let clock: FakeClock;
  let heard: string[];
  let allowed: boolean;
  let chimes: Chimes;

  beforeEach(() => {
    clock = new FakeClock();
    heard = [];
    allowed = true;
    chimes = new Chimes(clock, { play: (chime) => heard.push(chime) }, () => allowed);
  });

  it('rings once for a burst, however long it lasts', () => {
    for (let n = 0; n < 20; n++) {
      chimes.ring('message', '');
      clock.pass(BURST_MS - 1);
    }
    expect(heard).toEqual(['message']);
    clock.pass(1);
    chimes.ring('message', '');
    expect(heard).toEqual(['message', 'message']);
  });

  it('of another kind rings all the same', () => {
    chimes.ring('joined', '');
    chimes.ring('left', '');
    expect(heard).toEqual(['joined', 'left']);
  });

  it('that is not wanted is not heard, nor the rest of its burst', () => {
    allowed = false;
    chimes.ring('joined', '');
    allowed = true;
    chimes.ring('joined', '');
    expect(heard).toEqual([]);
  });
});
