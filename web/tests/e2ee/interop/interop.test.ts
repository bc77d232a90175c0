/** Sessions of ours and people with ts-mls are in one group: what `docs/e2ee.md` says is enough to take part. */

import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Keys, load } from '../../../src/e2ee/keys/load';
import { toBase64 } from './link';
import { type Other, type Ours, Room } from './room';

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
    expect.objectContaining({ type: 'heartbeat', epoch, authenticator, seq: room.head }),
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
});
