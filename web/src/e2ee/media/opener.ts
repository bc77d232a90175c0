/** Opens the frames of one stream that is received: those of the leaf and the kind that it is expected to be. */

import type { Bytes } from '../../crypto/bytes';
import type { Codec } from './codecs/codec';
import { leafOf, readHeader } from './header';
import type { Keyring } from './keyring';
import { Lateness } from './lateness';
import { KINDS, type Refusal, type StreamKind } from './messages';
import { Parameters, TAG_BYTES } from './suite';

/** Whose stream it should be, and which. */
export interface Expected {
  kind: StreamKind;
  leaf: number;
}

export type Opened = { frame: Bytes } | { refused: Refusal };

export class Opener {
  #expected: Expected | null = null;
  #lateness = new Lateness();
  #group = 0;
  readonly #parameters = new Parameters();

  constructor(
    readonly keyring: Keyring,
    /** Milliseconds that never go back. */
    readonly now: () => number,
  ) {}

  /** Whether that is another than before. */
  expect(expected: Expected | null): boolean {
    if (expected?.leaf === this.#expected?.leaf && expected?.kind === this.#expected?.kind) return false;
    this.#expected = expected;
    this.#lateness = new Lateness();
    return true;
  }

  async open(codec: Codec | null, data: Bytes): Promise<Opened> {
    const expected = this.#expected;
    if (this.#group !== this.keyring.groups) {
      this.#group = this.keyring.groups;
      this.#lateness = new Lateness();
    }
    const lateness = this.#lateness;
    if (!expected) return { refused: 'foreign' };
    const wire = codec?.unwrap(data);
    if (!codec || !wire) return { refused: data.length === 0 ? 'malformed' : 'plain' };
    const { clear, sframe } = wire;
    const header = readHeader(sframe);
    if (!header || sframe.length < header.length + TAG_BYTES) return { refused: 'malformed' };
    if (leafOf(header.kid) !== expected.leaf) return { refused: 'foreign' };

    const key = await this.keyring.reading(header.kid)?.catch(() => null);
    if (!key || !this.keyring.isLive(key)) return { refused: 'unknown-key' };
    const { counter } = header;
    if (!key.window.isFresh(counter)) return { refused: 'replayed' };
    if (lateness.isLate({ epoch: key.epoch, counter }, this.now())) return { refused: 'late' };
    const headerBytes = sframe.subarray(0, header.length);
    const parameters = this.#parameters.of(key, counter, headerBytes, KINDS[expected.kind], clear);
    let secret: ArrayBuffer;
    try {
      secret = await crypto.subtle.decrypt(parameters, key.key, sframe.subarray(header.length));
    } catch {
      return { refused: 'not-authentic' };
    }
    // Meanwhile the key may have been erased, the same frame opened again, or the stream become somebody else's.
    if (!this.keyring.isLive(key)) return { refused: 'unknown-key' };
    if (this.#expected !== expected) return { refused: 'foreign' };
    if (!key.window.take(counter)) return { refused: 'replayed' };
    lateness.opened({ epoch: key.epoch, counter }, this.now());
    return { frame: codec.restore(clear, new Uint8Array(secret)) };
  }
}
