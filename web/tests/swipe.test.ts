import { describe, expect, it } from 'vitest';
import { sendsAway } from '../src/ui/swipe';

describe('a sheet', () => {
  it('goes when it is pulled down far enough, however slowly', () => {
    expect(sendsAway(201, 5000, 600)).toBe(true);
    expect(sendsAway(199, 5000, 600)).toBe(false);
  });

  it('goes at a flick, but not at a tap', () => {
    expect(sendsAway(40, 60, 600)).toBe(true);
    expect(sendsAway(40, 400, 600)).toBe(false);
    expect(sendsAway(10, 5, 600)).toBe(false);
    expect(sendsAway(0, 0, 600)).toBe(false);
  });
});
