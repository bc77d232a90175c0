/** Sessions of ours and people with ts-mls are in one group: what `docs/e2ee.md` says is enough to take part. */

import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Keys, load } from '../../../src/e2ee/keys/load';
import { type Bytes, Stretched, join, number, toBase64 } from './link';
import type { Other } from './other';
import type { Ours } from './ours';
import { Room } from './room';

const wasm = () => readFileSync(new URL('../../../src/e2ee/keys/wasm/e2ee_bg.wasm', import.meta.url));

let keys: Keys;
let room: Room;

beforeAll(async () => {
  keys = await load(wasm());
});

beforeEach(async () => {
  room = await Room.open(keys);
});

afterEach(() => room.free());

/** Everybody has the same keys in this epoch, and knows the others. */
async function agree(epoch: number, ours: Ours[], others: Other[]): Promise<void> {
  for (const other of others) await other.follow();
  const [first, ...rest] = [
    ...ours.map(({ view }) => view),
    ...(await Promise.all(others.map((one) => one.view()))),
  ];
  expect(first).toEqual({
    epoch,
    base: expect.stringMatching(/^[\w+/]{43}=$/),
    digits: Array.from({ length: 6 }, () => expect.stringMatching(/^\d{5}$/)),
  });
  for (const view of rest) expect(view).toEqual(first);
  const everybody = [...ours, ...others].map(({ identity }) => identity).sort();
  for (const person of ours) {
    expect(person.roster?.members.map(({ identity }) => identity).sort()).toEqual(everybody);
    for (const other of others) expect(person.leafOf(other.identity)).toBe(other.leaf);
    expect(person.refused).toEqual([]);
    expect(person.apart).toEqual([]);
  }
}

/** Our heartbeats hold for ts-mls, and its own for us. */
async function confirm(ours: Ours, other: Other): Promise<void> {
  const seen = () => ours.roster?.members.find(({ identity }) => identity === other.identity);
  other.heard.length = 0;
  room.pass(40_000);
  await other.listen();
  const { groupContext, keySchedule } = other.state;
  const authenticator = toBase64(keySchedule.epochAuthenticator);
  const epoch = Number(groupContext.epoch);
  expect(other.heard).toContainEqual(
    expect.objectContaining({ type: 'heartbeat', epoch, authenticator, rules: other.rules, seq: room.head }),
  );
  expect(seen()?.silent_since).toBeDefined();
  await other.beat();
  expect(seen()?.silent_since).toBeUndefined();
  expect(ours.state).toEqual({ type: 'member', confirmed: true });
}

describe('a group that we started', () => {
  let anna: Ours;
  let ted: Other;

  beforeEach(async () => {
    anna = room.enter('Anna');
    ted = await room.visit('Ted');
  });

  it('takes ts-mls by external commit', async () => {
    await ted.join();
    await agree(1, [anna], [ted]);
    expect(anna.roster?.members.map(({ name, host }) => ({ name, host }))).toEqual([
      { name: 'Anna', host: true },
      { name: 'Ted', host: false },
    ]);
    await confirm(anna, ted);
  });

  it('takes ts-mls by Welcome', async () => {
    await ted.wait();
    await agree(1, [anna], [ted]);
    await confirm(anna, ted);
  });

  it('has what either says read by the other', async () => {
    await ted.join();
    anna.say('hello');
    await ted.listen();
    expect(ted.heard).toContainEqual({ type: 'chat', id: 'hello', text: 'hello' });
    const chat = { type: 'chat', id: '1', text: 'hello back' };
    await ted.say(chat);
    expect(anna.said).toEqual([{ from: ted.identity, content: chat }]);
  });

  it('goes on with commits of either', async () => {
    await ted.join();
    await ted.commit();
    await agree(2, [anna], [ted]);
    await ted.commit([], { wireAsPublicMessage: true });
    await agree(3, [anna], [ted]);
    // Ours renews keys after ten minutes.
    room.pass(600_000);
    await agree(4, [anna], [ted]);
    const tom = await room.visit('Tom');
    await tom.join();
    const ben = room.enter('Ben');
    await agree(6, [anna, ben], [ted, tom]);
    await tom.commit();
    await agree(7, [anna, ben], [ted, tom]);
    await confirm(ben, tom);
  });

  it('loses who is gone to commits of either', async () => {
    const ben = room.enter('Ben');
    const cleo = room.enter('Cleo');
    await ted.join();
    await agree(3, [anna, ben, cleo], [ted]);
    ben.leave();
    room.pass(1000);
    await agree(4, [anna, cleo], [ted]);
    const removed = anna.leafOf(cleo.identity);
    room.append('gone', cleo.identity);
    room.append('expired', cleo.identity);
    await ted.follow();
    await ted.commit([{ proposalType: 'remove', remove: { removed } }]);
    await agree(5, [anna], [ted]);
    // The leaves that became free are taken again.
    const dora = room.enter('Dora');
    const tom = await room.visit('Tom');
    await ted.follow();
    await tom.join();
    await agree(7, [anna, dora], [ted, tom]);
  });

  it('has ts-mls come anew in the place of its leaf', async () => {
    await ted.join();
    const ben = room.enter('Ben');
    await ted.follow();
    const leaf = ted.leaf;
    ted.submit(await ted.prepareJoin({ removes: [leaf] }));
    await agree(3, [anna, ben], [ted]);
    expect(ted.leaf).toBe(leaf);
  });
});

describe('a group that ts-mls started', () => {
  let ted: Other;

  /** Ted's commit comes before that with which somebody joins, so that they wait to be added. */
  async function enterLate(name: string): Promise<Ours> {
    const ahead = await ted.prepareCommit();
    room.before = () => void ted.submit({ ...ahead, submission: { ...ahead.submission, after: room.head } });
    const person = room.enter(name);
    await ted.follow();
    return person;
  }

  beforeEach(async () => {
    ted = await room.visit('Ted');
    await ted.start();
  });

  it('takes us by external commit', async () => {
    const anna = room.enter('Anna');
    await agree(1, [anna], [ted]);
    expect(anna.roster?.members.find(({ host }) => host)?.name).toBe('Ted');
    await confirm(anna, ted);
  });

  it('takes us by Welcome', async () => {
    const anna = await enterLate('Anna');
    expect([...room.waiting.keys()]).toEqual([anna.identity]);
    await ted.addWaiting();
    await agree(2, [anna], [ted]);
    expect(room.entries.map(({ kind }) => kind)).not.toContain('join');
    await confirm(anna, ted);
  });

  it('lets several of ours in by one commit', async () => {
    const people = [room.enter('Anna')];
    await ted.follow();
    for (const name of ['Ben', 'Cleo']) people.push(await enterLate(name));
    await ted.addWaiting();
    await agree(4, people, [ted]);
    people[0]?.leave();
    room.pass(5000);
    await agree(5, people.slice(1), [ted]);
  });

  it('has its host kick somebody, after which the link is another one', async () => {
    const anna = room.enter('Anna');
    await ted.follow();
    const ben = room.enter('Ben');
    await ted.follow();
    const tom = await room.visit('Tom');
    await tom.join();
    await ted.follow();
    await ted.order(1, join(new Uint8Array([6]), tom.keys.publicKey));
    room.pass(5000);
    await ted.follow();
    const old = room.link;
    room.link = await ted.changeLink();
    expect(anna.fragment).toBe(room.link.fragment);
    expect(ben.fragment).toBe(room.link.fragment);
    await agree(4, [anna, ben], [ted]);
    await confirm(anna, ted);
    const nina = await room.visit('Nina');
    await nina.join();
    const otto = room.enter('Otto');
    for (const other of [ted, nina]) await other.follow();
    await agree(6, [anna, ben, otto], [ted, nina]);
    // The old link lets nobody in.
    const sam = await room.visit('Sam');
    const psks = [{ id: old.pskId(), key: old.psk() }];
    const seq = sam.submit(await sam.prepareJoin({ psks }));
    for (const person of [anna, ben, otto]) expect(person.refused).toEqual([seq]);
  });

  it('has its host ask for a password', async () => {
    const anna = room.enter('Anna');
    await ted.follow();
    const password = new Stretched(room.cs.rng.randomBytes(32) as Bytes);
    await ted.order(1, password.action(await ted.export('konklave password', number(1, 8))));
    Object.assign(ted, { password, passwords: 1 });
    await confirm(anna, ted);
    const tom = await room.visit('Tom');
    Object.assign(tom, { password, passwords: 1 });
    await tom.join();
    await ted.follow();
    // Ours knows the password from the host's word, and lets somebody in under it.
    const nina = await room.visit('Nina');
    Object.assign(nina, { password, passwords: 1 });
    await nina.wait();
    room.pass(5000);
    await agree(3, [anna], [ted, tom, nina]);
    const sam = await room.visit('Sam');
    const without = sam.submit(await sam.prepareJoin());
    sam.passwords = 1;
    const wrong = sam.submit(await sam.prepareJoin());
    expect(anna.refused).toEqual([without, wrong]);
  });
});
