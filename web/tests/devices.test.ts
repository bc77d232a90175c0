import { afterEach, describe, expect, it, vi } from 'vitest';
import { browserDevices } from '../src/rtc/devices';
import { DeviceError } from '../src/rtc/types';

type Kind = 'microphone' | 'camera';

/** A browser that gives what `gives` allows, and notes each question. */
function browser(
  gives: (asked: Kind[]) => string | null,
  permissions: Partial<Record<Kind, PermissionState>> | null = {},
): Kind[][] {
  const questions: Kind[][] = [];
  vi.stubGlobal('window', { isSecureContext: true });
  vi.stubGlobal('RTCPeerConnection', vi.fn());
  vi.stubGlobal('navigator', {
    mediaDevices: {
      async getUserMedia({ audio, video }: MediaStreamConstraints) {
        const asked: Kind[] = [
          ...(audio ? ['microphone' as const] : []),
          ...(video ? ['camera' as const] : []),
        ];
        questions.push(asked);
        const refusal = gives(asked);
        if (refusal) throw new DOMException('', refusal);
        const tracks = asked.map((kind) => ({ kind: kind === 'camera' ? 'video' : 'audio' }));
        return {
          getTracks: () => tracks,
          getAudioTracks: () => tracks.filter(({ kind }) => kind === 'audio'),
          getVideoTracks: () => tracks.filter(({ kind }) => kind === 'video'),
        };
      },
    },
    permissions: permissions && {
      query: async ({ name }: { name: Kind }) => ({ state: permissions[name] ?? 'prompt' }),
    },
  });
  return questions;
}

async function open() {
  const { microphone, camera } = await browserDevices().open({ microphone: '', camera: '' });
  const result = (opened: unknown) => (opened instanceof DeviceError ? opened.problem : 'open');
  return { microphone: result(microphone), camera: result(camera) };
}

afterEach(() => vi.unstubAllGlobals());

describe('microphone and camera', () => {
  it('are asked for in one question', async () => {
    const questions = browser(() => null);
    expect(await open()).toEqual({ microphone: 'open', camera: 'open' });
    expect(questions).toEqual([['microphone', 'camera']]);
  });

  it.each([{}, null])('are not asked for again after a no (permissions: %j)', async (permissions) => {
    const questions = browser(() => 'NotAllowedError', permissions);
    expect(await open()).toEqual({ microphone: 'denied', camera: 'denied' });
    expect(questions).toHaveLength(1);
  });

  it('give the one that was granted before, without a question about the other', async () => {
    const questions = browser((asked) => (asked.includes('camera') ? 'NotAllowedError' : null), {
      microphone: 'granted',
      camera: 'denied',
    });
    expect(await open()).toEqual({ microphone: 'open', camera: 'denied' });
    expect(questions).toEqual([['microphone', 'camera'], ['microphone']]);
  });

  it('are tried one by one when one of them is missing or busy', async () => {
    const questions = browser((asked) => (asked.includes('camera') ? 'NotReadableError' : null));
    expect(await open()).toEqual({ microphone: 'open', camera: 'busy' });
    expect(questions).toHaveLength(3);
  });
});
