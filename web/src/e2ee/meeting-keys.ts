/** The page's end of the keys of one meeting: passes messages between their worker, the media worker and the connection. */

import type { MediaEncryption } from './media/encryption';
import type { MediaReport } from './media/messages';
import { channelAddress } from './keys/address';
import type { PageMessage, WorkerMessage } from './keys/messages';
import type { Content, Event, Roster, State, Stream } from './keys/wire';
import { KeysError, type KeysEvent, type KeysRequest, type MeetingKeys } from './types';

/** Loading and compiling what the worker needs; after that something is wrong. */
const OPEN_MS = 20_000;
/** The server is told within this time, or finds out by itself. */
const LEAVE_MS = 2000;

/** What is used of a worker. */
export type KeysWorker = Pick<Worker, 'postMessage' | 'terminate' | 'onmessage' | 'onerror'>;

export class WorkerKeys implements MeetingKeys {
  #identity = '';
  #state: State = { type: 'connecting' };
  #roster: Roster | null = null;
  readonly #listeners = new Set<(event: KeysEvent) => void>();
  readonly #senders = new Set<(payload: Uint8Array<ArrayBuffer>, to: string[]) => void>();
  /** Whose streams do not open, by the number under which the media worker speaks of them. */
  readonly #failing = new Map<number, string>();
  #failed = false;
  #left = false;
  #opened: { resolve: () => void; reject: (error: KeysError) => void } | null = null;

  /** @throws KeysError */
  static async open(
    worker: KeysWorker,
    media: MediaEncryption,
    { seed, ...config }: KeysRequest,
  ): Promise<WorkerKeys> {
    const keys = new WorkerKeys(worker, media);
    const timer = setTimeout(() => keys.#fail(), OPEN_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        keys.#opened = { resolve, reject };
        const key = new Uint8Array(seed);
        keys.#post({ type: 'open', config, key, media: media.keys }, [key.buffer, media.keys]);
      });
    } catch (error) {
      keys.leave();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return keys;
  }

  private constructor(
    readonly worker: KeysWorker,
    readonly media: MediaEncryption,
  ) {
    worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => this.#heard(data);
    worker.onerror = () => this.#fail();
    media.onReport((report) => this.#reported(report));
  }

  get identity(): string {
    return this.#identity;
  }

  get state(): State {
    return this.#state;
  }

  get roster(): Roster | null {
    return this.#roster;
  }

  get failed(): boolean {
    return this.#failed;
  }

  on(listener: (event: KeysEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onPacket(send: (payload: Uint8Array<ArrayBuffer>, to: string[]) => void): () => void {
    this.#senders.add(send);
    return () => this.#senders.delete(send);
  }

  connect(server: string, room: string, token: string): void {
    this.#post({ type: 'connect', url: channelAddress(server, room), token });
  }

  renew(token: string): void {
    this.#post({ type: 'token', token });
  }

  packet(payload: Uint8Array): void {
    this.#post({ type: 'packet', payload });
  }

  path(open: boolean): void {
    this.#post({ type: 'path', open });
  }

  streams(streams: Stream[]): void {
    this.#post({ type: 'streams', streams });
  }

  send(content: Content): void {
    this.#post({ type: 'send', content });
  }

  compared(epoch: number, matches: boolean): void {
    this.#post({ type: 'compared', epoch, matches });
  }

  leave(): void {
    if (this.#left) return;
    this.#post({ type: 'leave' });
    this.#left = true;
    this.#listeners.clear();
    this.#senders.clear();
    this.media.stop();
    // A worker that has stopped already says nothing more.
    setTimeout(() => this.worker.terminate(), LEAVE_MS);
  }

  #post(message: PageMessage, transfer: Transferable[] = []): void {
    if (!this.#left) this.worker.postMessage(message, transfer);
  }

  #heard(message: WorkerMessage): void {
    if (message.type === 'closed') {
      if (this.#left) this.worker.terminate();
      return;
    }
    if (this.#left) return;
    switch (message.type) {
      case 'opened':
        this.#identity = message.identity;
        this.#opened?.resolve();
        return;
      case 'failed':
        return this.#fail();
      case 'packet':
        for (const send of [...this.#senders]) send(message.payload, message.to);
        return;
      case 'event':
        this.#happened(message.event);
    }
  }

  #happened(event: Event): void {
    if (event.type === 'state') this.#state = event.state;
    if (event.type === 'roster') {
      this.#roster = event.roster;
      this.media.setLeaves(new Map(event.roster.members.map(({ identity, leaf }) => [identity, leaf])));
    }
    this.#emit(event);
  }

  #reported(report: MediaReport): void {
    if (report.type === 'broken') return this.#fail();
    if (report.type !== 'opened') return;
    const { id, state } = report;
    const failing = this.#failing.get(id);
    const publisher = this.media.publisherOf(id);
    if (state === 'failing' && !failing && publisher) {
      const { identity } = publisher;
      this.#failing.set(id, identity);
      this.#emit({ type: 'stream', id, identity, opens: false });
    } else if (state !== 'failing' && failing) {
      this.#failing.delete(id);
      this.#emit({ type: 'stream', id, identity: failing, opens: true });
    }
  }

  #fail(): void {
    this.#failed = true;
    this.#opened?.reject(new KeysError('failed'));
    this.#emit({ type: 'failed' });
  }

  #emit(event: KeysEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}
