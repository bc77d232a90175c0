/**
 * The channel's WebSocket: opened again whenever it breaks, until it is stopped. What is sent meanwhile is lost. Browsers
 * do not notice for minutes that a line is dead, or their address another one, so the server has to be heard.
 */

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

/** After so long without a word the server is asked whether it is there. A channel that lasted so long was one. */
const QUIET_MS = 5000;

/** So long it may take to open, and to answer. Packets are sent again meanwhile; less would end it for a bad line. */
const DEAD_MS = 10_000;

/** So long the answer may take when the line is known to have been away, and to be there again. */
const CHECK_MS = 4000;

const PING = JSON.stringify({ type: 'ping' });

export class Channel {
  readonly #backoff: Backoff;
  #url = '';
  #token = '';
  #socket: Socket | null = null;
  #isOpen = false;
  /** A word came since it was looked at last. */
  #heard = false;
  #isAsked = false;
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

  /** The line was away and is there again: is the channel, too? */
  check(): void {
    if (this.#isOpen && !this.#stopped) this.#ask(CHECK_MS);
  }

  /** Closes it for good once everything is sent, and then calls back. */
  stop(done: () => void): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#onStopped = done;
    if (this.#socket) {
      this.#after(DEAD_MS, () => this.#abandon());
      this.#socket.close();
    } else {
      this.#cancel();
      done();
    }
  }

  #open(): void {
    const socket = this.outside.open(`${this.#url}?access_token=${encodeURIComponent(this.#token)}`);
    this.#socket = socket;
    this.#after(DEAD_MS, () => this.#abandon());
    socket.onopen = () => {
      this.#isOpen = true;
      if (!this.#stopped) this.#watch();
      this.listener.connected();
    };
    socket.onmessage = ({ data }) => {
      this.#heard = true;
      if (this.#stopped) return;
      if (this.#isAsked) this.#watch();
      this.listener.message(data);
    };
    socket.onclose = () => this.#closed();
  }

  /** One thing at a time is waited for. */
  #after(ms: number, run: () => void): void {
    this.#cancel();
    this.#cancel = this.outside.later(run, ms);
  }

  #watch(): void {
    this.#heard = this.#isAsked = false;
    this.#after(QUIET_MS, () => {
      this.#backoff.reset();
      if (this.#heard) this.#watch();
      else this.#ask(DEAD_MS);
    });
  }

  #ask(patience: number): void {
    this.#isAsked = true;
    this.#socket?.send(PING);
    this.#after(patience, () => this.#abandon());
  }

  /** Closing by the rules would take as long as noticing. */
  #abandon(): void {
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#closed();
  }

  #closed(): void {
    const wasOpen = this.#isOpen;
    this.#isOpen = this.#isAsked = false;
    this.#socket = null;
    this.#cancel();
    if (this.#stopped) return this.#onStopped();
    if (wasOpen) this.listener.disconnected();
    // The listener may have stopped it.
    if (this.#stopped) return;
    this.#after(this.#backoff.next(), () => this.#open());
  }
}
