/**
 * Codecs whose frames keep their first bytes, or none.
 *
 * - Sound: none. The packetizer and the server take a frame of Opus as it is.
 * - VP9: none. What is needed on the way stands in the payload descriptor (RFC 9628 §4.2), outside of the frame.
 * - VP8: one, whose lowest bit says whether this is a key frame (RFC 6386 §9.1): depacketizers read it there.
 */

import type { Codec } from './codec';

export function prefix(clearBytes: number): Codec {
  return {
    split(frame) {
      if (frame.length <= clearBytes) return null;
      return { clear: frame.subarray(0, clearBytes), secret: frame.subarray(clearBytes) };
    },

    wrap(clear, header, sealed) {
      const out = new Uint8Array(clear.length + header.length + sealed.length);
      out.set(clear);
      out.set(header, clear.length);
      out.set(sealed, clear.length + header.length);
      return out;
    },

    unwrap(frame) {
      if (frame.length <= clearBytes) return null;
      return { clear: frame.subarray(0, clearBytes), sframe: frame.subarray(clearBytes) };
    },

    restore(clear, secret) {
      if (clear.length === 0) return secret;
      const out = new Uint8Array(clear.length + secret.length);
      out.set(clear);
      out.set(secret, clear.length);
      return out;
    },
  };
}

export const SOUND = prefix(0);
export const VP8 = prefix(1);
export const VP9 = prefix(0);
