/**
 * What of a frame has to stay readable on its way, by codec. A frame on the wire is its clear bytes and then the SFrame
 * ciphertext as RFC 9605 §4.2 has it, header first; H264 and AV1 dress the latter so that packetizers take it for theirs.
 *
 * What is not of the codec is refused by `null`; nothing throws. Parts share memory with the frame that they are of. What
 * `wrap` and `restore` return fills its buffer, so that the buffer can be handed on as the frame.
 */

import type { Bytes } from '../../../crypto/bytes';
import { AV1 } from './av1';
import { H264 } from './h264';
import { SOUND, VP8, VP9 } from './prefix';

/** A frame before sealing. */
export interface Split {
  /** What stays readable; authenticated. */
  clear: Bytes;
  secret: Bytes;
}

/** A frame on the wire. */
export interface Wire {
  clear: Bytes;
  /** Header, ciphertext and tag. */
  sframe: Bytes;
}

export interface Codec {
  split(frame: Bytes): Split | null;
  wrap(clear: Uint8Array, header: Uint8Array, sealed: Uint8Array): Bytes;
  unwrap(frame: Bytes): Wire | null;
  /** The frame that `split` was given, or one that decodes to the same. `secret` has to fill its buffer. */
  restore(clear: Bytes, secret: Bytes): Bytes;
}

const VIDEO: Readonly<Record<string, Codec>> = {
  'video/vp8': VP8,
  'video/vp9': VP9,
  'video/h264': H264,
  'video/av1': AV1,
};

/** The codec of a MIME type; `null` if its frames cannot be sealed. All sound is sealed whole. */
export function codecOf(mimeType: string): Codec | null {
  const name = mimeType.toLowerCase();
  if (name.startsWith('audio/')) return SOUND;
  return Object.hasOwn(VIDEO, name) ? (VIDEO[name] ?? null) : null;
}

export { SOUND };
