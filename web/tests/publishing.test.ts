import { describe, expect, it } from 'vitest';
import { publishOrStop } from '../src/rtc/publishing';

function device() {
  return {
    live: true,
    stop() {
      this.live = false;
    },
  };
}

describe('a device that is published', () => {
  it('goes on in the meeting', async () => {
    const track = device();
    await publishOrStop(
      track,
      async () => undefined,
      () => false,
    );
    expect(track.live).toBe(true);
  });

  it('is switched off when it does not reach the server', async () => {
    const track = device();
    const refused = new Error('refused');
    const publishing = publishOrStop(
      track,
      async () => Promise.reject(refused),
      () => false,
    );
    await expect(publishing).rejects.toBe(refused);
    expect(track.live).toBe(false);
  });

  it('is switched off when the meeting ended meanwhile', async () => {
    const track = device();
    let ended = false;
    await publishOrStop(
      track,
      async () => {
        ended = true;
      },
      () => ended,
    );
    expect(track.live).toBe(false);
  });

  it('is not published after the end', async () => {
    const track = device();
    let published = false;
    await publishOrStop(
      track,
      async () => {
        published = true;
      },
      () => true,
    );
    expect([published, track.live]).toEqual([false, false]);
  });
});
