/**
 * A meeting of sessions of ours and people with ts-mls. Between them stands a log in memory: the rules of the server's for
 * an orderly room (compare-and-swap, presence, bases, those who wait), without its bounds, its clock and its doubts. That
 * of the server itself is what `crates/e2ee/tests` has.
 */

import type { CiphersuiteImpl } from 'ts-mls';
import type { Keys } from '../../../src/e2ee/keys/load';
import { Link, fromBase64, toBase64 } from './link';
import { readGroupInfo, stateHash, suite } from './mls';
import { Other } from './other';
import { Ours } from './ours';

export const ORIGIN = 'https://meet.example';
const NAME = 'standup';

export interface Entry {
  seq: number;
  kind: string;
  from: string;
  data?: string;
}

export interface Submission {
  kind: 'group' | 'join' | 'commit' | 'statement';
  after: number;
  data: string;
  info?: string;
  welcome?: { to: string[]; data: string } | undefined;
}

/** A message of a session to the server. */
export interface Said {
  type: string;
  id: number;
  kind: Submission['kind'];
  after: number;
  data: string;
  group_info: string;
  welcome?: { to: string[]; data: string };
  seq: number;
  refused?: number[];
  state: string;
}

/** The same for all who are in one state of the group, and for nobody else. */
export interface View {
  epoch: number;
  /** The base key of media. */
  base: string;
  digits: string[];
}

/** What ts-mls makes of a GroupInfo. */
const called = (info: string): string => toBase64(stateHash(readGroupInfo(fromBase64(info))));

export class Room {
  /** What newcomers have. */
  link = new Link(NAME);
  now = 1_000_000;
  readonly entries: Entry[] = [];
  readonly ours: Ours[] = [];
  readonly others: Other[] = [];
  /** Entries that somebody skipped. */
  readonly refused = new Set<number>();
  /** Runs once before the next submission of a session is looked at. */
  before: (() => void) | null = null;
  readonly welcomes = new Map<number, { to: string[]; data: string }>();
  /** Key packages of those who wait. */
  readonly waiting = new Map<string, string>();
  /** GroupInfos by the entry after which they hold, and whether anybody but the author came there, too. */
  readonly #infos = new Map<number, { from: string; info: string; shared: boolean }>();
  readonly #queue: (() => void)[] = [];
  #running = false;

  private constructor(
    readonly keys: Keys,
    readonly cs: CiphersuiteImpl,
  ) {}

  static async open(keys: Keys): Promise<Room> {
    return new Room(keys, await suite());
  }

  get head(): number {
    return this.entries.length;
  }

  /** Somebody with our client, in the channel. */
  enter(name: string): Ours {
    const person = new Ours(this, name, this.ours.length + 1);
    this.ours.push(person);
    person.give({ type: 'connected' });
    person.give({ type: 'path', open: true });
    this.#drain();
    return person;
  }

  /** Somebody with ts-mls, in the channel; not in the group yet. */
  async visit(name: string): Promise<Other> {
    const keys = await this.cs.signature.keygen();
    const person = new Other(this, name, keys);
    this.others.push(person);
    if (this.head > 0) this.append('back', person.identity);
    return person;
  }

  /** The state of the group after an entry: that of the last one before it which nobody skipped. */
  #stateAfter(seq: number) {
    for (let at = seq; at > 0; at--) {
      const found = this.#infos.get(at);
      if (found && !this.refused.has(at)) return found;
    }
    throw new Error('nobody is there');
  }

  /** From where newcomers join, and what members call that state. */
  base(): { seq: number; info: string; state: string } {
    const { info, shared } = this.#stateAfter(this.head);
    if (!shared) throw new Error(`nobody has folded entry ${this.head} yet`);
    return { seq: this.head, info, state: called(info) };
  }

  append(kind: string, from: string, data?: string, welcome?: Submission['welcome']): void {
    const entry: Entry = { seq: this.head + 1, kind, from, ...(data === undefined ? {} : { data }) };
    this.entries.push(entry);
    if (welcome) this.welcomes.set(entry.seq, welcome);
    for (const person of this.ours) {
      const own = welcome?.to.includes(person.identity) ? { welcome: welcome.data } : {};
      if (person.isFollowing) person.hear({ type: 'entry', ...entry, ...own });
    }
    this.#drain();
  }

  /** Gives the place of the entry, if it gets one. */
  submit(from: string, { kind, after, data, info, welcome }: Submission): number | null {
    if (after !== this.head) return null;
    const seq = this.head + 1;
    if (info !== undefined) this.#infos.set(seq, { from, info, shared: kind === 'group' });
    for (const identity of welcome?.to ?? []) this.#waitsNoLonger(identity);
    this.append(kind, from, data, welcome);
    if (kind === 'group') this.append('back', from);
    return seq;
  }

  /** What a member made of the entries up to one. */
  report(from: string, seq: number, refused: number[]): void {
    for (const skipped of refused) this.refused.add(skipped);
    for (const [at, found] of this.#infos) found.shared ||= at <= seq && found.from !== from;
  }

  waits(identity: string, sealed: string): void {
    this.waiting.set(identity, sealed);
    for (const person of this.ours) person.hear({ type: 'waiting', from: identity, data: sealed });
    this.#drain();
  }

  #waitsNoLonger(identity: string): void {
    this.waiting.delete(identity);
    for (const person of this.ours) person.hear({ type: 'not-waiting', from: identity });
  }

  /** A message of a session to the server. */
  received(person: Ours, said: Said): void {
    const from = person.identity;
    switch (said.type) {
      case 'hello': {
        const state = this.head > 0 ? 'running' : 'empty';
        person.hear({ type: 'opened', log: 'log', head: this.head, state, resumed: false });
        person.isFollowing = true;
        if (this.head === 0) return;
        this.append('back', from);
        return this.#giveBase(person);
      }
      case 'want-base':
        return this.#giveBase(person);
      case 'submit': {
        this.before?.();
        this.before = null;
        const { id, kind, after, data, welcome } = said;
        const seq = this.submit(from, { kind, after, data, info: said.group_info, welcome });
        if (seq !== null) return person.hear({ type: 'submitted', id, seq });
        return person.hear({ type: 'refused', id, code: 'stale', head: this.head });
      }
      case 'applied': {
        person.refused.push(...(said.refused ?? []));
        this.report(from, said.seq, said.refused ?? []);
        if (said.state !== called(this.#stateAfter(said.seq).info)) person.apart.push(said.seq);
        return;
      }
      case 'key-package':
        return this.waits(from, said.data);
      case 'leave':
        person.isFollowing = false;
        return this.append('left', from);
      default:
        throw new Error(`${said.type} is not expected here`);
    }
  }

  #giveBase(person: Ours): void {
    const { seq, info, state } = this.base();
    const past = this.entries.filter(({ kind }) => !['group', 'join', 'commit'].includes(kind));
    person.hear({ type: 'base', seq, group_info: info, state, past });
  }

  /** A data packet, to everybody else. */
  carry(from: Ours | Other, data: string, to: string[] = []): void {
    const wanted = (person: Ours | Other) =>
      person !== from && (to.length === 0 || to.includes(person.identity));
    for (const other of this.others.filter(wanted)) other.packets.push(data);
    for (const person of this.ours.filter(wanted)) this.later(() => person.give({ type: 'message', data }));
    this.#drain();
  }

  /** After what is under way. */
  later(run: () => void): void {
    this.#queue.push(run);
  }

  #drain(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      for (let run = this.#queue.shift(); run; run = this.#queue.shift()) run();
    } finally {
      this.#running = false;
    }
  }

  free(): void {
    for (const person of this.ours) person.free();
  }

  /** Lets time pass for our sessions. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = Math.min(...this.ours.map((person) => person.timeout ?? Infinity));
      if (due > end) break;
      this.now = Math.max(this.now + 1, due);
      for (const person of this.ours) {
        if ((person.timeout ?? Infinity) <= this.now) person.give({ type: 'timeout' });
      }
      this.#drain();
    }
    this.now = end;
  }
}
