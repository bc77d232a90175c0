/**
 * What keys and frames cost in this browser: the session of the product joins meetings and changes their keys, without a
 * server; frames are sealed and opened by the product's media worker's own code, without a worker around it.
 */

import { load, type Session } from '../../../../src/e2ee/keys/load';
import type { Output } from '../../../../src/e2ee/keys/wire';
import { SOUND, VP8 } from '../../../../src/e2ee/media/codecs/prefix';
import type { Codec } from '../../../../src/e2ee/media/codecs/codec';
import { Keyring } from '../../../../src/e2ee/media/keyring';
import type { StreamKind } from '../../../../src/e2ee/media/messages';
import { Opener } from '../../../../src/e2ee/media/opener';
import { Sealer } from '../../../../src/e2ee/media/sealer';

/** Times in milliseconds, one of each round; sizes in bytes. */
export interface KeyCosts {
  members: number;
  /** The GroupInfo that a newcomer gets. */
  base: number;
  join: number;
  commit: number;
  /** From the base to the external commit. */
  joining: number[];
  /** Of somebody else's external commit, by a member. */
  folding: number[];
  /** A commit that removes somebody. */
  committing: number[];
}

/** Microseconds of one frame, one of each round; `floor` is AES-128-GCM of the same bytes by the browser, and nothing else. */
export interface FrameCosts {
  frame: string;
  bytes: number;
  sealing: number[];
  opening: number[];
  floor: number[];
}

export interface Costs {
  /** Of meetings of so many, in rising order. */
  keys(members: number[], rounds: number): Promise<KeyCosts[]>;
  frames(rounds: number): Promise<FrameCosts[]>;
}

declare global {
  interface Window {
    costs: Costs;
  }
}

interface Entry {
  seq: number;
  kind: string;
  from: string;
  data?: string;
}

/** A message to the server. */
interface Said {
  type: string;
  id: number;
  kind: string;
  data: string;
  group_info: string;
}

/** What there is of a submission. */
interface Submitted extends Said {
  /** How long the session took for it. */
  took: number;
}

const ORIGIN = 'https://meet.example';
const ROOM = 'costs';
/** Twenty zeros, and their check character. */
const FRAGMENT = `#1${'0'.repeat(21)}`;
/** A member removes who left after a while. */
const DUTIES_MS = 60_000;

const sizeOf = (base64: string): number => Math.floor((base64.length * 3) / 4);

/** Somebody in the meeting. Whatever is not a submission is nobody's here. */
class Somebody {
  readonly identity: string;
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.identity = session.identity();
  }

  get timeout(): number {
    return this.#session.timeout() ?? Infinity;
  }

  /** What it submits on that. */
  hear(now: number, message: object): Submitted | null {
    return this.give(now, { type: 'channel', message });
  }

  give(now: number, input: object): Submitted | null {
    const text = JSON.stringify(input);
    const begin = performance.now();
    this.#session.handle(now, text);
    const outputs: string[] = [];
    for (let json = this.#session.poll(); json !== undefined; json = this.#session.poll()) outputs.push(json);
    const took = performance.now() - begin;
    let submitted: Submitted | null = null;
    for (const json of outputs) {
      const output = JSON.parse(json) as Output;
      const said = output.type === 'channel' ? (output.message as Said) : null;
      if (said?.type === 'submit') submitted = { ...said, took };
    }
    return submitted;
  }

  free(): void {
    this.#session.free();
  }
}

/** A meeting of one session that follows it, and of others who come and whose sessions are thrown away. */
class Meeting {
  now = 1_000_000;
  members = 0;
  #info = '';
  readonly #entries: Entry[] = [];
  readonly #host: Somebody;
  #people = 0;

  constructor(readonly open: (number: number) => Somebody) {
    this.#host = this.#enter();
    const first = this.#host.hear(this.now, { ...this.#opened, state: 'empty' });
    if (!first) throw new Error('nobody starts the meeting');
    this.#info = first.data;
    this.#append('group', this.#host.identity, first.data);
    this.#append('back', this.#host.identity);
    this.members = 1;
  }

  get #opened() {
    return { type: 'opened', log: 'log', head: this.#entries.length, state: 'running', resumed: false };
  }

  #enter(): Somebody {
    const somebody = this.open(++this.#people);
    somebody.give(this.now, { type: 'connected' });
    return somebody;
  }

  /** What the host submits on it, and how long it took for it. */
  #append(kind: string, from: string, data?: string): { took: number; said: Submitted | null } {
    const entry: Entry = {
      seq: this.#entries.length + 1,
      kind,
      from,
      ...(data === undefined ? {} : { data }),
    };
    this.#entries.push(entry);
    const begin = performance.now();
    const said = this.#host.hear(this.now, { type: 'entry', ...entry });
    return { took: performance.now() - begin, said };
  }

  /** Somebody comes. */
  join() {
    const guest = this.#enter();
    const { identity } = guest;
    this.#append('back', identity);
    guest.hear(this.now, this.#opened);
    const past = this.#entries.filter(({ kind }) => !['group', 'join', 'commit'].includes(kind));
    const base = { type: 'base', seq: this.#entries.length, group_info: this.#info, past };
    const joining = guest.hear(this.now, base);
    if (joining?.kind !== 'join') throw new Error('the guest does not join');
    const sizes = { base: sizeOf(this.#info), join: sizeOf(joining.data) };
    this.#info = joining.group_info;
    const { took } = this.#append('join', identity, joining.data);
    this.members++;
    guest.free();
    return { identity, joining: joining.took, folding: took, ...sizes };
  }

  /** Who came leaves, and is removed. */
  remove(identity: string) {
    let { said } = this.#append('left', identity);
    for (const end = this.now + DUTIES_MS; !said && this.now < end;) {
      this.now = Math.max(this.now + 1, this.#host.timeout);
      said = this.#host.give(this.now, { type: 'timeout' });
    }
    if (said?.kind !== 'commit') throw new Error('the host does not remove anybody');
    this.#info = said.group_info;
    this.#append('commit', this.#host.identity, said.data);
    this.members--;
    return { committing: said.took, commit: sizeOf(said.data) };
  }

  free(): void {
    this.#host.free();
  }
}

async function keys(sizes: number[], rounds: number): Promise<KeyCosts[]> {
  const { Session: Opened } = await load();
  const seed = (number: number, use: number) => {
    const bytes = new Uint8Array(32).fill(use);
    new DataView(bytes.buffer).setUint32(0, number);
    return bytes;
  };
  const open = (number: number) => {
    const config = { origin: ORIGIN, room: ROOM, fragment: FRAGMENT, name: `Member ${number}` };
    return new Somebody(Opened.open(JSON.stringify(config), seed(number, 1), seed(number, 2)));
  };
  const meeting = new Meeting(open);
  const all = sizes.map((members) => {
    while (meeting.members < members - 1) meeting.join();
    const costs = { members, base: 0, join: 0, commit: 0 };
    const times = { joining: [] as number[], folding: [] as number[], committing: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      const came = meeting.join();
      const left = meeting.remove(came.identity);
      times.joining.push(came.joining);
      times.folding.push(came.folding);
      times.committing.push(left.committing);
      Object.assign(costs, { base: came.base, join: came.join, commit: left.commit });
    }
    return { ...costs, ...times };
  });
  meeting.free();
  return all;
}

/** As many of each as make the clock's grain small against them. */
const KINDS: [string, StreamKind, Codec, number, number][] = [
  ['sound', 'microphone', SOUND, 80, 500],
  ['picture', 'camera', VP8, 8_000, 500],
  ['screen', 'screen', VP8, 100_000, 100],
];

async function frames(rounds: number): Promise<FrameCosts[]> {
  const keyring = () => {
    const ring = new Keyring();
    ring.handle({ type: 'keys', epoch: 1, base: new ArrayBuffer(32) });
    ring.handle({ type: 'own', leaf: 1 });
    ring.handle({ type: 'send', epoch: 1 });
    return ring;
  };
  const floor = await crypto.subtle.importKey('raw', new Uint8Array(16), 'AES-GCM', false, ['encrypt']);
  const all: FrameCosts[] = [];
  for (const [frame, kind, codec, bytes, count] of KINDS) {
    const ring = keyring();
    const sealer = new Sealer(ring);
    sealer.kind = kind;
    const opener = new Opener(ring, () => performance.now());
    opener.expect({ kind, leaf: 1 });
    const plain = new Uint8Array(bytes).fill(1);
    const sound = codec === SOUND;
    const cost: FrameCosts = { frame, bytes, sealing: [], opening: [], floor: [] };
    const timed = async (into: number[], run: (turn: number) => Promise<unknown>) => {
      const begin = performance.now();
      for (let turn = 0; turn < count; turn++) await run(turn);
      into.push(((performance.now() - begin) * 1000) / count);
    };
    for (let round = 0; round < rounds; round++) {
      const sealed: Uint8Array<ArrayBuffer>[] = [];
      await timed(cost.sealing, async () => {
        const done = await sealer.seal(codec, sound, plain);
        if (!('frame' in done)) throw new Error(done.withheld);
        sealed.push(done.frame);
      });
      await timed(cost.opening, async (turn) => {
        const done = await opener.open(codec, sealed[turn] ?? new Uint8Array());
        if (!('frame' in done) || done.frame.length !== bytes) throw new Error('a frame did not open');
      });
      await timed(cost.floor, () =>
        crypto.subtle.encrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, floor, plain),
      );
    }
    all.push(cost);
  }
  return all;
}

window.costs = { keys, frames };
