/**
 * The header of an SFrame ciphertext (RFC 9605 §4.3): a config byte, then the key id (KID) and the counter (CTR), each
 * in the config byte if it is below 8, else in as many bytes as it needs.
 *
 * Numbers are JavaScript's, so a header with a KID or a counter of 2⁵³ or more is refused; a leaf and an epoch take 40
 * bits, and no key seals that many frames.
 */

import type { Bytes } from '../../crypto/bytes';

export interface Header {
  kid: number;
  counter: number;
  /** Bytes that the header takes. */
  length: number;
}

const EXTENDED_KID = 0x80;
const EXTENDED_COUNTER = 0x08;
/** Values below this are carried in the config byte. */
const SHORT = 8;

/** The key id of a leaf in an epoch (RFC 9605 §5.2, with E = 8 bits of the epoch and no context). */
export function kidOf(leaf: number, epoch: number): number {
  return leaf * 256 + (epoch % 256);
}

/** The leaf of a key id, and the low byte of its epoch. */
export const leafOf = (kid: number): number => Math.floor(kid / 256);
export const epochByteOf = (kid: number): number => kid % 256;

/** A header in as few bytes as it takes. */
export function headerOf(kid: number, counter: number): Bytes {
  const kidBytes = kid < SHORT ? 0 : bytesOf(kid);
  const counterBytes = counter < SHORT ? 0 : bytesOf(counter);
  const out = new Uint8Array(1 + kidBytes + counterBytes);
  out[0] =
    (kidBytes === 0 ? kid << 4 : EXTENDED_KID | ((kidBytes - 1) << 4)) |
    (counterBytes === 0 ? counter : EXTENDED_COUNTER | (counterBytes - 1));
  writeNumber(out, 1, kidBytes, kid);
  writeNumber(out, 1 + kidBytes, counterBytes, counter);
  return out;
}

/** The header at the beginning of `bytes`; `null` if there is none. */
export function readHeader(bytes: Uint8Array): Header | null {
  const config = bytes[0];
  if (config === undefined) return null;
  const short = { kid: (config >> 4) & 7, counter: config & 7 };
  const kidBytes = config & EXTENDED_KID ? short.kid + 1 : 0;
  const counterBytes = config & EXTENDED_COUNTER ? short.counter + 1 : 0;
  const length = 1 + kidBytes + counterBytes;
  if (bytes.length < length) return null;
  const kid = kidBytes === 0 ? short.kid : readNumber(bytes, 1, kidBytes);
  const counter = counterBytes === 0 ? short.counter : readNumber(bytes, 1 + kidBytes, counterBytes);
  if (kid > Number.MAX_SAFE_INTEGER || counter > Number.MAX_SAFE_INTEGER) return null;
  return { kid, counter, length };
}

function bytesOf(value: number): number {
  let bytes = 1;
  for (let rest = Math.floor(value / 256); rest > 0; rest = Math.floor(rest / 256)) bytes++;
  return bytes;
}

function writeNumber(out: Uint8Array, at: number, bytes: number, value: number): void {
  let rest = value;
  for (let index = at + bytes - 1; index >= at; index--) {
    out[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

function readNumber(from: Uint8Array, at: number, bytes: number): number {
  let value = 0;
  for (let index = at; index < at + bytes; index++) value = value * 256 + (from[index] ?? 0);
  return value;
}
