/**
 * AV1: nothing stays readable. The frame's OBUs are sealed together, and the ciphertext travels as the one OBU of its
 * temporal unit, so that packetizers find what they look for: an OBU header and its size (AV1 specification §5.3). What
 * is needed on the way stands in the RTP payload's aggregation header and in the dependency descriptor.
 *
 * The header byte stands for the clear bytes in the additional data, so that frames of other codecs do not open as AV1.
 * The size does not: the RTP payload leaves it away, and the receiver's depacketizer writes it anew.
 */

import type { Bytes } from '../../../crypto/bytes';
import type { Codec } from './codec';

/** An OBU of type OBU_FRAME without extension, with its size. */
const HEADER = 0x32;
const HAS_SIZE = 0x02;
const HEADER_ONLY: Bytes = new Uint8Array([HEADER]);

export const AV1: Codec = {
  split(frame) {
    return frame.length === 0 ? null : { clear: HEADER_ONLY, secret: frame };
  },

  wrap(_clear, header, sealed) {
    const size = header.length + sealed.length;
    const out = new Uint8Array(1 + sizeBytes(size) + size);
    out[0] = HEADER;
    const at = writeSize(out, size);
    out.set(header, at);
    out.set(sealed, at + header.length);
    return out;
  },

  unwrap(frame) {
    const first = frame[0];
    if (first === undefined || (first | HAS_SIZE) !== HEADER) return null;
    const at = first & HAS_SIZE ? afterSize(frame) : 1;
    return at === null ? null : { clear: HEADER_ONLY, sframe: frame.subarray(at) };
  },

  restore(_clear, secret) {
    return secret;
  },
};

/** Bytes of a number as leb128 (AV1 specification §4.10.5). */
function sizeBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

/** Writes the size behind the header byte; returns where the content begins. */
function writeSize(out: Uint8Array, value: number): number {
  let at = 1;
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80;
  out[at++] = rest;
  return at;
}

/** Where the content begins, if the size is that of the rest of the frame. */
function afterSize(frame: Uint8Array): number | null {
  let size = 0;
  for (let index = 0; index < 5; index++) {
    const byte = frame[1 + index];
    if (byte === undefined) return null;
    size += (byte & 0x7f) * 2 ** (7 * index);
    if ((byte & 0x80) === 0) return size === frame.length - 2 - index ? 2 + index : null;
  }
  return null;
}
