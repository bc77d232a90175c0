import { readFileSync } from 'node:fs';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Keys, load } from '../../../src/e2ee/keys/load';
import { Hall, type Holder } from './hall';

const bytes = () => readFileSync(new URL('../../../src/e2ee/keys/wasm/e2ee_bg.wasm', import.meta.url));

let keys: Keys;
let hall: Hall;

beforeAll(async () => {
  keys = await load(bytes());
});

beforeEach(() => {
  hall = new Hall(keys);
});

async function enter(...names: string[]): Promise<Holder[]> {
  const people = names.map((name) => hall.person(name));
  for (const person of people) {
    await person.open();
    person.connect();
    hall.clock.pass(2000);
  }
  return people;
}

const chat = (id: string, text: string) => ({ type: 'send', content: { type: 'chat', id, text } }) as const;

describe('two who hold keys', () => {
  it('know each other by name, and have the same keys and digits', async () => {
    const [ada, ben] = (await enter('Ada', 'Ben')) as [Holder, Holder];
    expect(ada.roster?.members.map(({ name, own }) => [name, own])).toEqual([
      ['Ada', true],
      ['Ben', false],
    ]);
    expect(ben.roster?.members.map(({ identity }) => identity)).toEqual([ada.identity, ben.identity]);
    expect(ada.roster?.digits).toEqual(ben.roster?.digits);
    expect(ada.roster?.digits.join('')).toMatch(/^\d{30}$/);
    for (const person of [ada, ben]) {
      expect(person.events).toContainEqual({ type: 'state', state: { type: 'member', confirmed: true } });
    }

    const base = (person: Holder) => person.media.findLast((message) => message.type === 'keys');
    const key = base(ada);
    expect(key?.type === 'keys' && new Uint8Array(key.base)).toHaveLength(32);
    expect(base(ben)).toEqual(key);
    expect(ada.transferred).toBe(ada.media.filter(({ type }) => type === 'keys').length);
    expect(ada.media.at(-1)).toMatchObject({ type: 'send', epoch: key?.type === 'keys' ? key.epoch : -1 });
  });

  it('say things that the server cannot read', async () => {
    const [ada, ben] = (await enter('Ada', 'Ben')) as [Holder, Holder];
    ada.holder.handle(chat('1', 'Only for Ben'));
    hall.clock.pass(100);
    expect(ben.events).toContainEqual({
      type: 'received',
      from: ada.identity,
      content: { type: 'chat', id: '1', text: 'Only for Ben' },
    });
    const carried = ada.told.flatMap((message) =>
      message.type === 'packet' ? [Buffer.from(message.payload).toString('latin1')] : [],
    );
    expect(carried.length).toBeGreaterThan(0);
    expect(carried.join()).not.toContain('Only');
  });

  it('tell a third what was said before', async () => {
    const [ada] = (await enter('Ada', 'Ben')) as [Holder, Holder];
    ada.holder.handle(chat('1', 'First'));
    ada.holder.handle(chat('2', 'Second'));
    const [cem] = (await enter('Cem')) as [Holder];
    hall.clock.pass(10_000);
    const lines = cem.events.flatMap((event) => (event.type === 'history' ? event.lines : []));
    expect(lines.map(({ name, text }) => [name, text])).toEqual([
      ['Ada', 'First'],
      ['Ada', 'Second'],
    ]);
  });
});

describe('a holder of keys', () => {
  it('says so when it cannot have any', async () => {
    const ada = hall.person('Ada');
    await ada.open({ fragment: '#_' });
    expect(ada.told).toEqual([{ type: 'failed' }]);
    ada.holder.handle(chat('1', 'Hello'));
    expect(ada.told).toHaveLength(1);
  });

  it('sends nothing before it has some, and says what was not sent', async () => {
    const ada = hall.person('Ada');
    ada.holder.handle(chat('1', 'Hello'));
    await ada.open();
    expect(ada.events).toEqual([{ type: 'not-sent', content: { type: 'chat', id: '1', text: 'Hello' } }]);
    expect(ada.media).toEqual([]);
  });

  it('tells the server that it leaves, and erases every key', async () => {
    const [ada] = (await enter('Ada')) as [Holder];
    const held = ada.media.flatMap((message) => (message.type === 'keys' ? [message.epoch] : []));
    ada.holder.handle({ type: 'leave' });
    expect(JSON.parse(ada.sockets[0]?.sent.at(-1) ?? '')).toEqual({ type: 'leave' });
    expect(ada.told.at(-1)).toEqual({ type: 'closed' });
    expect(ada.media.filter(({ type }) => type === 'erase')).toHaveLength(held.length);
    hall.clock.pass(5);
    expect(hall.clock.timers).toBe(0);
    ada.holder.handle(chat('1', 'Hello'));
    expect(ada.told.at(-1)).toEqual({ type: 'closed' });
  });

  it('opens the channel again when it breaks, and not after the server closed it for good', async () => {
    const [ada] = (await enter('Ada')) as [Holder];
    ada.sockets[0]?.close();
    ada.holder.handle({ type: 'token', token: 'a newer one' });
    hall.clock.pass(300);
    expect(ada.sockets[1]?.address).toContain('access_token=a%20newer%20one');
    ada.sockets[1]?.open();
    ada.sockets[1]?.say({ type: 'closing', code: 'elsewhere' });
    expect(ada.events.at(-1)).toEqual({ type: 'state', state: { type: 'stopped', reason: 'elsewhere' } });
    hall.clock.pass(60_000);
    expect(ada.sockets).toHaveLength(2);
  });

  it('overlooks what it does not understand of a server', async () => {
    const [ada] = (await enter('Ada')) as [Holder];
    const before = ada.told.length;
    ada.sockets[0]?.say({ type: 'of-a-later-version' });
    ada.sockets[0]?.onmessage?.({ data: new ArrayBuffer(3) });
    ada.sockets[0]?.onmessage?.({ data: '{' });
    expect(ada.told).toHaveLength(before);
  });
});
