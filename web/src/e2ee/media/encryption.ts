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
  readonly #detach: () => void;
  readonly #ids = new WeakMap<End, number>();
  readonly #connections = new WeakMap<RTCPeerConnection, { id: number; described: string }>();
  readonly #publishers = new Map<RTCRtpReceiver, Publisher>();
  readonly #listeners = new Set<(report: MediaReport) => void>();
  #leaves: ReadonlyMap<string, number> = new Map();
  #next = 1;

  static isSupported(): boolean {
    return typeof RTCRtpScriptTransform === 'function';
  }

  /** From now on everything that the page sends is sealed, until `stop`. */
  static start(): MediaEncryption {
    return new MediaEncryption(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    const { port1, port2 } = new MessageChannel();
    this.keys = port1;
    this.#post({ type: 'keys-from', port: port2 }, [port2]);
    worker.onmessage = ({ data }: MessageEvent<MediaReport>) => {
      for (const listener of [...this.#listeners]) listener(data);
    };
    this.#detach = attachAtBirth(this);
  }

  onReport(listener: (report: MediaReport) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The number under which reports speak of a stream. */
  idOf(end: End): number | undefined {
    return this.#ids.get(end);
  }

  /** Says what a sender sends. Until then it sends nothing. */
  sends(sender: RTCRtpSender, kind: StreamKind | null): void {
    const id = this.#ids.get(sender);
    if (id !== undefined) this.#post({ type: 'sender', id, kind });
  }

  /** Says whose stream a receiver should get. Until then, and of anybody else, it shows nothing. */
  receives(receiver: RTCRtpReceiver, publisher: Publisher | null): void {
    if (publisher) this.#publishers.set(receiver, publisher);
    else this.#publishers.delete(receiver);
    this.#expect(receiver, publisher);
  }

  /** Says which leaves of the group people have, by identity. Who is not among them is not shown. */
  setLeaves(leaves: ReadonlyMap<string, number>): void {
    this.#leaves = leaves;
    for (const [receiver, publisher] of this.#publishers) this.#expect(receiver, publisher);
  }

  attach(connection: RTCPeerConnection, end: End): void {
    if (this.#ids.has(end)) return;
    const id = this.#next++;
    const side = end instanceof RTCRtpSender ? 'sender' : 'receiver';
    const options: TransformOptions = { id, connection: this.#connection(connection).id, side };
    end.transform = new RTCRtpScriptTransform(this.#worker, options);
    this.#ids.set(end, id);
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
    this.#detach();
    this.#publishers.clear();
    this.#worker.terminate();
  }

  #connection(connection: RTCPeerConnection): { id: number; described: string } {
    let known = this.#connections.get(connection);
    if (!known) this.#connections.set(connection, (known = { id: this.#next++, described: '' }));
    return known;
  }

  #expect(receiver: RTCRtpReceiver, publisher: Publisher | null): void {
    const id = this.#ids.get(receiver);
    if (id === undefined) return;
    const leaf = (publisher && this.#leaves.get(publisher.identity)) ?? null;
    this.#post({ type: 'receiver', id, kind: publisher?.kind ?? null, leaf });
  }

  #post(message: PageMessage, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
