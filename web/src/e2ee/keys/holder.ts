/**
 * Whoever holds the keys: one session of `crates/e2ee`, the channel that it follows, the time that it waits for, and the
 * way of media keys to the media worker, whose only owner it is. Knows nothing of workers; `worker.ts` runs it in one.
 */

import type { KeyMessage } from '../media/messages';
import { fromBase64, toBase64 } from './base64';
import { Channel, type Outside as ChannelOutside } from './channel';
import type { Keys, Session } from './load';
import type { PageMessage, SessionConfig, WorkerMessage } from './messages';
import { inputOfServer, type Input, type Media, type Output } from './wire';

const SEED_BYTES = 32;

export interface Outside extends ChannelOutside {
  /** Milliseconds since the epoch; never goes back. */
  now(): number;
  random(bytes: Uint8Array<ArrayBuffer>): void;
  /** The session's code. */
  load(): Promise<Pick<Keys, 'Session'>>;
  tell(message: WorkerMessage, transfer?: Transferable[]): void;
}

type LaterMessage = Exclude<PageMessage, { type: 'open' | 'load' }>;

/** What is used of a port. */
export type MediaPort = Pick<MessagePort, 'postMessage'>;

export class KeyHolder {
  readonly #channel: Channel;
  #session: Session | null = null;
  #media: MediaPort | null = null;
  #opening = false;
  #over = false;
  /** What came before the session was there. */
  #early: LaterMessage[] = [];
  #cancel: () => void = () => undefined;

  constructor(readonly outside: Outside) {
    this.#channel = new Channel(outside, {
      connected: () => this.#input({ type: 'connected' }),
      disconnected: () => this.#input({ type: 'disconnected' }),
      message: (data) => this.#server(data),
    });
  }

  handle(message: PageMessage): void {
    if (message.type === 'load') {
      // A failure is met again, and told, when there is a session to open.
      this.outside.load().catch(() => undefined);
    } else if (message.type === 'open') {
      if (!this.#opening) void this.#open(message.config, message.key, message.media);
    } else if (this.#session === null && !this.#over) {
      this.#early.push(message);
    } else {
      this.#take(message);
    }
  }

  async #open(config: SessionConfig, key: Uint8Array, media: MediaPort): Promise<void> {
    this.#opening = true;
    this.#media = media;
    try {
      const { Session } = await this.outside.load();
      const seed = new Uint8Array(SEED_BYTES);
      this.outside.random(seed);
      this.#session = Session.open(JSON.stringify(config), key, seed);
      seed.fill(0);
    } catch {
      return this.#fail();
    } finally {
      key.fill(0);
    }
    this.outside.tell({ type: 'opened', identity: this.#session.identity() });
    for (const message of this.#early.splice(0)) this.#take(message);
  }

  #take(message: LaterMessage): void {
    switch (message.type) {
      case 'connect':
        return this.#channel.start(message.url, message.token);
      case 'token':
        return this.#channel.renew(message.token);
      case 'packet':
        return this.#input({ type: 'message', data: toBase64(message.payload) });
      case 'path':
        if (message.open) this.#channel.check();
        return this.#input(message);
      default:
        this.#input(message);
    }
  }

  #server(data: unknown): void {
    const input = inputOfServer(data);
    if (input !== null) this.#run(input);
  }

  #input(input: Input): void {
    this.#run(JSON.stringify(input));
  }

  /** The run loop's rule: an input, then outputs until there are none, then the time of the next. */
  #run(input: string): void {
    const session = this.#session;
    if (!session || this.#over) return;
    this.#cancel();
    let stopped = false;
    try {
      try {
        session.handle(this.outside.now(), input);
      } catch (error) {
        // Messages of a later version are none of ours. Anything but a sentence is a fault of the session itself.
        if (typeof error !== 'string') throw error;
      }
      for (let json = session.poll(); json !== undefined; json = session.poll()) {
        const output = JSON.parse(json) as Output;
        this.#give(output);
        stopped ||=
          output.type === 'event' && output.event.type === 'state' && output.event.state.type === 'stopped';
      }
    } catch {
      return this.#fail();
    }
    if (stopped) return this.#stop();
    const due = session.timeout();
    if (due === undefined) return;
    const wait = Math.max(0, Math.ceil(due - this.outside.now()));
    this.#cancel = this.outside.later(() => this.#input({ type: 'timeout' }), wait);
  }

  #give(output: Output): void {
    switch (output.type) {
      case 'channel':
        return this.#channel.send(JSON.stringify(output.message));
      case 'message': {
        const payload = fromBase64(output.data);
        return this.outside.tell({ type: 'packet', to: output.to, payload }, [payload.buffer]);
      }
      case 'media':
        return this.#giveMedia(output.media);
      case 'event':
        this.outside.tell({ type: 'event', event: output.event });
    }
  }

  #giveMedia(media: Media): void {
    if (media.type !== 'keys') {
      this.#media?.postMessage(media satisfies KeyMessage);
      return;
    }
    const key = fromBase64(media.base);
    const base = new ArrayBuffer(key.length);
    new Uint8Array(base).set(key);
    key.fill(0);
    // Transferred: what is left here is nothing.
    this.#media?.postMessage({ type: 'keys', epoch: media.epoch, base } satisfies KeyMessage, [base]);
  }

  /** The session is over: its keys go, and the channel with them. */
  #stop(): void {
    this.#end(() => this.outside.tell({ type: 'closed' }));
  }

  #fail(): void {
    // Whatever the session's state, nothing may be sealed any longer.
    this.#media?.postMessage({ type: 'send', epoch: null } satisfies KeyMessage);
    this.#end(() => undefined);
    this.outside.tell({ type: 'failed' });
  }

  #end(done: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancel();
    this.#early = [];
    this.#channel.stop(done);
    try {
      this.#session?.free();
    } catch {
      // A session that failed half-way cannot be freed; it ends with the worker.
    }
    this.#session = null;
  }
}
