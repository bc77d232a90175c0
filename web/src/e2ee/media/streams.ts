/** One stream each way: what its frames go through in the worker, and what is counted on the way. */

import { codecOf, SOUND, type Codec } from './codecs/codec';
import type { Keyring } from './keyring';
import type { Counts, MediaReport, PayloadTypes, Refusal, StreamKind, Withheld } from './messages';
import { Opener } from './opener';
import { count, type Reporting, type Reports } from './reporting';
import { Sealer } from './sealer';
import { isPicture, type EncodedFrame } from './transform';

/** So many frames in a row that do not open are no accident, and no filler of a server's. */
const FAILING_AFTER = 5;
/** A key frame is asked for at most this often. */
const ASK_EVERY_MS = 500;
/** Refusals that say nothing about the stream: somebody repeats or delays packets. */
const HARMLESS: readonly Refusal[] = ['replayed', 'late'];

/** What payload types stand for at the moment. */
export type PayloadTypesNow = () => PayloadTypes;

/** The codec of a frame: it says so itself, or its payload type was announced. */
function codecOfFrame(frame: EncodedFrame, types: PayloadTypesNow): Codec | null {
  if (!isPicture(frame)) return SOUND;
  const { mimeType, payloadType } = frame.getMetadata();
  const name = mimeType ?? (payloadType === undefined ? undefined : types()[payloadType]);
  return name === undefined ? null : codecOf(name);
}

export class SentStream implements Reporting {
  readonly #sealer: Sealer;
  readonly #withheld: Counts<Withheld> = {};
  #sealed = 0;

  constructor(
    readonly id: number,
    keyring: Keyring,
    readonly types: PayloadTypesNow,
    readonly reports: Reports,
  ) {
    this.#sealer = new Sealer(keyring);
  }

  be(kind: StreamKind | null): void {
    this.#sealer.kind = kind;
  }

  /** The frame with its content sealed; `null` when it is not sent. */
  async frame<Frame extends EncodedFrame>(frame: Frame): Promise<Frame | null> {
    const codec = codecOfFrame(frame, this.types);
    const result = await this.#sealer.seal(codec, !isPicture(frame), new Uint8Array(frame.data));
    this.reports.changed(this);
    if ('withheld' in result) {
      count(this.#withheld, result.withheld);
      return null;
    }
    frame.data = result.frame.buffer;
    this.#sealed++;
    return frame;
  }

  report(): MediaReport {
    return { type: 'sealed', id: this.id, sealed: this.#sealed, withheld: { ...this.#withheld } };
  }
}

export class ReceivedStream implements Reporting {
  readonly #opener: Opener;
  readonly #refused: Counts<Refusal> = {};
  #opened = 0;
  /** Somebody's stream is expected. */
  #expected = false;
  #state: 'waiting' | 'opening' | 'failing' = 'waiting';
  /** Frames in a row that did not open. */
  #failures = 0;
  /** What was lost, later pictures may be made of: a key frame is needed. */
  #gap = false;
  #asked = -Infinity;

  constructor(
    readonly id: number,
    keyring: Keyring,
    readonly types: PayloadTypesNow,
    readonly reports: Reports,
    readonly now: () => number,
    readonly askKeyFrame: () => void,
  ) {
    this.#opener = new Opener(keyring, now);
  }

  /** How it fared as somebody else's stream, or as nobody's, says nothing of this one. */
  expect(kind: StreamKind | null, leaf: number | null): void {
    const expected = kind === null || leaf === null ? null : { kind, leaf };
    if (!this.#opener.expect(expected)) return;
    this.#expected = expected !== null;
    this.#failures = 0;
    this.#become('waiting');
  }

  /** The frame with its content opened; `null` when it is not shown. */
  async frame<Frame extends EncodedFrame>(frame: Frame): Promise<Frame | null> {
    const codec = codecOfFrame(frame, this.types);
    const result = await this.#opener.open(codec, new Uint8Array(frame.data));
    if ('refused' in result) {
      this.#fail(result.refused);
      return null;
    }
    frame.data = result.frame.buffer;
    this.#succeed(frame);
    return frame;
  }

  #fail(reason: Refusal): void {
    count(this.#refused, reason);
    this.reports.changed(this);
    if (HARMLESS.includes(reason)) return;
    this.#gap = true;
    if (!this.#expected) return;
    if (++this.#failures >= FAILING_AFTER) this.#become('failing');
  }

  #succeed(frame: EncodedFrame): void {
    this.#opened++;
    this.#failures = 0;
    if (this.#gap) this.#closeGap(frame);
    this.#become('opening');
    this.reports.changed(this);
  }

  #closeGap(frame: EncodedFrame): void {
    if (isPicture(frame) && frame.type !== 'key') {
      if (this.now() - this.#asked < ASK_EVERY_MS) return;
      this.#asked = this.now();
      this.askKeyFrame();
    }
    this.#gap = false;
  }

  #become(state: 'waiting' | 'opening' | 'failing'): void {
    if (state === this.#state) return;
    this.#state = state;
    this.reports.now(this);
  }

  report(): MediaReport {
    const { id } = this;
    return { type: 'opened', id, state: this.#state, opened: this.#opened, refused: { ...this.#refused } };
  }
}
