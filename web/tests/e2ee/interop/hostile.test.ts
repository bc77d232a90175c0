/**
 * Commits that no client of ours makes, made with ts-mls. Each differs from one that is folded by one thing only. Our
 * sessions skip it, say so, stay where they are, and go on with what comes next.
 */

import { readFileSync } from 'node:fs';
import { createProposal } from 'ts-mls';
import { encodeKeyPackage } from 'ts-mls/keyPackage.js';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Keys, load } from '../../../src/e2ee/keys/load';
import { Link, toBase64 } from './link';
import { contextExtensions, makeLeaf, pskProposal, write } from './mls';
import { Other, type Prepared, add } from './other';
import type { Ours } from './ours';
import { Room } from './room';

const wasm = () => readFileSync(new URL('../../../src/e2ee/keys/wasm/e2ee_bg.wasm', import.meta.url));

let keys: Keys;
let room: Room;
let anna: Ours;
let ben: Ours;
/** A member. */
let ted: Other;
/** A member, too, who shows what MLS alone says: ts-mls has no policy. */
let tom: Other;
/** Has the link and a channel. */
let mallory: Other;

beforeAll(async () => {
  keys = await load(wasm());
});

beforeEach(async () => {
  room = await Room.open(keys);
  anna = room.enter('Anna');
  ben = room.enter('Ben');
  ted = await room.visit('Ted');
  await ted.join();
  tom = await room.visit('Tom');
  await tom.join();
  await ted.follow();
  mallory = await room.visit('Mallory');
  for (const other of [ted, tom]) await other.follow();
});

afterEach(() => room.free());

interface Attack {
  prepared: Prepared;
  /** Submitted by somebody else than its author. */
  as?: string;
}

/** Whether other members' MLS lets it through, so that only what is checked beyond it keeps it out. */
type Verdict = 'mls-takes-it' | 'mls-refuses-it';

async function isSkipped(attack: () => Promise<Attack>, author: Other, verdict: Verdict): Promise<void> {
  const { prepared, as = author.identity } = await attack();
  const before = anna.view;
  const members = anna.roster?.members.map(({ identity }) => identity);
  const taken = await tom.after(prepared.submission.data).then(
    () => 'mls-takes-it',
    () => 'mls-refuses-it',
  );
  expect(taken).toBe(verdict);

  const seq = room.submit(as, { ...prepared.submission, after: room.head });
  room.pass(20_000);
  for (const person of [anna, ben]) {
    expect(person.refused).toEqual([seq]);
    expect(person.apart).toEqual([]);
    expect(person.view).toEqual(before);
    expect(person.roster?.members.map(({ identity }) => identity)).toEqual(members);
    expect(person.state).toMatchObject({ type: 'member' });
  }
}

/** An honest entry after it is folded by all. */
async function goesOn(honest: () => Promise<void>): Promise<void> {
  const before = anna.view;
  for (const other of [ted, tom]) await other.follow();
  await honest();
  for (const other of [ted, tom]) await other.follow();
  expect(anna.view?.epoch).toBe((before?.epoch ?? 0) + 1);
  const views = [ben.view, await ted.view(), await tom.view()];
  for (const view of views) expect(view).toEqual(anna.view);
  expect(anna.refused).toHaveLength(1);
  anna.say('still here');
  for (const other of [ted, tom]) {
    await other.listen();
    expect(other.heard).toContainEqual({ type: 'chat', id: 'still here', text: 'still here' });
  }
  expect(ben.said).toHaveLength(1);
}

const other = new Link('standup', '1'.repeat(20));

describe('somebody who joins', () => {
  const attacks: [string, Verdict, () => Promise<Attack>][] = [
    [
      'evicts a member',
      'mls-takes-it',
      async () => ({ prepared: await mallory.prepareJoin({ removes: [anna.leafOf(ben.identity)] }) }),
    ],
    [
      'has the PSK of another link',
      'mls-refuses-it',
      async () => ({
        prepared: await mallory.prepareJoin({ psks: [{ id: mallory.psk.id, key: other.psk() }] }),
      }),
    ],
    ['has no PSK', 'mls-takes-it', async () => ({ prepared: await mallory.prepareJoin({ psks: [] }) })],
    [
      'has the PSK twice',
      'mls-takes-it',
      async () => ({ prepared: await mallory.prepareJoin({ psks: [mallory.psk, mallory.psk] }) }),
    ],
    [
      'has a key that is in the group already',
      'mls-takes-it',
      async () => {
        const twin = new Other(room, 'Ted', ted.keys);
        return { prepared: await twin.prepareJoin(), as: ted.identity };
      },
    ],
    [
      'has another identity than its key',
      'mls-takes-it',
      async () => ({ prepared: await mallory.prepareJoin(), as: room.link.room }),
    ],
    [
      'takes the place of a member under its identity',
      'mls-takes-it',
      async () => ({ prepared: await mallory.prepareJoin({ removes: [ted.leaf] }), as: ted.identity }),
    ],
    [
      'has no channel',
      'mls-takes-it',
      async () => {
        const stranger = new Other(room, 'Sam', await room.cs.signature.keygen());
        return { prepared: await stranger.prepareJoin(), as: stranger.identity };
      },
    ],
    [
      'has a credential of another form',
      'mls-refuses-it',
      async () => {
        const leaf = await makeLeaf(room.cs, mallory.keys, new Uint8Array(10));
        return { prepared: await mallory.prepareJoin({}, leaf) };
      },
    ],
    [
      'says something besides',
      'mls-takes-it',
      async () => ({ prepared: await mallory.prepareJoin({ authenticatedData: new Uint8Array([1]) }) }),
    ],
    [
      'calls it the commit of a member',
      'mls-takes-it',
      async () => {
        const prepared = await mallory.prepareJoin();
        prepared.submission.kind = 'commit';
        return { prepared };
      },
    ],
  ];

  it.each(attacks)('and %s (%s)', async (_, verdict, attack) => {
    await isSkipped(attack, mallory, verdict);
    await goesOn(() => mallory.join());
  });
});

describe('a member', () => {
  const attacks: [string, Verdict, () => Promise<Attack>][] = [
    [
      'removes one who is there',
      'mls-takes-it',
      async () => {
        const removed = anna.leafOf(ben.identity);
        return { prepared: await ted.prepareCommit([{ proposalType: 'remove', remove: { removed } }]) };
      },
    ],
    [
      'makes somebody else the first host',
      'mls-takes-it',
      async () => {
        const extensions = contextExtensions(mallory.keys.publicKey);
        const proposal = {
          proposalType: 'group_context_extensions' as const,
          groupContextExtensions: { extensions },
        };
        return { prepared: await ted.prepareWithPath([proposal]) };
      },
    ],
    [
      'adds somebody without the PSK',
      'mls-takes-it',
      async () => ({ prepared: await ted.prepareWithPath([add((await mallory.makeLeaf()).publicPackage)]) }),
    ],
    [
      'adds somebody whose key package ends',
      'mls-takes-it',
      async () => {
        const { publicPackage } = await mallory.makeLeaf({ notBefore: 0n, notAfter: 2n ** 63n });
        return { prepared: await ted.prepareWithPath([add(publicPackage)], [ted.psk]) };
      },
    ],
    [
      'adds somebody without new keys of its own',
      'mls-takes-it',
      async () => {
        const keyPackage = (await mallory.makeLeaf()).publicPackage;
        const proposals = [add(keyPackage), pskProposal(ted.psk, room.cs)];
        return { prepared: await ted.prepareCommit(proposals) };
      },
    ],
    [
      'has a PSK though it adds nobody',
      'mls-takes-it',
      async () => {
        return { prepared: await ted.prepareWithPath([], [ted.psk]) };
      },
    ],
    [
      'commits what it proposed before',
      'mls-refuses-it',
      async () => {
        const remove = { removed: anna.leafOf(ben.identity) };
        const { newState, message } = await createProposal(
          ted.state,
          false,
          { proposalType: 'remove', remove },
          room.cs,
        );
        room.carry(ted, toBase64(write(message)));
        tom.packets.length = 0;
        return { prepared: await ted.prepareCommit([], { state: newState }) };
      },
    ],
    [
      'says something besides',
      'mls-takes-it',
      async () => ({ prepared: await ted.prepareCommit([], { authenticatedData: new Uint8Array([1]) }) }),
    ],
    [
      'calls it joining',
      'mls-takes-it',
      async () => {
        const prepared = await ted.prepareCommit();
        prepared.submission.kind = 'join';
        return { prepared };
      },
    ],
    [
      'comes too late',
      'mls-refuses-it',
      async () => {
        const prepared = await ted.prepareCommit();
        await tom.commit();
        await ted.follow();
        return { prepared };
      },
    ],
  ];

  it.each(attacks)('who %s (%s)', async (_, verdict, attack) => {
    await isSkipped(attack, ted, verdict);
    // In private messages ts-mls would seal a second commit of this epoch with the key of the first, which opens once.
    await goesOn(() => ted.commit([], { wireAsPublicMessage: true }));
  });
});

describe('somebody who waits to be added', () => {
  it.each([
    ['under another identity', () => anna.identity, () => room.link],
    ['under another link', () => mallory.identity, () => other],
  ])('%s is not', async (_, identity, link) => {
    const before = anna.view;
    const keyPackage = (await mallory.makeLeaf()).publicPackage;
    room.waits(mallory.identity, toBase64(link().sealKeyPackage(identity(), encodeKeyPackage(keyPackage))));
    room.pass(20_000);
    expect(anna.view).toEqual(before);
    await mallory.wait();
    await mallory.follow();
    expect(await mallory.view()).toEqual(anna.view);
    expect(anna.view?.epoch).toBe((before?.epoch ?? 0) + 1);
  });
});
