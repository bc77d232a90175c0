/**
 * Names sealed under the link's secret: AES-256-GCM, key = HKDF label `name`, random nonce, padded to 128 bytes,
 * AAD = "konklave name v1" ‖ room ‖ identity. The server carries them as `metadata` and cannot read them.
 */

import { concat, fromBase64Url, toBase64Url, utf8, type Bytes } from './bytes';
import type { RandomBytes } from './link';

/** A sealed name always holds this many bytes, so that its size says nothing about the name. */
export const PADDED_BYTES = 128;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PREFIX = '1.';
const SEALED_BYTES = NONCE_BYTES + PADDED_BYTES + TAG_BYTES;

/** What a participant's metadata turned out to be. */
export type OpenedName =
  | { kind: 'name'; name: string }
  /** Sealed, but not under this link's secret (or not for this identity). */
  | { kind: 'other-link' }
  /** No sealed name at all: another program. */
  | { kind: 'unnamed' };

/** Seals and opens names in one room under one S. */
export interface NameSealer {
  seal(name: string, identity: string): Promise<string>;
  open(metadata: string, identity: string): Promise<OpenedName>;
}

/** A letter, digit, sign or punctuation that leaves ink. */
const VISIBLE = /(?!\p{Default_Ignorable_Code_Point})[\p{L}\p{N}\p{S}\p{P}]/u;

/**
 * The name as it is sealed and shown: NFC, no control or formatting characters that could disturb other people's
 * screens (joiners stay: some scripts need them), single spaces, no more than 128 bytes (cut at a character). Empty if
 * nothing of it can be seen.
 */
export function tidyName(typed: string): string {
  const clean = typed
    .normalize('NFC')
    .replace(/(?![\u200C\u200D])\p{Cf}/gu, '')
    // U+2800 is the blank of Braille.
    .replace(/[\p{Cc}\s\u2800]+/gu, ' ')
    .trim();
  return VISIBLE.test(clean) ? cut(clean).trimEnd() : '';
}

/** As much of a typed name as fits into a sealed one; what was typed if all of it does. */
export function fitName(typed: string): string {
  const name = typed.normalize('NFC').trim();
  return utf8(name).length <= PADDED_BYTES ? typed : cut(name);
}

function cut(name: string): string {
  let out = '';
  let bytes = 0;
  for (const char of name) {
    bytes += utf8(char).length;
    if (bytes > PADDED_BYTES) break;
    out += char;
  }
  return out;
}

function pad(name: string): Bytes {
  const out = new Uint8Array(PADDED_BYTES);
  out.set(utf8(name));
  return out;
}

function unpad(bytes: Uint8Array): string | null {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end));
  } catch {
    return null;
  }
}

/** HKDF-Expand(HKDF-Extract("konklave v1", S ‖ room), label): one key per use of S. */
async function deriveKey(secret: string, room: string, label: string): Promise<CryptoKey> {
  const material = concat(utf8(secret), utf8(room));
  const base = await crypto.subtle.importKey('raw', material, 'HKDF', false, ['deriveKey']);
  return crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: utf8('konklave v1'), info: utf8(label) },
    base,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  );
}

/** `room` is the normalised name. Needs a secure context (WebCrypto). */
export async function nameSealer(secret: string, room: string, random: RandomBytes): Promise<NameSealer> {
  const key = await deriveKey(secret, room, 'name');
  const additional = (identity: string): Bytes => utf8(`konklave name v1${room}${identity}`);
  return {
    async seal(name, identity) {
      const iv = new Uint8Array(random(NONCE_BYTES));
      const sealed = await crypto.subtle.encrypt(
        { name: 'AES-GCM', iv, additionalData: additional(identity) },
        key,
        pad(tidyName(name)),
      );
      return PREFIX + toBase64Url(concat(iv, new Uint8Array(sealed)));
    },
    async open(metadata, identity) {
      if (!metadata.startsWith(PREFIX) || metadata.length > 512) return { kind: 'unnamed' };
      const bytes = fromBase64Url(metadata.slice(PREFIX.length));
      if (!bytes || bytes.length !== SEALED_BYTES) return { kind: 'unnamed' };
      try {
        const opened = await crypto.subtle.decrypt(
          { name: 'AES-GCM', iv: bytes.subarray(0, NONCE_BYTES), additionalData: additional(identity) },
          key,
          bytes.subarray(NONCE_BYTES),
        );
        const name = unpad(new Uint8Array(opened));
        if (name === null) return { kind: 'other-link' };
        const shown = tidyName(name);
        return shown === '' ? { kind: 'unnamed' } : { kind: 'name', name: shown };
      } catch {
        return { kind: 'other-link' };
      }
    },
  };
}
