/** A participant's identity: 26 lower-case base32 characters, random; nothing about the person is in it. */

import { digitsFrom } from './base32';
import type { RandomBytes } from './link';

export const IDENTITY_LENGTH = 26;

export function newIdentity(random: RandomBytes): string {
  return digitsFrom(random(IDENTITY_LENGTH)).toLowerCase();
}

export function isIdentity(text: string): boolean {
  return /^[0-9a-hjkmnp-tv-z]{26}$/.test(text);
}
