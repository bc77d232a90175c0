/**
 * What an identity follows from: the seed of a signature key. The identity itself is made with the key, in the worker of
 * the keys (`crates/e2ee/src/identity.rs`).
 */

import { concat, fromBase64Url, toBase64Url, utf8, type Bytes } from './bytes';
import type { RandomBytes } from './link';

export const SEED_BYTES = 32;

export function newSeed(random: RandomBytes): Bytes {
  return new Uint8Array(random(SEED_BYTES));
}

/** A seed as text that can be kept. */
export const writeSeed = (seed: Uint8Array): string => toBase64Url(seed);

/** The seed in such a text; `null` if there is none. */
export function readSeed(text: string): Bytes | null {
  const seed = fromBase64Url(text);
  return seed?.length === SEED_BYTES ? seed : null;
}

/** A name for a seed that says nothing about it, by which tabs of one browser know whose it is. */
export async function claimOf(seed: Uint8Array): Promise<string> {
  const material = concat(utf8('konklave tab v1'), seed);
  return toBase64Url(new Uint8Array(await crypto.subtle.digest('SHA-256', material)));
}
