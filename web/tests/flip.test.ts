import { describe, expect, it } from 'vitest';
import { between, ease, step } from '../src/ui/flip';

const OLD = { x: 0, y: 100, width: 400, height: 300 };
const NEW = { x: 500, y: 20, width: 200, height: 180 };

describe('the easing of tiles', () => {
  it('is cubic-bezier(0.2, 0, 0, 1): starts, ends, grows, is soon near the end', () => {
    expect(ease(0)).toBe(0);
    expect(ease(1)).toBe(1);
    const values = Array.from({ length: 101 }, (_, i) => ease(i / 100));
    values.slice(1).forEach((value, i) => expect(value).toBeGreaterThanOrEqual(values[i] ?? 1));
    // u = 0.5: x = 0.6 · 0.125 + 0.125, y = 0.5.
    expect(ease(0.2)).toBeCloseTo(0.5, 4);
  });
});

describe('a tile that moves', () => {
  it('is first seen where it was, and at last where it stands', () => {
    const { frame } = step(OLD, NEW);
    expect(NEW.x + frame.x).toBe(OLD.x);
    expect(NEW.y + frame.y).toBe(OLD.y);
    expect(NEW.width * frame.scaleX).toBeCloseTo(OLD.width);
    expect(NEW.height * frame.scaleY).toBeCloseTo(OLD.height);
    expect(step(NEW, NEW)).toEqual({
      frame: { x: 0, y: 0, scaleX: 1, scaleY: 1 },
      picture: { scaleX: 1, scaleY: 1 },
      plate: { x: 0, y: 0 },
    });
  });

  it('never distorts the picture, which always covers its frame', () => {
    for (let i = 0; i <= 10; i++) {
      const { frame, picture } = step(between(OLD, NEW, i / 10), NEW);
      expect(frame.scaleX * picture.scaleX).toBeCloseTo(frame.scaleY * picture.scaleY);
      expect(Math.min(picture.scaleX, picture.scaleY)).toBeCloseTo(1);
    }
  });

  it('takes its name plate along at the bottom left', () => {
    const { plate } = step(OLD, NEW);
    expect(NEW.x + plate.x).toBe(OLD.x);
    expect(NEW.y + NEW.height + plate.y).toBe(OLD.y + OLD.height);
  });
});
