import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { channelAddress } from '../../src/e2ee/keys/address';
import type { PageMessage, WorkerMessage } from '../../src/e2ee/keys/messages';
import type { Roster } from '../../src/e2ee/keys/wire';
import type { MediaEncryption } from '../../src/e2ee/media/encryption';
import type { MediaReport } from '../../src/e2ee/media/messages';
import { browserKeys } from '../../src/e2ee';
import { WorkerKeys } from '../../src/e2ee/meeting-keys';
import type { KeysEvent } from '../../src/e2ee/types';

class FakeWorker {
  onmessage: ((event: MessageEvent) => void) | null = null;
  onerror: (() => void) | null = null;
  told: PageMessage[] = [];
  ended = false;
  postMessage(message: PageMessage) {
    this.told.push(message);
  }
  terminate() {
    this.ended = true;
  }
  say(message: WorkerMessage) {
    this.onmessage?.({ data: message } as MessageEvent);
  }
}

class FakeMedia {
  keys = new MessageChannel().port1;
  leaves: ReadonlyMap<string, number> = new Map();
  stopped = false;
  report: (report: MediaReport) => void = () => undefined;
  onReport(listener: (report: MediaReport) => void) {
    this.report = listener;
  }
  publisherOf = (id: number) => (id === 1 ? { identity: 'b', kind: 'camera' } : null);
  setLeaves(leaves: ReadonlyMap<string, number>) {
    this.leaves = leaves;
  }
  stop() {
    this.stopped = true;
  }
}

const request = {
  origin: 'https://meet.example',
  room: 'a',
  fragment: '#1',
  name: 'Ann',
  seed: new Uint8Array(32).fill(3),
};

let worker: FakeWorker;
let media: FakeMedia;
let events: KeysEvent[];

beforeEach(() => {
  vi.useFakeTimers();
  worker = new FakeWorker();
  media = new FakeMedia();
  events = [];
});

afterEach(() => {
  vi.useRealTimers();
});

const opening = () =>
  WorkerKeys.open(worker as never, media as unknown as MediaEncryption, request).then((keys) => {
    keys.on((event) => events.push(event));
    return keys;
  });

async function opened(): Promise<WorkerKeys> {
  const waiting = opening();
  worker.say({ type: 'opened', identity: 'me' });
  return waiting;
}

const member = (identity: string, leaf: number) => ({
  identity,
  leaf,
  own: false,
  host: false,
  here: true,
  compared: false,
  verified: false,
});
const roster: Roster = {
  epoch: 1,
  locked: false,
  members: [member('me', 0), member('b', 4)],
  digits: [],
  emoji: [],
};

describe('the keys of a meeting', () => {
  it('have the identity that follows from their key, whose seed goes to the worker only', async () => {
    const keys = await opened();
    expect(keys.identity).toBe('me');
    const [open] = worker.told;
    expect(open).toMatchObject({ type: 'open', config: { room: 'a', name: 'Ann', fragment: '#1' } });
    expect(open?.type === 'open' && [...open.key]).toEqual([...request.seed]);
    expect(open?.type === 'open' && 'seed' in open.config).toBe(false);
    expect(request.seed[0]).toBe(3);
  });

  it('are none where the worker fails or does not answer', async () => {
    const failing = opening();
    worker.say({ type: 'failed' });
    await expect(failing).rejects.toMatchObject({ problem: 'failed' });
    expect(media.stopped).toBe(true);

    const late = opening();
    const check = expect(late).rejects.toMatchObject({ problem: 'failed' });
    await vi.advanceTimersByTimeAsync(20_000);
    await check;
  });

  it('say how they stand and who has them, and the frames learn the leaves', async () => {
    const keys = await opened();
    expect([keys.state, keys.roster]).toEqual([{ type: 'connecting' }, null]);
    worker.say({ type: 'event', event: { type: 'state', state: { type: 'member', confirmed: true } } });
    worker.say({ type: 'event', event: { type: 'roster', roster } });
    expect(keys.state).toEqual({ type: 'member', confirmed: true });
    expect(keys.roster).toBe(roster);
    expect([...media.leaves]).toEqual([
      ['me', 0],
      ['b', 4],
    ]);
    expect(events.map(({ type }) => type)).toEqual(['state', 'roster']);
  });

  it('tell whose stream opens', async () => {
    await opened();
    const report = (id: number, state: 'waiting' | 'opening' | 'failing') =>
      media.report({ type: 'opened', id, state, opened: 0, refused: {} });
    report(1, 'waiting');
    report(2, 'opening');
    report(1, 'opening');
    expect(events).toEqual([]);
    for (const state of ['failing', 'failing', 'opening', 'failing', 'waiting'] as const) report(1, state);
    const told = (opens: boolean) => ({ type: 'stream', id: 1, identity: 'b', opens });
    expect(events).toEqual([told(false), told(true), told(false), told(true)]);
  });

  it('fail when one of the workers does', async () => {
    await opened();
    media.report({ type: 'broken' });
    worker.onerror?.();
    expect(events).toEqual([{ type: 'failed' }, { type: 'failed' }]);
  });

  it('pass packets on, both ways', async () => {
    const keys = await opened();
    const sent: unknown[] = [];
    keys.onPacket((payload, to) => sent.push([payload, to]));
    worker.say({ type: 'packet', to: ['b'], payload: Uint8Array.of(1) });
    expect(sent).toEqual([[Uint8Array.of(1), ['b']]]);
    keys.packet(Uint8Array.of(2));
    expect(worker.told.at(-1)).toEqual({ type: 'packet', payload: Uint8Array.of(2) });
  });

  it('are gone once one leaves, and the worker when it has told the server', async () => {
    const keys = await opened();
    keys.leave();
    keys.send({ type: 'hand', raised: true });
    expect(worker.told.at(-1)).toEqual({ type: 'leave' });
    expect([media.stopped, worker.ended]).toEqual([true, false]);
    worker.say({ type: 'event', event: { type: 'state', state: { type: 'stopped', reason: 'left' } } });
    expect(events).toEqual([]);
    worker.say({ type: 'closed' });
    expect(worker.ended).toBe(true);
  });

  it('end with the worker where it says nothing more', async () => {
    const keys = await opened();
    keys.leave();
    await vi.advanceTimersByTimeAsync(2000);
    expect(worker.ended).toBe(true);
  });
});

describe('a browser', () => {
  it('that cannot encrypt meetings says so and opens nothing', async () => {
    expect(browserKeys().obstacle()).toBe('unsupported');
    await expect(browserKeys().open(request)).rejects.toMatchObject({ problem: 'unsupported' });
  });
});

describe('the channel', () => {
  it('is on the server that the admission named', () => {
    expect(channelAddress('wss://meet.example', 'kollegium-7b')).toBe(
      'wss://meet.example/api/v1/rooms/kollegium-7b/channel',
    );
    expect(channelAddress('http://localhost:7880/', 'größe')).toBe(
      'ws://localhost:7880/api/v1/rooms/gr%C3%B6%C3%9Fe/channel',
    );
  });
});
