/** The channel's WebSocket: opened again whenever it breaks, until it is stopped. What is sent meanwhile is lost. */

import { Backoff } from './backoff';

/** What is used of a WebSocket. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(): void;
}

export interface Outside {
  open(address: string): Socket;
  /** Returns what cancels it. */
  later(run: () => void, ms: number): () => void;
  /** 0 to 1. */
  chance(): number;
}

export interface Listener {
  connected(): void;
  disconnected(): void;
  message(data: unknown): void;
}

/** A channel that lasted so long was one: the next try may come soon. */
const LASTING_MS = 5000;

export class Channel {
  readonly #backoff: Backoff;
  #url = '';
  #token = '';
  #socket: Socket | null = null;
  #isOpen = false;
  #started = false;
  #stopped = false;
  #cancel: () => void = () => undefined;
  #onStopped: () => void = () => undefined;

  constructor(
    readonly outside: Outside,
    readonly listener: Listener,
  ) {
    this.#backoff = new Backoff(() => outside.chance());
  }

  /** Opens it; only the first call counts. */
  start(url: string, token: string): void {
    if (this.#started || this.#stopped) return;
    this.#started = true;
    this.#url = url;
    this.#token = token;
    this.#open();
  }

  /** The token to open it with the next time. */
  renew(token: string): void {
    this.#token = token;
  }

  send(text: string): void {
    if (this.#isOpen) this.#socket?.send(text);
  }

  /** Closes it for good once everything is sent, and then calls back. */
  stop(done: () => void): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancel();
    this.#onStopped = done;
    if (this.#socket) this.#socket.close();
    else done();
  }

  #open(): void {
    const socket = this.outside.open(`${this.#url}?access_token=${encodeURIComponent(this.#token)}`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#isOpen = true;
      this.#cancel = this.outside.later(() => this.#backoff.reset(), LASTING_MS);
      this.listener.connected();
    };
    socket.onmessage = ({ data }) => {
      if (!this.#stopped) this.listener.message(data);
    };
    socket.onclose = () => this.#closed();
  }

  #closed(): void {
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    this.#socket = null;
    this.#cancel();
    if (this.#stopped) return this.#onStopped();
    if (wasOpen) this.listener.disconnected();
    // The listener may have stopped it.
    if (this.#stopped) return;
    this.#cancel = this.outside.later(() => this.#open(), this.#backoff.next());
  }
}
