/** What the lock says: one state in words, and why, with a way out. The truth is the keys', never the server's. */

import type { RosterMember } from '../e2ee/types';
import { hasCompared, memberOf, trustIn, type KeysView, type Trust } from './keys';
import type { Message } from './messages';
import { endRefusal } from './refusals';

export type LockKind =
  | 'keys'
  | 'restoring'
  | 'e2e'
  | 'verified'
  | 'unconfirmed'
  /** Frames do not open. */
  | 'unreadable'
  | 'differs'
  | 'stopped'
  /** Not end-to-end encrypted. */
  | 'off';

/** Somebody in the list of those who have the keys. */
export interface KeyHolder {
  identity: string;
  trust: Trust;
  /** They have the keys, and yet what they send does not open. */
  unreadable: boolean;
}

export interface Lock {
  kind: LockKind;
  title: Message;
  text: Message;
  /** Whoever needs a look first. */
  holders: KeyHolder[];
  /** What can be compared, and the epoch that it is of. */
  comparable: { epoch: number; digits: string[]; emoji: string[] } | null;
}

/** What a lock is made of, beside the keys. */
export interface Around {
  /** Everybody in the meeting, also those without keys. */
  people: readonly Pick<KeyHolder, 'identity' | 'trust'>[];
  nameOf: (identity: string) => string;
  now: number;
}

const ORDER: readonly Trust[] = ['unconfirmed', 'keyless', 'joining', 'new', 'keys', 'verified'];

type Told = Pick<Lock, 'kind' | 'title' | 'text'>;

export function lockOf(keys: KeysView, around: Around): Lock {
  const { roster } = keys;
  const told = tell(keys, around);
  const inGroup =
    roster?.members.map(({ identity }) => ({ identity, trust: trustIn(roster, identity) })) ?? [];
  const others = around.people.filter(
    ({ identity, trust }) => trust !== 'none' && !memberOf(roster, identity),
  );
  const holders = [...inGroup, ...others]
    .map(({ identity, trust }) => ({ identity, trust, unreadable: keys.unreadable.has(identity) }))
    .toSorted(
      (a, b) =>
        Number(b.unreadable) - Number(a.unreadable) || ORDER.indexOf(a.trust) - ORDER.indexOf(b.trust),
    );
  const alone = (roster?.members.length ?? 0) < 2;
  const settled = told.kind !== 'keys' && told.kind !== 'restoring' && told.kind !== 'stopped';
  return {
    ...told,
    holders,
    comparable:
      roster && settled && !alone
        ? { epoch: roster.epoch, digits: roster.digits, emoji: roster.emoji }
        : null,
  };
}

/** Getting keys takes so long at most, unless something is wrong. */
const LATE_MS = 15_000;

function tell(
  { state, since, roster, failed, differs, unreadable }: KeysView,
  { nameOf, now }: Around,
): Told {
  if (failed || state.type === 'stopped') {
    const reason = failed || state.type !== 'stopped' ? 'failed' : state.reason;
    const text = endRefusal(reason) ?? { key: 'left.title' };
    return { kind: 'stopped', title: { key: 'lock.stopped' }, text };
  }
  if (state.type === 'clear') return simple('off');
  if (state.type === 'restoring') return simple('restoring');
  if (state.type === 'connecting' || !roster) return simple(now - since < LATE_MS ? 'keys' : 'late');
  if (differs) return simple('differs');
  const { members } = roster;
  const silent = members.filter(({ silent_since }) => silent_since !== undefined);
  const names = (some: RosterMember[]) => some.map(({ identity }) => nameOf(identity)).join(', ');
  if (silent.length > 0) {
    const since = Math.min(...silent.map(({ silent_since }) => silent_since ?? now));
    const args = { count: silent.length, names: names(silent), seconds: secondsSince(since, now) };
    return {
      kind: 'unconfirmed',
      title: { key: 'lock.unconfirmed', args },
      // Where nobody at all is heard, nothing is sent any more: that matters most.
      text: state.confirmed ? { key: 'lock.unconfirmed-text', args } : { key: 'lock.unheard-text' },
    };
  }
  if (!state.confirmed) return simple(now - since < LATE_MS ? 'keys' : 'unheard');
  const shut = members.filter(({ identity }) => unreadable.has(identity));
  if (shut.length > 0) {
    const args = { count: shut.length, names: names(shut) };
    return {
      kind: 'unreadable',
      title: { key: 'lock.unreadable', args },
      text: { key: 'lock.unreadable-text', args },
    };
  }
  // One's own comparison says nothing of those who came after the others had left.
  if (hasCompared(roster) && members.some(({ own, compared }) => compared && !own)) {
    const by = members.filter(({ own, compared, verified }) => compared && (own || verified));
    const fresh = members.filter(({ compared }) => !compared).length;
    return {
      kind: 'verified',
      title: { key: 'lock.verified', args: { count: by.length } },
      text: { key: 'lock.verified-text', args: { names: names(by), fresh } },
    };
  }
  return {
    kind: 'e2e',
    title: { key: 'lock.e2e' },
    text: { key: 'lock.e2e-text', args: { count: members.length } },
  };
}

const SIMPLE = {
  keys: ['keys', 'lock.keys', 'lock.keys-text'],
  late: ['keys', 'lock.keys', 'lock.late-text'],
  unheard: ['keys', 'lock.keys', 'lock.unheard-text'],
  restoring: ['restoring', 'lock.restoring', 'lock.restoring-text'],
  differs: ['differs', 'lock.differs', 'lock.differs-text'],
  off: ['off', 'lock.off', 'lock.off-text'],
} as const;

function simple(which: keyof typeof SIMPLE): Told {
  const [kind, title, text] = SIMPLE[which];
  return { kind, title: { key: title }, text: { key: text } };
}

/** Those who have the keys and are not seen: gone a moment ago, or kept from sight by the server. */
export function absentFrom(people: readonly { identity: string }[], { roster }: KeysView): RosterMember[] {
  return roster?.members.filter((one) => !people.some(({ identity }) => identity === one.identity)) ?? [];
}

/** "Not confirmed" is said from 30 seconds on. */
export function secondsSince(since: number, now: number): number {
  return Math.max(30, Math.floor((now - since) / 1000));
}
