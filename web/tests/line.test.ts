import { beforeEach, describe, expect, it } from 'vitest';
import type { RtcParticipant, VideoHandle } from '../src/rtc/types';
import { Lines, PAUSED_AFTER_MS, TOLD_AGAIN_MS, WEAK_AFTER_MS, WELL_AFTER_MS } from '../src/state/line';
import { participant } from '../scripted/world';

const picture: VideoHandle = { attach: () => () => undefined };
const showing = (paused: boolean): Partial<RtcParticipant> => ({
  camera: { muted: false, video: picture, paused },
});

let lines: Lines;
const at = (now: number, change: Partial<RtcParticipant>, connected = true) =>
  lines.update([participant('a', change)], connected, now);

beforeEach(() => {
  lines = new Lines();
  at(0, {});
});

describe('a weak connection', () => {
  it('is shown when it has been weak for some seconds', () => {
    expect(at(1000, { weak: true })).toBe(1000 + WEAK_AFTER_MS);
    at(1000 + WEAK_AFTER_MS - 1, { weak: true });
    expect(lines.isWeak('a')).toBe(false);
    expect(at(1000 + WEAK_AFTER_MS, { weak: true })).toBeNull();
    expect(lines.isWeak('a')).toBe(true);
  });

  it('that comes and goes neither shows nor hides it', () => {
    for (let now = 0; now < 60_000; now += 2000) {
      at(now, { weak: now % 4000 === 0 });
      expect(lines.isWeak('a')).toBe(false);
    }
    at(60_000, { weak: true });
    at(60_000 + WEAK_AFTER_MS, { weak: true });
    for (let now = 70_000; now < 130_000; now += 2000) {
      at(now, { weak: now % 4000 !== 0 });
      expect(lines.isWeak('a')).toBe(true);
    }
  });

  it('is shown no longer when it has been well for some seconds', () => {
    at(1000, { weak: true });
    at(9000, { weak: true });
    expect(at(10_000, {})).toBe(10_000 + WELL_AFTER_MS);
    at(10_000 + WELL_AFTER_MS, {});
    expect(lines.isWeak('a')).toBe(false);
  });

  it('is not judged while one is not connected oneself', () => {
    at(1000, { weak: true });
    expect(at(2000, { weak: true }, false)).toBeNull();
    at(9000, { weak: true }, false);
    expect(lines.isWeak('a')).toBe(false);
  });

  it('of one’s own is told once, and again after a minute', () => {
    expect(lines.isNews(false, false, 0)).toBe(false);
    expect(lines.isNews(false, true, 1000)).toBe(true);
    expect(lines.isNews(true, true, 2000)).toBe(false);
    expect(lines.isNews(false, true, 1000 + TOLD_AGAIN_MS - 1)).toBe(false);
    expect(lines.isNews(false, true, 1000 + TOLD_AGAIN_MS)).toBe(true);
  });
});

describe('a paused picture', () => {
  it('is shown as paused after a second, and at once as live again', () => {
    at(1000, showing(true));
    expect(lines.isCameraPaused('a')).toBe(false);
    at(1000 + PAUSED_AFTER_MS, showing(true));
    expect([lines.isCameraPaused('a'), lines.isScreenPaused('a')]).toEqual([true, false]);
    at(5000, showing(false));
    expect(lines.isCameraPaused('a')).toBe(false);
  });

  it('that somebody switches off is no picture', () => {
    at(1000, showing(true));
    at(3000, { camera: { muted: true, video: null, paused: true } });
    expect(lines.isCameraPaused('a')).toBe(false);
  });
});
