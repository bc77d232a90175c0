/** A person with ts-mls. It has no policy of its own: it skips what our sessions skip. */

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
import {
  type Bytes,
  type Link,
  type Stretched,
  bytes,
  digitsOf,
  fromBase64,
  identityOf,
  join,
  number,
  sha256,
  statement,
  toBase64,
} from './link';
import * as mls from './mls';
import { ORIGIN, type Room, type Submission, type View } from './room';

/** Where in a host's word its action stands: behind a version, the host's key and a counter. */
const ACTION = 1 + 32 + 8;
const [PASSWORD, KICK] = [4, 6];

/** An entry that is not in the log yet, and the state that it leads to. */
export interface Prepared {
  state: ClientState;
  submission: Submission;
}

export const add = (keyPackage: KeyPackage): Proposal => ({ proposalType: 'add', add: { keyPackage } });

export class Other {
  readonly identity: string;
  readonly cs: CiphersuiteImpl;
  #link: Link;
  /** The password in force, and how many words about passwords there were. */
  password: Stretched | null = null;
  passwords = 0;
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
    return { id: this.#link.pskId(this.passwords), key: this.#link.psk(this.password) };
  }

  get leaf(): number {
    return this.state.privatePath.leafIndex;
  }

  /** A secret of this epoch. */
  async export(label: string, context: Bytes, length = 32): Promise<Bytes> {
    const { exporterSecret } = this.state.keySchedule;
    return bytes(await mlsExporter(exporterSecret, label, context, length, this.cs));
  }

  async view(): Promise<View> {
    const { groupContext, keySchedule } = this.state;
    const exported = await this.export('SFrame 1.0 Base Key', number(groupContext.epoch, 8));
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

  /** Somebody was kicked by the newest commit: gives the new link. */
  async changeLink(): Promise<Link> {
    const exported = await this.export('konklave link', number(this.state.groupContext.epoch, 8), 20);
    this.#link = this.#link.next(exported);
    return this.#link;
  }

  /** Says something as a host. */
  async order(counter: number, action: Bytes): Promise<void> {
    const place = [ORIGIN, this.#link.room, this.state.groupContext.groupId];
    const { body, signed } = statement(place, this.keys.publicKey, counter, action);
    const signature = await this.cs.signature.sign(this.keys.signKey, signed);
    const data = toBase64(join(body, signature));
    this.room.submit(this.identity, { kind: 'statement', after: this.room.head, data });
    await this.follow();
  }

  /** The same for all who folded the same words of hosts, and came to the same rules. */
  get rules(): string {
    const words = this.room.entries
      .filter(({ seq, kind }) => kind === 'statement' && seq <= this.#folded)
      .filter(({ seq }) => !this.room.refused.has(seq))
      .map(({ data }) => fromBase64(data ?? ''));
    const hashes = words.map((word) => sha256(word)).toSorted((a, b) => Buffer.compare(a, b));
    const hosts = new Set([toBase64(mls.firstHost(this.state.groupContext.extensions))]);
    const kicked = new Set<string>();
    let verifier: Bytes | null = null;
    for (const word of words) {
      const [kind, content] = [word[ACTION], word.subarray(ACTION + 1)];
      if (kind === KICK) {
        const key = toBase64(content.subarray(0, 32));
        kicked.add(key);
        hosts.delete(key);
      } else if (kind === PASSWORD) verifier = content.subarray(0, 32);
      else throw new Error('a word that these tests do not have');
    }
    const list = (keys: Iterable<string>) => {
      const all = [...keys].map((key) => fromBase64(key)).toSorted((a, b) => Buffer.compare(a, b));
      return join(number(all.length, 8), ...all);
    };
    // Neither locked nor with a lobby.
    const flags = new Uint8Array([0, 0, verifier ? 1 : 0]);
    return toBase64(
      sha256(...hashes, list(hosts), list([]), list(kicked), flags, verifier ?? new Uint8Array(32)),
    );
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
      rules: this.rules,
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
