import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Keys, load } from '../../../src/e2ee/keys/load';

const bytes = () => readFileSync(new URL('../../../src/e2ee/keys/wasm/e2ee_bg.wasm', import.meta.url));
const seed = (byte: number) => new Uint8Array(32).fill(byte);
const config = (change: object = {}) =>
  JSON.stringify({
    origin: 'https://meet.example',
    room: 'a',
    fragment: `#1${'0'.repeat(21)}`,
    name: 'Ann',
    ...change,
  });

let keys: Keys;

beforeAll(async () => {
  keys = await load(bytes());
});

describe('sessions in WebAssembly', () => {
  it('start a meeting with themselves', () => {
    const session = keys.Session.open(config(), seed(1), seed(2));
    const outputs = () => {
      const found = [];
      for (let json = session.poll(); json !== undefined; json = session.poll()) found.push(JSON.parse(json));
      return found;
    };
    const identity = session.identity();
    expect(outputs()).toEqual([]);

    session.handle(1000, '{"type":"connected"}');
    expect(outputs()).toContainEqual({
      type: 'channel',
      message: expect.objectContaining({ type: 'hello' }),
    });

    const opened = { type: 'opened', log: 'log', head: 0, state: 'empty', resumed: false };
    session.handle(1010, JSON.stringify({ type: 'channel', message: opened }));
    const submitted = outputs().find(({ message }) => message?.type === 'submit')?.message;
    expect(submitted).toMatchObject({ kind: 'group' });

    const entry = { seq: 1, kind: 'group', from: identity, data: submitted.data };
    session.handle(1020, JSON.stringify({ type: 'channel', message: { type: 'entry', ...entry } }));
    const after = outputs();
    expect(after).toContainEqual(
      expect.objectContaining({ type: 'media', media: expect.objectContaining({ type: 'keys' }) }),
    );
    expect(session.timeout()).toBeGreaterThan(1020);
    session.free();
  });

  it('refuse what is none of their messages without repeating it', () => {
    const session = keys.Session.open(config(), seed(1), seed(2));
    expect(() => session.handle(0, '{"type":"secret"}')).toThrow(/^no such input$/);
    expect(() => keys.Session.open(config({ fragment: '#_' }), seed(1), seed(2))).toThrow(
      /^the link has no secret$/,
    );
    session.free();
  });

  it('leave nothing in memory once they are freed', () => {
    const mark = 'a-room-that-nobody-else-has';
    const places = () => Buffer.from(keys.memory.buffer).indexOf(mark);
    expect(places()).toBe(-1);
    const session = keys.Session.open(config({ room: mark }), seed(1), seed(2));
    expect(places()).toBeGreaterThan(-1);
    session.free();
    expect(places()).toBe(-1);
  });
});

describe('loading', () => {
  it('happens once', async () => {
    expect(await load()).toBe(keys);
  });
});
