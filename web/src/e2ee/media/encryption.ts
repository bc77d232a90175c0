/**
 * The page's end of the media worker: gives senders and receivers their transforms, says which stream is whose and what,
 * and hears how they fare. It sees neither keys nor frames; keys come to the worker from whoever `keys` is given to.
 */

import { attachAtBirth, type Attacher } from './attach';
import type { MediaReport, PageMessage, StreamKind, TransformOptions } from './messages';
import { payloadTypes } from './payload-types';

/** Whose stream a receiver should get, and which. */
export interface Publisher {
  identity: string;
  kind: StreamKind;
}

type End = RTCRtpSender | RTCRtpReceiver;

export class MediaEncryption implements Attacher {
  /** Takes `KeyMessage`s. To be transferred to whoever holds the keys. */
  readonly keys: MessagePort;
  readonly #worker: Worker;
  #unwatch: (() => void) | null = null;
  readonly #ids = new WeakMap<End, number>();
  readonly #connections = new WeakMap<RTCPeerConnection, { id: number; described: string }>();
  readonly #kinds = new WeakMap<RTCRtpSender, StreamKind>();
  readonly #publishers = new Map<RTCRtpReceiver, Publisher>();
  readonly #listeners = new Set<(report: MediaReport) => void>();
  #leaves: ReadonlyMap<string, number> = new Map();
  #next = 1;

  static isSupported(): boolean {
    return typeof RTCRtpScriptTransform === 'function';
  }

  static start(): MediaEncryption {
    return new MediaEncryption(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    const { port1, port2 } = new MessageChannel();
    this.keys = port1;
    this.#post({ type: 'keys-from', port: port2 }, [port2]);
    worker.onmessage = ({ data }: MessageEvent<MediaReport>) => this.#report(data);
    worker.onerror = () => this.#report({ type: 'broken' });
  }

  /** From now on whatever new connections send is sealed. To be called before the first is made. */
  watch(): void {
    this.#unwatch ??= attachAtBirth(this);
  }

  /** Leaves new connections alone. Those that there are stay as they are. */
  unwatch(): void {
    this.#unwatch?.();
    this.#unwatch = null;
  }

  onReport(listener: (report: MediaReport) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The number under which reports speak of a stream. */
  idOf(end: End): number | undefined {
    return this.#ids.get(end);
  }

  /** Who is expected to be received under that number, and as what. */
  publisherOf(id: number): Publisher | null {
    for (const [receiver, publisher] of this.#publishers) {
      if (this.#ids.get(receiver) === id) return publisher;
    }
    return null;
  }

  /** Says what a sender sends. Until then it sends nothing. */
  sends(sender: RTCRtpSender, kind: StreamKind | null): void {
    if (kind) this.#kinds.set(sender, kind);
    else this.#kinds.delete(sender);
    this.#tellOf(sender);
  }

  /** Says whose stream a receiver should get. Until then, and of anybody else, it shows nothing. */
  receives(receiver: RTCRtpReceiver, publisher: Publisher | null): void {
    if (publisher) this.#publishers.set(receiver, publisher);
    else this.#publishers.delete(receiver);
    this.#tellOf(receiver);
  }

  /** Says which leaves of the group people have, by identity. Who is not among them is not shown. */
  setLeaves(leaves: ReadonlyMap<string, number>): void {
    this.#leaves = leaves;
    for (const receiver of this.#publishers.keys()) this.#tellOf(receiver);
  }

  attach(connection: RTCPeerConnection, end: End): void {
    if (this.#ids.has(end)) return;
    const id = this.#next++;
    const side = end instanceof RTCRtpSender ? 'sender' : 'receiver';
    const options: TransformOptions = { id, connection: this.#connection(connection).id, side };
    const transform = new RTCRtpScriptTransform(this.#worker, options);
    end.transform = transform;
    // A media library may have transforms of its own, or none, in mind (livekit-client has): it is not heard.
    Object.defineProperty(end, 'transform', { get: () => transform, set: () => undefined });
    this.#ids.set(end, id);
    // The page may have heard of it first.
    this.#tellOf(end);
  }

  described(connection: RTCPeerConnection): void {
    const [local, remote] = [connection.localDescription?.sdp ?? '', connection.remoteDescription?.sdp ?? ''];
    // What is sent has the numbers that the other end gave, what is received one's own.
    const [ours, theirs] = [payloadTypes(local), payloadTypes(remote)];
    const types = { sent: { ...ours, ...theirs }, received: { ...theirs, ...ours } };
    const known = this.#connection(connection);
    const described = JSON.stringify(types);
    if (described === known.described) return;
    known.described = described;
    this.#post({ type: 'codecs', connection: known.id, ...types });
  }

  /** Ends the worker, and with it every key. Connections that are still open carry nothing from then on. */
  stop(): void {
    this.unwatch();
    this.#publishers.clear();
    this.#worker.terminate();
  }

  #report(report: MediaReport): void {
    for (const listener of [...this.#listeners]) listener(report);
  }

  #connection(connection: RTCPeerConnection): { id: number; described: string } {
    let known = this.#connections.get(connection);
    if (!known) this.#connections.set(connection, (known = { id: this.#next++, described: '' }));
    return known;
  }

  /** Tells the worker what was said of one end, once that has a transform. */
  #tellOf(end: End): void {
    const id = this.#ids.get(end);
    if (id === undefined) return;
    if (end instanceof RTCRtpSender) {
      this.#post({ type: 'sender', id, kind: this.#kinds.get(end) ?? null });
      return;
    }
    const publisher = this.#publishers.get(end);
    const leaf = (publisher && this.#leaves.get(publisher.identity)) ?? null;
    this.#post({ type: 'receiver', id, kind: publisher?.kind ?? null, leaf });
  }

  #post(message: PageMessage, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
