import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { load } from '../../../src/e2ee/keys/load';
import type { PageMessage, WorkerMessage } from '../../../src/e2ee/keys/messages';
import { FakeSocket } from './hall';

const bytes = () => readFileSync(new URL('../../../src/e2ee/keys/wasm/e2ee_bg.wasm', import.meta.url));

const told: { message: WorkerMessage; transfer: Transferable[] }[] = [];
const sockets: FakeSocket[] = [];
const scope = {
  onmessage: null as ((event: { data: PageMessage }) => void) | null,
  postMessage: (message: WorkerMessage, transfer: Transferable[]) => told.push({ message, transfer }),
};

beforeAll(async () => {
  await load(bytes());
  vi.stubGlobal('self', scope);
  vi.stubGlobal(
    'WebSocket',
    class extends FakeSocket {
      constructor(address: string) {
        super(address);
        sockets.push(this);
      }
    },
  );
  await import('../../../src/e2ee/keys/worker');
});

afterAll(() => {
  vi.unstubAllGlobals();
});

describe('the worker of the keys', () => {
  it('starts a meeting over a WebSocket, by a clock that tells the time of day', async () => {
    const { port1, port2 } = new MessageChannel();
    const config = {
      origin: 'https://meet.example',
      room: 'a',
      fragment: `#1${'0'.repeat(21)}`,
      name: 'Ann',
    };
    const say = (data: PageMessage) => scope.onmessage?.({ data });
    say({ type: 'load' });
    const key = new Uint8Array(32).fill(7);
    say({ type: 'open', config, key, media: port2 });
    say({ type: 'connect', url: 'wss://meet.example/channel', token: 'x' });
    await vi.waitFor(() => expect(told[0]?.message).toMatchObject({ type: 'opened' }));
    expect([...key]).toEqual(Array.from({ length: 32 }, () => 0));

    const [socket] = sockets;
    socket?.open();
    expect(JSON.parse(socket?.sent[0] ?? '')).toMatchObject({ type: 'hello' });
    socket?.say({ type: 'opened', log: 'log', head: 0, state: 'empty', resumed: false });
    const submitted = JSON.parse(socket?.sent.at(-1) ?? '') as { kind: string; data: string };
    expect(submitted.kind).toBe('group');
    const [opened] = told;
    const from = opened?.message.type === 'opened' ? opened.message.identity : '';
    const orders: unknown[] = [];
    const ordered = new Promise<void>((resolve) => {
      port1.onmessage = ({ data }) => {
        if (orders.push(data) === 2) resolve();
      };
    });
    socket?.say({ type: 'entry', seq: 1, kind: 'group', from, data: submitted.data });
    await ordered;
    expect(orders).toMatchObject([{ type: 'reset' }, { type: 'own', leaf: 0 }]);
    say({ type: 'path', open: true });
    say({ type: 'send', content: { type: 'chat', id: '1', text: 'Hello' } });
    const packet = told.findLast(({ message }) => message.type === 'packet');
    expect(packet?.message.type === 'packet' && packet.transfer[0]).toBe(
      packet?.message.type === 'packet' && packet.message.payload.buffer,
    );
    say({ type: 'leave' });
    expect(told.at(-1)?.message).toEqual({ type: 'closed' });
    port1.close();
  });
});
