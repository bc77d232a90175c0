import { describe, expect, it } from 'vitest';
import { sendsAway, turnedBy } from '../src/ui/swipe';

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

describe('a page', () => {
  it('turns with a finger to the side', () => {
    expect(turnedBy(-80, 10)).toBe(1);
    expect(turnedBy(80, -10)).toBe(-1);
  });

  it('stays with a tap, and with a finger that goes up or down', () => {
    expect(turnedBy(-20, 0)).toBe(0);
    expect(turnedBy(-80, 70)).toBe(0);
    expect(turnedBy(0, 300)).toBe(0);
  });
});
