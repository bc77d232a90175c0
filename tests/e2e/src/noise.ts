/** Whether what is sealed looks like noise in the packets that a server sees. */
import { expect } from '@playwright/test';
import type { Packet } from './crowd.ts';

/** The NAL header and two bytes of the slice header: the number of the parameter set stands there. */
const SLICE_CLEAR = 3;

/** What of a payload is sealed. */
interface Sealed {
  bytes: Buffer;
  /** The SFrame header stands at its beginning. */
  begins: boolean;
}

/** By codec; `null` where nothing has to be sealed. */
const SEALED: Record<string, (payload: Buffer) => Sealed | null> = {
  'audio/opus': (payload) => ({ bytes: payload, begins: true }),
  'video/VP8': vp8,
  'video/VP9': vp9,
  'video/H264': h264,
  'video/AV1': av1,
};

/** The payload descriptor (RFC 7741 §4.2); where a picture begins also the byte that says whether it is a key frame. */
function vp8(payload: Buffer): Sealed {
  let at = 1;
  if (payload[0]! & 0x80) {
    const fields = payload[1]!;
    at = 2;
    if (fields & 0x80) at += payload[at]! & 0x80 ? 2 : 1;
    if (fields & 0x40) at += 1;
    if (fields & 0x30) at += 1;
  }
  const begins = (payload[0]! & 0x1f) === 0x10;
  return { bytes: payload.subarray(begins ? at + 1 : at), begins };
}

/** The payload descriptor (RFC 9628 §4.2). */
function vp9(payload: Buffer): Sealed {
  const first = payload[0]!;
  const [pictureId, predicted, layered, flexible] = [0x80, 0x40, 0x20, 0x10].map(
    (bit) => (first & bit) !== 0,
  );
  let at = 1;
  if (pictureId) at += payload[at]! & 0x80 ? 2 : 1;
  if (layered) at += flexible ? 1 : 2;
  if (flexible && predicted) while (payload[at++]! & 1);
  if (first & 0x02) {
    const structure = payload[at++]!;
    if (structure & 0x10) at += 4 * ((structure >> 5) + 1);
    if (structure & 0x08)
      for (let left = payload[at++]!; left > 0; left--) at += 1 + ((payload[at]! >> 2) & 3);
  }
  return { bytes: payload.subarray(at), begins: (first & 0x08) !== 0 };
}

/** Of slices, alone, in a packet with parameter sets, or in fragments (RFC 6184 §5.6 to §5.8). */
function h264(payload: Buffer): Sealed | null {
  const isSlice = (header: number) => (header & 0x1f) >= 1 && (header & 0x1f) <= 5;
  const slice = (bytes: Buffer): Sealed => ({ bytes: unescape(bytes), begins: true });
  const first = payload[0]!;
  if (isSlice(first)) return slice(payload.subarray(SLICE_CLEAR));
  switch (first & 0x1f) {
    case 24:
      for (let at = 1; at + 2 < payload.length; at += 2 + payload.readUInt16BE(at))
        if (isSlice(payload[at + 2]!)) return slice(payload.subarray(at + 2 + SLICE_CLEAR));
      return null;
    case 28:
      // The NAL header travels in the two bytes of the fragment.
      return payload[1]! & 0x80
        ? slice(payload.subarray(2 + SLICE_CLEAR - 1))
        : { bytes: payload.subarray(2), begins: false };
    default:
      return null;
  }
}

/** Without the threes that keep start codes out (ITU-T H.264 §7.4.1). */
function unescape(bytes: Buffer): Buffer {
  let zeros = 0;
  return bytes.filter((byte) => {
    const escape = zeros >= 2 && byte === 3;
    zeros = byte === 0 ? zeros + 1 : 0;
    return !escape;
  }) as Buffer;
}

/** The aggregation header (AV1 RTP payload §4.4) and, where the one OBU begins, its header. */
function av1(payload: Buffer): Sealed {
  const aggregation = payload[0]!;
  expect(aggregation & 0x30, 'one OBU in a packet').toBe(0x10);
  const begins = (aggregation & 0x80) === 0;
  return { bytes: payload.subarray(begins ? 2 : 1), begins };
}

/** Key id, counter and what follows an SFrame header (RFC 9605 §4.3). */
function sframe(bytes: Buffer): { kid: string; counter: string; rest: Buffer } {
  let at = 1;
  const field = (bits: number): string => {
    if ((bits & 8) === 0) return String(bits);
    const begin = at;
    at += (bits & 7) + 1;
    return bytes.subarray(begin, at).toString('hex');
  };
  const kid = field(bytes[0]! >> 4);
  const counter = field(bytes[0]! & 0xf);
  return { kid, counter, rest: bytes.subarray(at) };
}

/** Shannon's entropy in bits a byte: 8 is noise. */
function entropy(bytes: Buffer): number {
  const counts = new Array<number>(256).fill(0);
  for (const byte of bytes) counts[byte]!++;
  return counts.reduce(
    (sum, count) => sum - (count ? (count / bytes.length) * Math.log2(count / bytes.length) : 0),
    0,
  );
}

/**
 * Beyond what packets of each codec need readable, frames have the header of SFrame, with one key and a counter of their
 * own, then full entropy, and no two begin alike.
 */
export function expectNoise(packets: Packet[], codecs: string[]): void {
  for (const codec of codecs) {
    const keys = new Set<string>();
    const frames = new Map<string, Buffer>();
    const pieces: Buffer[] = [];
    for (const { payload } of packets.filter((packet) => packet.codec === codec)) {
      const sealed = SEALED[codec]!(payload);
      if (!sealed?.begins) {
        if (sealed) pieces.push(sealed.bytes);
        continue;
      }
      const { kid, counter, rest } = sframe(sealed.bytes);
      keys.add(kid);
      const before = frames.get(counter);
      // Packets are repeated to find out how much a line carries.
      if (before) expect(before.equals(rest), `${codec}: one counter for two frames`).toBe(true);
      else pieces.push(rest);
      frames.set(counter, rest);
    }
    expect(pieces.length, codec).toBeGreaterThan(200);
    expect(frames.size, codec).toBeGreaterThan(10);
    expect([...keys], `${codec}: key ids`).toHaveLength(1);
    const bytes = Buffer.concat(pieces);
    // Of n random bytes the expected entropy is 8 − 255 / (2 n ln 2).
    const expected = 8 - 255 / (2 * bytes.length * Math.LN2);
    expect(entropy(bytes), `${codec}: ${bytes.length} bytes`).toBeGreaterThan(expected - 0.01);
    // A pattern of four bytes at the same place of more than a few packets would be one of the codec's.
    const patterns = new Map<string, number>();
    for (const piece of pieces) {
      if (piece.length < 4) continue;
      const head = piece.subarray(0, 4).toString('hex');
      patterns.set(head, (patterns.get(head) ?? 0) + 1);
    }
    expect(Math.max(...patterns.values()), `${codec}: the same beginning`).toBeLessThan(3);
  }
}
