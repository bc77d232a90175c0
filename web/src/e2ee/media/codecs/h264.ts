/**
 * H264 (Annex B byte stream, ITU-T H.264 §7.3.1 and Annex B). Readable stay the parameter sets, whole, and of the first
 * slice its NAL header and two bytes, which hold the number of the parameter set that depacketizers ask for. All the
 * rest is sealed, further slices with their start codes too: on its way a frame has one slice.
 *
 * The ciphertext is part of that slice's NAL unit, so it is escaped as such (emulation prevention, §7.4.1) and ends in a
 * byte that is not zero. Start codes become four bytes long and zeros between NAL units are dropped, as depacketizers do.
 * Of what stands before the first slice only parameter sets are kept: delimiters, SEI and prefixes change no picture.
 */

import type { Bytes } from '../../../crypto/bytes';
import type { Codec, Split } from './codec';

const SPS = 7;
const PPS = 8;
/** Slices are the types up to this one. */
const LAST_SLICE = 5;

/** Readable bytes of the slice: the NAL header and two of the slice header. */
const SLICE_CLEAR = 3;
const START = [0, 0, 0, 1];
/** Stands behind the ciphertext. */
const STOP = 0x80;

/** Whether other NAL units than parameter sets and slices are skipped or make the frame one that we have not sealed. */
type Others = 'skip' | 'refuse';

export const H264: Codec = {
  split(frame) {
    return divide(frame, 'skip');
  },

  wrap(clear, header, sealed) {
    const zeros = trailingZeros(clear);
    const added = escapes(zeros, header, sealed);
    const out = new Uint8Array(clear.length + header.length + sealed.length + 1 + added);
    out.set(clear);
    writeEscaped(out, clear.length, zeros, header, sealed);
    out[out.length - 1] = STOP;
    return out;
  },

  unwrap(frame) {
    const parts = divide(frame, 'refuse');
    if (!parts) return null;
    const { clear, secret } = parts;
    if (secret.at(-1) !== STOP) return null;
    return { clear, sframe: unescape(secret.subarray(0, -1), trailingZeros(clear)) };
  },

  restore(clear, secret) {
    const out = new Uint8Array(clear.length + secret.length);
    out.set(clear);
    out.set(secret, clear.length);
    return out;
  },
};

/** The readable part of a frame with start codes of four bytes, and what follows it. */
function divide(frame: Bytes, others: Others): Split | null {
  const kept: Uint8Array[] = [];
  let length = 0;
  const keep = (begin: number, end: number) => {
    kept.push(frame.subarray(begin, end));
    length += START.length + end - begin;
  };
  let code = nextStart(frame, 0);
  // Before the first start code there may be zeros only.
  if (code < 0 || !isZero(frame, 0, code)) return null;
  while (code >= 0) {
    const begin = code + 3;
    const first = frame[begin];
    if (first === undefined) return null;
    const type = first & 0x1f;
    code = nextStart(frame, begin);
    const end = code < 0 ? frame.length : code;
    if (type >= 1 && type <= LAST_SLICE) {
      if (end - begin < SLICE_CLEAR) return null;
      keep(begin, begin + SLICE_CLEAR);
      return { clear: join(kept, length), secret: frame.subarray(begin + SLICE_CLEAR) };
    }
    if (type === SPS || type === PPS) keep(begin, withoutZeros(frame, begin, end));
    else if (others === 'refuse') return null;
  }
  return null;
}

/** Where the next 00 00 01 is; -1 if there is none. */
function nextStart(bytes: Uint8Array, from: number): number {
  for (let at = from; at + 2 < bytes.length; at++) {
    const third = bytes[at + 2] ?? 0;
    // Neither here nor one further on can it be.
    if (third > 1) at += 2;
    else if (third === 1 && bytes[at] === 0 && bytes[at + 1] === 0) return at;
  }
  return -1;
}

function isZero(bytes: Uint8Array, begin: number, end: number): boolean {
  for (let at = begin; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}

function withoutZeros(bytes: Uint8Array, begin: number, end: number): number {
  let last = end;
  while (last > begin && bytes[last - 1] === 0) last--;
  return last;
}

function join(units: Uint8Array[], length: number): Bytes {
  const out = new Uint8Array(length);
  let at = 0;
  for (const unit of units) {
    out.set(START, at);
    out.set(unit, at + START.length);
    at += START.length + unit.length;
  }
  return out;
}

function trailingZeros(clear: Uint8Array): number {
  return clear.length - withoutZeros(clear, 0, clear.length);
}

/** How many bytes escaping adds. The stop byte needs no escape, it is above three. */
function escapes(before: number, ...parts: Uint8Array[]): number {
  let zeros = before;
  let added = 0;
  for (const part of parts) {
    for (const byte of part) {
      if (zeros >= 2 && byte <= 3) {
        added++;
        zeros = 0;
      }
      zeros = byte === 0 ? zeros + 1 : 0;
    }
  }
  return added;
}

function writeEscaped(out: Uint8Array, from: number, before: number, ...parts: Uint8Array[]): void {
  let zeros = before;
  let at = from;
  for (const part of parts) {
    for (const byte of part) {
      if (zeros >= 2 && byte <= 3) {
        out[at++] = 3;
        zeros = 0;
      }
      out[at++] = byte;
      zeros = byte === 0 ? zeros + 1 : 0;
    }
  }
}

function unescape(bytes: Uint8Array, before: number): Bytes {
  const out = new Uint8Array(bytes.length);
  let zeros = before;
  let length = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    out[length++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return out.subarray(0, length);
}
