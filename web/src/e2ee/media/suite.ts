/**
 * The cipher suite AES_128_GCM_SHA256_128 (RFC 9605 §4.5) with WebCrypto: how a base key becomes the key and the salt of
 * one key id (§4.4.2), and how nonce and additional data of a frame are made (§4.4.3).
 */

import { utf8, type Bytes } from '../../crypto/bytes';

const SUITE = 0x0004;
const SALT_BYTES = 12;
export const TAG_BYTES = 16;

/** What seals or opens the frames of one key id. */
export interface FrameKey {
  readonly kid: number;
  /** AES-128-GCM, for one use, cannot be exported. */
  readonly key: CryptoKey;
  readonly salt: Bytes;
}

/** Imports a base key, which cannot be exported from then on, and overwrites its bytes. */
export async function importBase(base: ArrayBuffer): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey('raw', base, 'HKDF', false, ['deriveKey', 'deriveBits']);
  } finally {
    new Uint8Array(base).fill(0);
  }
}

/** The key of a key id. HKDF with an empty salt is the RFC's Extract and Expand in one. */
export async function deriveKey(base: CryptoKey, kid: number, use: 'encrypt' | 'decrypt'): Promise<FrameKey> {
  const hkdf = (info: Bytes) => ({ name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info });
  const [key, salt] = await Promise.all([
    crypto.subtle.deriveKey(
      hkdf(label('SFrame 1.0 Secret key ', kid)),
      base,
      { name: 'AES-GCM', length: 128 },
      false,
      [use],
    ),
    crypto.subtle.deriveBits(hkdf(label('SFrame 1.0 Secret salt ', kid)), base, SALT_BYTES * 8),
  ]);
  return { kid, key, salt: new Uint8Array(salt) };
}

/** The text, the key id in eight bytes, and the suite in two. */
export function label(text: string, kid: number): Bytes {
  const words = utf8(text);
  const out = new Uint8Array(words.length + 10);
  out.set(words);
  const view = new DataView(out.buffer, words.length);
  view.setBigUint64(0, BigInt(kid));
  view.setUint16(8, SUITE);
  return out;
}

/**
 * Nonce and additional data of one frame at a time, in memory that the next frame overwrites: WebCrypto copies what it
 * is called with before it returns.
 */
export class Parameters {
  readonly #nonce = new Uint8Array(SALT_BYTES);
  #aad = new Uint8Array(64);

  /** Additional data is the header, then the metadata: the kind of the stream and the clear bytes of the frame. */
  of(
    key: FrameKey,
    counter: number,
    header: Uint8Array,
    kind: number,
    clear: Uint8Array,
  ): { name: 'AES-GCM'; iv: Bytes; additionalData: Bytes; tagLength: number } {
    const length = header.length + 1 + clear.length;
    if (this.#aad.length < length) this.#aad = new Uint8Array(2 * length);
    this.#aad.set(header);
    this.#aad[header.length] = kind;
    this.#aad.set(clear, header.length + 1);
    writeNonce(this.#nonce, key.salt, counter);
    const additionalData = this.#aad.subarray(0, length);
    return { name: 'AES-GCM', iv: this.#nonce, additionalData, tagLength: TAG_BYTES * 8 };
  }
}

/** The salt, with the counter as a big-endian number of its length mixed in. */
export function writeNonce(out: Bytes, salt: Bytes, counter: number): void {
  let rest = counter;
  for (let index = SALT_BYTES - 1; index >= 0; index--) {
    out[index] = (salt[index] ?? 0) ^ (rest % 256);
    rest = Math.floor(rest / 256);
  }
}
