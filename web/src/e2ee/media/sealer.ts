/** Seals the frames of one stream that is sent. What cannot be sealed is not sent. */

import type { Bytes } from '../../crypto/bytes';
import type { Codec } from './codecs/codec';
import { headerOf } from './header';
import type { Keyring } from './keyring';
import { KINDS, type StreamKind, type Withheld } from './messages';
import { Parameters } from './suite';

/** Sound frames this short hold no sound (RFC 6716 §3.1 and §2.1.9): sent, they would only undo the pauses of DTX. */
const SILENCE_BYTES = 2;

export type Sealed = { frame: Bytes } | { withheld: Withheld };

export class Sealer {
  kind: StreamKind | null = null;
  readonly #parameters = new Parameters();

  constructor(readonly keyring: Keyring) {}

  /** The frame as it goes on the wire. Frames are numbered in the order of calls. */
  async seal(codec: Codec | null, sound: boolean, data: Bytes): Promise<Sealed> {
    if (sound && data.length <= SILENCE_BYTES) return { withheld: 'silence' };
    if (!this.kind) return { withheld: 'no-kind' };
    const parts = codec?.split(data);
    if (!codec || !parts) return { withheld: 'malformed' };
    const kind = KINDS[this.kind];
    const key = await this.keyring.sending;
    const counter = key?.count() ?? null;
    if (!key || counter === null) return { withheld: 'no-key' };
    const header = headerOf(key.frame.kid, counter);
    const parameters = this.#parameters.of(key.frame, counter, header, kind, parts.clear);
    const sealed = await crypto.subtle.encrypt(parameters, key.frame.key, parts.secret);
    return { frame: codec.wrap(parts.clear, header, new Uint8Array(sealed)) };
  }
}
