/**
 * A meeting of sessions of ours, compiled to WebAssembly, and people with ts-mls. Between them stands a log in memory:
 * the rules of the server's for an orderly room (compare-and-swap, presence, bases, those who wait), without its bounds,
 * its clock and its doubts.
 */

import {
  type CiphersuiteImpl,
  type ClientState,
  type KeyPackage,
  type Proposal,
  createApplicationMessage,
  createCommit,
  createGroup,
  joinGroup,
  mlsExporter,
  processPrivateMessage,
  processPublicMessage,
} from 'ts-mls';
import { decodeKeyPackage, encodeKeyPackage } from 'ts-mls/keyPackage.js';
import type { Keys, Session } from '../../../src/e2ee/keys/load';
import type { Content, Output, Roster, State } from '../../../src/e2ee/keys/wire';
import { type Bytes, Link, bytes, digitsOf, fromBase64, identityOf, number, toBase64 } from './link';
import * as mls from './mls';

const NAME = 'standup';

export interface Entry {
  seq: number;
  kind: string;
  from: string;
  data?: string;
}

export interface Submission {
  kind: 'group' | 'join' | 'commit';
  after: number;
  data: string;
  info: string;
  welcome?: { to: string[]; data: string } | undefined;
}

/** A message of a session to the server. */
interface Said {
  type: string;
  id: number;
  kind: Submission['kind'];
  after: number;
  data: string;
  group_info: string;
  welcome?: { to: string[]; data: string };
  seq: number;
  refused?: number[];
}

/** The same for all who are in one state of the group, and for nobody else. */
export interface View {
  epoch: number;
  /** The base key of media. */
  base: string;
  digits: string[];
}

export const add = (keyPackage: KeyPackage): Proposal => ({ proposalType: 'add', add: { keyPackage } });

export class Room {
  readonly link = new Link(NAME);
  now = 1_000_000;
  readonly entries: Entry[] = [];
  readonly ours: Ours[] = [];
  readonly others: Other[] = [];
  /** Entries that somebody skipped, by who. */
  readonly refused = new Map<number, string[]>();
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
    return new Room(keys, await mls.suite());
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

  /** From where newcomers join. */
  base(): { seq: number; info: string } {
    for (let seq = this.head; seq > 0; seq--) {
      const found = this.#infos.get(seq);
      if (!found || this.refused.has(seq)) continue;
      if (!found.shared) throw new Error(`nobody has folded entry ${seq} yet`);
      return { seq: this.head, info: found.info };
    }
    throw new Error('nobody is there');
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
    this.#infos.set(this.head + 1, { from, info, shared: kind === 'group' });
    const seq = this.head + 1;
    for (const identity of welcome?.to ?? []) this.#waitsNoLonger(identity);
    this.append(kind, from, data, welcome);
    if (kind === 'group') this.append('back', from);
    return seq;
  }

  /** What a member made of the entries up to one. */
  report(from: string, seq: number, refused: number[]): void {
    for (const skipped of refused) {
      this.refused.set(skipped, [...(this.refused.get(skipped) ?? []), from]);
    }
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
        const code = 'stale';
        return person.hear(
          seq === null ? { type: 'refused', id, code, head: this.head } : { type: 'submitted', id, seq },
        );
      }
      case 'applied': {
        person.refused.push(...(said.refused ?? []));
        return this.report(from, said.seq, said.refused ?? []);
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
    const { seq, info } = this.base();
    const past = this.entries.filter(({ kind }) => !['group', 'join', 'commit'].includes(kind));
    person.hear({ type: 'base', seq, group_info: info, past });
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

/** A person with our session. */
export class Ours {
  readonly #session: Session;
  readonly identity: string;
  /** Gets the log. */
  isFollowing = false;
  roster: Roster | null = null;
  state: State = { type: 'connecting' };
  /** Entries that it skipped. */
  readonly refused: number[] = [];
  readonly said: { from: string; content: Content }[] = [];
  readonly #bases = new Map<number, string>();

  constructor(
    readonly room: Room,
    name: string,
    number: number,
  ) {
    const { room: id, secret } = room.link;
    // The check character of such a secret is 0, too.
    const config = { origin: 'https://meet.example', room: id, fragment: `#1${secret}0`, name };
    const seed = (byte: number) => new Uint8Array(32).fill(byte);
    this.#session = room.keys.Session.open(JSON.stringify(config), seed(number), seed(number + 100));
    this.identity = this.#session.identity();
  }

  get timeout(): number | undefined {
    return this.#session.timeout();
  }

  get view(): View | null {
    if (!this.roster) return null;
    const { epoch, digits } = this.roster;
    return { epoch, base: this.#bases.get(epoch) ?? '', digits };
  }

  leafOf(identity: string): number {
    return this.roster?.members.find((member) => member.identity === identity)?.leaf ?? -1;
  }

  say(text: string): void {
    this.give({ type: 'send', content: { type: 'chat', id: text, text } });
  }

  leave(): void {
    this.give({ type: 'leave' });
  }

  hear(message: object): void {
    this.room.later(() => this.give({ type: 'channel', message }));
  }

  give(input: object): void {
    this.#session.handle(this.room.now, JSON.stringify(input));
    for (let json = this.#session.poll(); json !== undefined; json = this.#session.poll()) {
      this.#take(JSON.parse(json) as Output);
    }
  }

  #take(output: Output): void {
    if (output.type === 'channel') {
      this.room.received(this, output.message as Said);
    } else if (output.type === 'message') {
      this.room.carry(this, output.data, output.to);
    } else if (output.type === 'media') {
      if (output.media.type === 'keys') this.#bases.set(output.media.epoch, output.media.base);
    } else if (output.event.type === 'roster') {
      this.roster = output.event.roster;
    } else if (output.event.type === 'state') {
      this.state = output.event.state;
    } else if (output.event.type === 'received') {
      const { from, content } = output.event;
      this.said.push({ from, content });
    }
  }

  free(): void {
    this.#session.free();
  }
}

/** A person with ts-mls. It has no policy of its own: it skips what our sessions skip. */
export class Other {
  readonly identity: string;
  readonly cs: CiphersuiteImpl;
  readonly #link: Link;
  /** Data packets that came and were not opened yet. */
  readonly packets: string[] = [];
  /** What they said. */
  readonly heard: { type: string; [field: string]: unknown }[] = [];
  #folded = 0;
  #state: ClientState | null = null;
  /** The epoch in which it came: what was said before is not for it. */
  #came = 0n;
  /** The state after an entry of its own. */
  #pending: { data: string; state: ClientState } | null = null;
  #waiting: mls.Leaf | null = null;

  constructor(
    readonly room: Room,
    readonly name: string,
    readonly keys: { signKey: Uint8Array; publicKey: Uint8Array },
  ) {
    this.cs = room.cs;
    this.#link = room.link;
    this.identity = identityOf(keys.publicKey);
  }

  get state(): ClientState {
    if (!this.#state) throw new Error(`${this.name} is not in the group`);
    return this.#state;
  }

  get psk(): mls.Psk {
    return { id: this.#link.pskId, key: this.#link.psk };
  }

  get leaf(): number {
    return this.state.privatePath.leafIndex;
  }

  async view(): Promise<View> {
    const { groupContext, keySchedule } = this.state;
    const context = number(groupContext.epoch, 8);
    const exported = await mlsExporter(
      keySchedule.exporterSecret,
      'SFrame 1.0 Base Key',
      context,
      32,
      this.cs,
    );
    return {
      epoch: Number(groupContext.epoch),
      base: toBase64(this.#link.mediaKey(exported)),
      digits: digitsOf(keySchedule.epochAuthenticator),
    };
  }

  makeLeaf(lifetime?: typeof mls.UNLIMITED): Promise<mls.Leaf> {
    return mls.makeLeaf(this.cs, this.keys, this.#link.sealName(this.identity, this.name), lifetime);
  }

  /** Starts the group, and is its first host. */
  async start(): Promise<void> {
    const { publicPackage, privatePackage } = await this.makeLeaf();
    const extensions = mls.contextExtensions(this.keys.publicKey);
    const id = this.cs.rng.randomBytes(32);
    this.#state = await createGroup(id, publicPackage, privatePackage, extensions, this.cs, mls.CONFIG);
    const info = toBase64(await mls.groupInfo(this.#state, this.cs));
    this.room.submit(this.identity, { kind: 'group', after: 0, data: info, info });
    this.#folded = this.room.head;
  }

  /** An external commit from the newest base. With a leaf of somebody else it is theirs. */
  async prepareJoin(extras: Partial<mls.Extras> = {}, leaf?: mls.Leaf): Promise<Prepared> {
    const { seq, info } = this.room.base();
    const read = mls.readGroupInfo(fromBase64(info));
    const all = { psks: [this.psk], ...extras };
    const { commit, state } = await mls.externalCommit(read, leaf ?? (await this.makeLeaf()), all, this.cs);
    return this.#prepared('join', seq, commit, state);
  }

  async #prepared(
    kind: 'join' | 'commit',
    after: number,
    commit: Bytes,
    state: ClientState,
  ): Promise<Prepared> {
    const data = toBase64(commit);
    const info = toBase64(await mls.groupInfo(state, this.cs));
    return { state, submission: { kind, after, data, info } };
  }

  /** A commit of a member: of fresh keys, if it proposes nothing. */
  async prepareCommit(
    extraProposals: Proposal[] = [],
    options: { state?: ClientState; authenticatedData?: Bytes; wireAsPublicMessage?: boolean } = {},
  ): Promise<Prepared> {
    const { state = this.state, ...more } = options;
    const index = mls.pskIndex(state, [this.psk]);
    const context = { state, cipherSuite: this.cs, pskIndex: index };
    const { commit, newState } = await createCommit(context, { extraProposals, ...more });
    return this.#prepared('commit', this.#folded, mls.write(commit), newState);
  }

  /** Puts it into the log, as somebody. Gives its place. */
  submit({ state, submission }: Prepared, as = this.identity): number {
    this.#pending = { data: submission.data, state };
    const seq = this.room.submit(as, submission);
    if (seq === null) throw new Error('stale');
    return seq;
  }

  async join(): Promise<void> {
    this.submit(await this.prepareJoin());
    await this.follow();
  }

  async commit(...arguments_: Parameters<Other['prepareCommit']>): Promise<void> {
    this.submit(await this.prepareCommit(...arguments_));
    await this.follow();
  }

  /** Proposes all who wait. */
  waiting(): Proposal[] {
    return [...this.room.waiting].map(([identity, sealed]) => {
      const [keyPackage] = decodeKeyPackage(this.#link.openKeyPackage(identity, fromBase64(sealed)), 0) ?? [];
      if (!keyPackage) throw new Error('no key package');
      return add(keyPackage);
    });
  }

  /** A commit with a path. */
  async prepareWithPath(proposals: Proposal[], psks: mls.Psk[] = []): Promise<Prepared> {
    const { commit, welcome, state } = await mls.commitWithPath(this.state, proposals, psks, this.cs);
    const prepared = await this.#prepared('commit', this.#folded, commit, state);
    const to = proposals.flatMap((proposal) =>
      'add' in proposal ? [identityOf(proposal.add.keyPackage.leafNode.signaturePublicKey)] : [],
    );
    if (welcome) prepared.submission.welcome = { to, data: toBase64(welcome) };
    return prepared;
  }

  /** Adds those who wait. */
  async addWaiting(): Promise<void> {
    this.submit(await this.prepareWithPath(this.waiting(), [this.psk]));
    await this.follow();
  }

  /** Waits to be added. */
  async wait(): Promise<void> {
    this.#waiting = await this.makeLeaf();
    const keyPackage = encodeKeyPackage(this.#waiting.publicPackage);
    this.room.waits(this.identity, toBase64(this.#link.sealKeyPackage(this.identity, keyPackage)));
  }

  async #welcomed(welcome: string): Promise<void> {
    const message = mls.read(fromBase64(welcome));
    if (message.wireformat !== 'mls_welcome' || !this.#waiting) throw new Error('no Welcome');
    const { publicPackage, privatePackage } = this.#waiting;
    const index = mls.pskIndex(undefined, [this.psk]);
    this.#state = await joinGroup(
      message.welcome,
      publicPackage,
      privatePackage,
      index,
      this.cs,
      undefined,
      undefined,
      mls.CONFIG,
    );
    this.#came = this.#state.groupContext.epoch;
  }

  /** The state that a commit of somebody else leads to; throws where MLS refuses it. */
  async after(data: string): Promise<ClientState> {
    const message = mls.read(fromBase64(data));
    const index = mls.pskIndex(this.state, [this.psk]);
    if (message.wireformat === 'mls_public_message') {
      return (await processPublicMessage(this.state, message.publicMessage, index, this.cs)).newState;
    }
    if (message.wireformat !== 'mls_private_message') throw new Error('no commit');
    return (await processPrivateMessage(this.state, message.privateMessage, index, this.cs)).newState;
  }

  /** Folds what the log has. */
  async follow(): Promise<void> {
    for (const { seq, kind, data } of this.room.entries.slice(this.#folded)) {
      this.#folded = seq;
      if (data === undefined || !['join', 'commit'].includes(kind) || this.room.refused.has(seq)) continue;
      const welcome = this.room.welcomes.get(seq);
      if (this.#pending?.data === data) {
        if (!this.#state) this.#came = this.#pending.state.groupContext.epoch;
        this.#state = this.#pending.state;
      } else if (welcome?.to.includes(this.identity)) {
        await this.#welcomed(welcome.data);
      } else if (this.#state) {
        this.#state = await this.after(data);
      }
      if (this.#state) this.room.report(this.identity, seq, []);
    }
  }

  async say(content: object): Promise<void> {
    const { newState, privateMessage } = await createApplicationMessage(
      this.state,
      bytes(JSON.stringify(content)),
      this.cs,
    );
    this.#state = newState;
    this.room.carry(this, toBase64(mls.write({ wireformat: 'mls_private_message', privateMessage })));
  }

  /** Shows that it is in this state. */
  beat(): Promise<void> {
    const { groupContext, keySchedule } = this.state;
    return this.say({
      type: 'heartbeat',
      seq: this.#folded,
      epoch: Number(groupContext.epoch),
      authenticator: toBase64(keySchedule.epochAuthenticator),
      // No host has said anything.
      rules: toBase64(new Uint8Array(32)),
    });
  }

  /** Opens the data packets that came. */
  async listen(): Promise<void> {
    for (const data of this.packets.splice(0)) {
      const message = mls.read(fromBase64(data));
      if (message.wireformat !== 'mls_private_message') throw new Error('another kind of message');
      if (message.privateMessage.epoch < this.#came) continue;
      const none = mls.pskIndex(this.state, []);
      const result = await processPrivateMessage(this.state, message.privateMessage, none, this.cs);
      if (result.kind !== 'applicationMessage') throw new Error('a message of the log');
      this.#state = result.newState;
      this.heard.push(JSON.parse(new TextDecoder().decode(result.message)));
    }
  }
}

/** An entry that is not in the log yet, and the state that it leads to. */
export interface Prepared {
  state: ClientState;
  submission: Submission;
}
