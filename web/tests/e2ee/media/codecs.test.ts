import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Bytes } from '../../../src/crypto/bytes';
import { codecOf, type Codec } from '../../../src/e2ee/media/codecs/codec';
import { bytes, h264Frame, hex, toHex } from './frames';

function codec(name: string): Codec {
  const found = codecOf(name);
  if (!found) throw new Error(`no codec ${name}`);
  return found;
}

/** What arrives when the header and the ciphertext are these bytes. */
function carried(of: Codec, frame: Bytes, header: Bytes, sealed: Bytes) {
  const split = of.split(frame);
  if (!split) throw new Error('not split');
  const wire = of.wrap(split.clear, header, sealed);
  expect(wire.byteLength).toBe(wire.buffer.byteLength);
  return { split, wire, unwrapped: of.unwrap(wire) };
}

const NAMES = ['audio/opus', 'video/VP8', 'video/VP9', 'video/H264', 'video/AV1'];
const FRAMES: Record<string, fc.Arbitrary<Bytes>> = { 'video/H264': h264Frame };

describe.each(NAMES)('%s', (name) => {
  const frames = FRAMES[name] ?? bytes(2, 200);

  it('carries header and ciphertext whatever they are, and gives the frame back', () => {
    fc.assert(
      fc.property(frames, bytes(1, 15), bytes(16, 300), (frame, header, sealed) => {
        const { split, unwrapped } = carried(codec(name), frame, header, sealed);
        expect(toHex(unwrapped?.sframe ?? hex(''))).toBe(toHex(header) + toHex(sealed));
        expect(toHex(unwrapped?.clear ?? hex('ff'))).toBe(toHex(split.clear));
        const restored = codec(name).restore(split.clear, split.secret.slice());
        expect(toHex(restored)).toBe(toHex(frame));
        expect(restored.byteLength).toBe(restored.buffer.byteLength);
      }),
    );
  });

  it('refuses garbage instead of failing', () => {
    fc.assert(
      fc.property(bytes(0, 40), (garbage) => {
        const split = codec(name).split(garbage);
        if (split) codec(name).wrap(split.clear, hex('00'), split.secret);
        const wire = codec(name).unwrap(garbage);
        if (wire) codec(name).restore(wire.clear, wire.sframe.slice());
      }),
    );
  });
});

describe('what stays readable', () => {
  const clear = (name: string, frame: string) => {
    const split = codec(name).split(hex(frame));
    return split && toHex(split.clear);
  };

  it('is nothing of sound and VP9, and one byte of VP8', () => {
    expect(clear('audio/opus', '78112233')).toBe('');
    expect(clear('video/VP9', '8249834200')).toBe('');
    expect(clear('video/VP8', '10020000')).toBe('10');
  });

  it('is parameter sets and three bytes of the first slice of H264', () => {
    expect(
      clear('video/H264', '00000001 67424242 00000001 68cece 00000001 6588841122'.replaceAll(' ', '')),
    ).toBe('0000000167424242' + '0000000168cece' + '00000001658884');
  });

  it('is an OBU header that is not the frame’s of AV1', () => {
    expect(clear('video/AV1', '12000a0b00000042')).toBe('32');
  });
});

describe('H264', () => {
  const h264 = codec('video/H264');
  const normal = (frame: string) => {
    const split = h264.split(hex(frame.replaceAll(' ', '')));
    return split && toHex(h264.restore(split.clear, split.secret.slice()));
  };

  it('makes start codes long, drops zeros between units, and what is no part of the picture', () => {
    expect(normal('000001 67aa 0000 000001 68bb 000001 41223344')).toBe(
      '0000000167aa0000000168bb0000000141223344',
    );
    expect(normal('000001 09f0 000001 0605 00000001 67aa 000001 6e40 000001 65223344')).toBe(
      '0000000167aa0000000165223344',
    );
  });

  it('keeps further slices as they are', () => {
    expect(normal('00000001 41223344 000001 41556677')).toBe('000000014122334400000141556677');
  });

  it('has no start code in what is sealed, even where its clear bytes end in zeros', () => {
    const { wire, unwrapped } = carried(h264, hex('0000000141000055'), hex('01'), hex('000000000000'));
    expect(toHex(wire)).toBe('00000001410000' + '0301' + '0000030000030000' + '80');
    expect(toHex(unwrapped?.sframe ?? hex(''))).toBe('01000000000000');
  });

  it.each([
    ['without a start code', '41223344'],
    ['with a slice too short', '000000014122'],
    ['without a slice', '0000000167aabb'],
    ['with something before the start code', 'ff00000141223344'],
    ['of nothing', ''],
  ])('refuses a frame %s', (_what, frame) => {
    expect(h264.split(hex(frame))).toBe(null);
    expect(h264.unwrap(hex(frame))).toBe(null);
  });

  it('does not take a frame for sealed that has other units, or another end', () => {
    expect(h264.unwrap(hex('0000000109f0' + '00000001412233445580'))).toBe(null);
    expect(h264.unwrap(hex('00000001412233445581'))).toBe(null);
  });
});

describe('AV1', () => {
  const av1 = codec('video/AV1');

  it('is read with and without the size', () => {
    expect(toHex(av1.unwrap(hex('3203aabbcc'))?.sframe ?? hex(''))).toBe('aabbcc');
    expect(toHex(av1.unwrap(hex('30aabbcc'))?.sframe ?? hex(''))).toBe('aabbcc');
  });

  it.each(['12003203aabbcc', '3202aabbcc', '3204aabbcc', '36003203aabbcc', '32', '32ffffffffffff'])(
    'does not take %s for sealed',
    (frame) => {
      expect(av1.unwrap(hex(frame))).toBe(null);
    },
  );
});

it('seals no codec that it does not know', () => {
  expect(codecOf('video/H265')).toBe(null);
  expect(codecOf('video/rtx')).toBe(null);
  expect(codecOf('constructor')).toBe(null);
});
