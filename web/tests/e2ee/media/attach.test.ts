import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { payloadTypes } from '../../../src/e2ee/media/payload-types';

interface Transceiver {
  sender: string;
  receiver: string;
  stop(): void;
}

/** What of a connection is wrapped, and what is made with it. */
class Connection {
  readonly transceivers: Transceiver[] = [];
  readonly stopped: string[] = [];
  readonly #listeners: (() => void)[] = [];

  addTransceiver(_what: unknown): Transceiver {
    const number = this.transceivers.length;
    const sender = `sender ${number}`;
    const made = { sender, receiver: `receiver ${number}`, stop: () => void this.stopped.push(sender) };
    this.transceivers.push(made);
    return made;
  }

  addTrack(): string {
    return Connection.born.call(this, 'track').sender;
  }

  setLocalDescription(): Promise<void> {
    return Promise.resolve();
  }

  /** The other end's stream is announced before the description is applied. */
  async setRemoteDescription(): Promise<void> {
    Connection.born.call(this, 'remote');
    for (const listener of this.#listeners) listener();
    await Promise.resolve();
  }

  addEventListener(_name: string, listener: () => void): void {
    this.#listeners.push(listener);
  }

  getTransceivers(): Transceiver[] {
    return this.transceivers;
  }

  /** The browser makes transceivers without calling what pages see. */
  static readonly born = Connection.prototype.addTransceiver;
}

/** As it is before anything is wrapped. */
const pristine = { ...Object.getOwnPropertyDescriptors(Connection.prototype) };

const attached: string[] = [];
const attacher = {
  attach: (_connection: unknown, end: unknown) => void attached.push(String(end)),
  described: () => void attached.push('described'),
};

let attachAtBirth: (to: typeof attacher) => () => void;
let detach: () => void;

beforeEach(async () => {
  attached.length = 0;
  Object.defineProperties(Connection.prototype, pristine);
  vi.stubGlobal('RTCPeerConnection', Connection);
  vi.resetModules();
  ({ attachAtBirth } = await import('../../../src/e2ee/media/attach'));
  detach = attachAtBirth(attacher);
});

afterEach(() => {
  detach();
  vi.unstubAllGlobals();
});

const connection = () => new Connection();

describe('transforms are there', () => {
  it('when a method that makes a sender returns', () => {
    const made = connection();
    made.addTransceiver('video');
    expect(attached).toEqual(['sender 0', 'receiver 0']);
    made.addTrack();
    expect(attached.slice(2)).toContain('sender 1');
  });

  it('when the other end’s stream is announced', async () => {
    const applied = connection().setRemoteDescription();
    expect(attached).toEqual(['sender 0', 'receiver 0']);
    await applied;
    expect(attached.at(-1)).toBe('described');
  });

  it('on connections that there are, but not on those that come after the end', () => {
    const before = connection();
    before.addTransceiver('audio');
    detach();
    before.addTransceiver('audio');
    expect(attached).toContain('sender 1');
    attached.length = 0;
    connection().addTransceiver('audio');
    expect(attached).toEqual([]);
  });
});

it('a transceiver that gets no transform is stopped', () => {
  detach();
  detach = attachAtBirth({
    ...attacher,
    attach: () => {
      throw new Error('unsupported');
    },
  });
  const made = connection();
  expect(() => made.addTransceiver('video')).toThrow('unsupported');
  expect(made.stopped).toEqual(['sender 0']);
});

it('there is one meeting at a time', () => {
  expect(() => attachAtBirth(attacher)).toThrow('another meeting');
});

it('payload types are read by the kind of media', () => {
  const sdp = [
    'v=0',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=rtpmap:111 opus/48000/2',
    'm=video 9 UDP/TLS/RTP/SAVPF 96 97',
  ];
  const lines = [
    ...sdp,
    'a=rtpmap:96 VP8/90000',
    'a=fmtp:97 apt=96',
    'a=rtpmap:97 rtx/90000',
    'a=rtpmap:x y',
  ];
  expect(payloadTypes(lines.join('\r\n'))).toEqual({ 111: 'audio/opus', 96: 'video/VP8', 97: 'video/rtx' });
});
