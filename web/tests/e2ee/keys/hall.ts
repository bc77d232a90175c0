/** A server's log in memory, with sockets into it, and holders of keys around it that share one time. */

import { KeyHolder } from '../../../src/e2ee/keys/holder';
import type { Socket } from '../../../src/e2ee/keys/channel';
import type { Keys } from '../../../src/e2ee/keys/load';
import type { SessionConfig, WorkerMessage } from '../../../src/e2ee/keys/messages';
import type { Event, Roster } from '../../../src/e2ee/keys/wire';
import type { KeyMessage } from '../../../src/e2ee/media/messages';
import { FakeClock } from '../../../scripted/world';

/** What the log looks at of a member's messages. */
interface Said {
  type: string;
  id?: number;
  kind?: string;
  after?: number;
  data?: string;
  group_info?: string;
}

interface Entry {
  seq: number;
  kind: string;
  from: string;
  data?: string;
}

export class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: string[] = [];
  isOpen = false;

  constructor(
    readonly address: string,
    readonly received: (socket: FakeSocket, text: string) => void = () => undefined,
  ) {}

  open(): void {
    this.isOpen = true;
    this.onopen?.();
  }

  say(message: unknown): void {
    if (this.isOpen) this.onmessage?.({ data: JSON.stringify(message) });
  }

  send(text: string): void {
    this.sent.push(text);
    this.received(this, text);
  }

  /** Either end. */
  close(): void {
    this.isOpen = false;
    this.onclose?.();
  }
}

/** As much of a server as an orderly meeting needs. */
class Log {
  readonly #entries: Entry[] = [];
  readonly #sockets = new Map<FakeSocket, string>();
  #info = '';

  get #head(): number {
    return this.#entries.length;
  }

  received(socket: FakeSocket, message: Said): void {
    const from = new URL(socket.address).searchParams.get('access_token') ?? '';
    switch (message.type) {
      case 'hello': {
        const running = this.#head > 0;
        const state = running ? 'running' : 'empty';
        socket.say({ type: 'opened', log: 'log', head: this.#head, state, resumed: false });
        this.#sockets.set(socket, from);
        if (running) this.#append('back', from);
        if (running) this.#base(socket);
        return;
      }
      case 'want-base':
        return this.#base(socket);
      case 'submit': {
        const { id, kind = '', data = '', after, group_info } = message;
        if (after !== this.#head) {
          socket.say({ type: 'refused', id, code: 'stale', head: this.#head });
          return;
        }
        this.#info = group_info ?? data;
        socket.say({ type: 'submitted', id, seq: this.#head + 1 });
        this.#append(kind, from, data);
        if (kind === 'group') this.#append('back', from);
        return;
      }
      case 'ping':
        return socket.say({ type: 'pong' });
      case 'leave':
        this.#sockets.delete(socket);
        return this.#append('left', from);
    }
  }

  #append(kind: string, from: string, data?: string): void {
    const entry: Entry = { seq: this.#head + 1, kind, from, ...(data ? { data } : {}) };
    this.#entries.push(entry);
    for (const socket of this.#sockets.keys()) socket.say({ type: 'entry', ...entry });
  }

  #base(socket: FakeSocket): void {
    const past = this.#entries.filter(({ kind }) => kind === 'back');
    socket.say({ type: 'base', seq: this.#head, group_info: this.#info, past });
  }
}

/** One person's keys, and what came out of them. */
export class Holder {
  readonly holder: KeyHolder;
  readonly told: WorkerMessage[] = [];
  readonly media: KeyMessage[] = [];
  readonly sockets: FakeSocket[] = [];
  /** Buffers that were handed on and are nobody's here any more. */
  transferred = 0;

  constructor(
    readonly hall: Hall,
    readonly name: string,
    readonly seed: number,
  ) {
    this.holder = new KeyHolder({
      now: () => hall.clock.now(),
      later: (run, ms) => hall.clock.after(ms, run),
      chance: () => 0,
      random: (bytes) => void bytes.fill(seed + 100),
      open: (address) => {
        const receive = (from: FakeSocket, text: string) =>
          void hall.clock.after(5, () => hall.log.received(from, JSON.parse(text)));
        const socket = new FakeSocket(address, receive);
        this.sockets.push(socket);
        return socket;
      },
      load: async () => hall.keys,
      tell: (message) => {
        this.told.push(message);
        if (message.type === 'packet') hall.carry(this, message.to, message.payload);
      },
    });
  }

  async open(change: Partial<SessionConfig> = {}): Promise<void> {
    const config = {
      origin: 'https://meet.example',
      room: 'a',
      fragment: `#1${'0'.repeat(21)}`,
      name: this.name,
      ...change,
    };
    const media = {
      postMessage: (message: KeyMessage, transfer: unknown[] = []) => {
        this.transferred += transfer.length;
        this.media.push(message);
      },
    } as unknown as MessagePort;
    this.holder.handle({ type: 'open', config, key: new Uint8Array(32).fill(this.seed), media });
    await new Promise((resolve) => setTimeout(resolve));
  }

  /** Into the channel, whose token is the identity here, with a way to the others. */
  connect(): void {
    this.holder.handle({ type: 'connect', url: 'wss://meet.example/channel', token: this.identity });
    this.sockets.at(-1)?.open();
    this.holder.handle({ type: 'path', open: true });
  }

  get identity(): string {
    const opened = this.told.find((message) => message.type === 'opened');
    return opened?.type === 'opened' ? opened.identity : '';
  }

  get events(): Event[] {
    return this.told.flatMap((message) => (message.type === 'event' ? [message.event] : []));
  }

  get roster(): Roster | undefined {
    return this.events.flatMap((event) => (event.type === 'roster' ? [event.roster] : [])).at(-1);
  }
}

export class Hall {
  readonly clock = new FakeClock();
  readonly log = new Log();
  readonly people: Holder[] = [];

  constructor(readonly keys: Keys) {}

  person(name: string): Holder {
    const holder = new Holder(this, name, this.people.length + 1);
    this.people.push(holder);
    return holder;
  }

  /** Data packets take their time. */
  carry(from: Holder, to: string[], payload: Uint8Array): void {
    for (const person of this.people) {
      if (person === from || (to.length > 0 && !to.includes(person.identity))) continue;
      this.clock.after(20, () => person.holder.handle({ type: 'packet', payload }));
    }
  }
}
