/** Frames for the tests: bytes, and what codecs make of them. */

import fc from 'fast-check';
import { concat, type Bytes } from '../../../src/crypto/bytes';

export const hex = (text: string): Bytes => new Uint8Array(Buffer.from(text, 'hex'));
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Zeros, ones and threes more often than elsewhere: what start codes and their escapes are made of. */
const byte = fc.oneof(fc.constantFrom(0, 0, 1, 2, 3), fc.integer({ min: 0, max: 255 }));

export const bytes = (minLength: number, maxLength = 64): fc.Arbitrary<Bytes> =>
  fc.array(byte, { minLength, maxLength }).map((values) => new Uint8Array(values));

const START = new Uint8Array([0, 0, 0, 1]);

/** Content of a NAL unit: has no start code in it and does not end in zero. */
const content = (minLength: number) =>
  bytes(minLength).map((values) => {
    const out = values.slice();
    for (let at = 2; at < out.length; at++) {
      if (out[at - 2] === 0 && out[at - 1] === 0 && (out[at] ?? 0) < 3) out[at] = 7;
    }
    if (out.at(-1) === 0) out[out.length - 1] = 9;
    return out;
  });

const unit = (types: number[], minLength: number) =>
  fc
    .tuple(fc.constantFrom(...types), content(minLength))
    .map(([type, rest]) => concat(START, new Uint8Array([0x60 | type]), rest));

/** A frame of H264 as depacketizers put it together: parameter sets, then slices. */
export const h264Frame: fc.Arbitrary<Bytes> = fc
  .tuple(
    fc.array(unit([7, 8], 3), { maxLength: 3 }),
    fc.array(unit([1, 5], 3), { minLength: 1, maxLength: 3 }),
  )
  .map(([sets, slices]) => concat(...sets, ...slices));

/** A key that is the same in every test. */
export const base = (seed = 1): ArrayBuffer => new Uint8Array(32).fill(seed).buffer;
