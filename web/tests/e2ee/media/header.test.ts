import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochByteOf, headerOf, kidOf, leafOf, readHeader } from '../../../src/e2ee/media/header';
import vectors from '../../data/rfc9605.json';
import { bytes, hex, toHex } from './frames';

const number = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.maxSafeNat());

describe('the header', () => {
  it('is that of RFC 9605 C.1', () => {
    let exact = 0;
    for (const [kid = '', counter = '', encoded = ''] of vectors.header) {
      const read = readHeader(hex(encoded));
      if (Number.isSafeInteger(Number(kid)) && Number.isSafeInteger(Number(counter))) {
        exact++;
        expect(read).toEqual({ kid: Number(kid), counter: Number(counter), length: encoded.length / 2 });
        expect(toHex(headerOf(Number(kid), Number(counter)))).toBe(encoded);
      } else {
        expect(read, `${kid} ${counter}`).toBe(null);
      }
    }
    expect(exact).toBeGreaterThan(150);
  });

  it('comes back from its bytes, whatever follows', () => {
    fc.assert(
      fc.property(number, number, bytes(0), (kid, counter, rest) => {
        const header = headerOf(kid, counter);
        const read = readHeader(new Uint8Array([...header, ...rest]));
        expect(read).toEqual({ kid, counter, length: header.length });
        expect(readHeader(header.subarray(0, -1))).toBe(null);
      }),
    );
  });

  it('is read from anything without a failure', () => {
    fc.assert(
      fc.property(bytes(0, 20), (garbage) => {
        const read = readHeader(garbage);
        if (read) expect(read.length).toBeLessThanOrEqual(garbage.length);
      }),
    );
  });
});

describe('a key id', () => {
  it('says leaf and the low byte of the epoch', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffffffff }), fc.maxSafeNat(), (leaf, epoch) => {
        const kid = kidOf(leaf, epoch);
        expect([leafOf(kid), epochByteOf(kid)]).toEqual([leaf, epoch % 256]);
      }),
    );
  });
});
