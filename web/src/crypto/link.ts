/**
 * The meeting link's secret S: `https://host/ROOM#1` and 21 base32 characters, the last of which is a check character.
 * S never leaves the browser: it stands behind `#` and is only ever used to derive keys.
 */

import { DIGITS, digitsFrom, digitValue, tidy } from './base32';

/** Characters of S: 100 random bits. */
export const SECRET_LENGTH = 20;
/** S and its check character, as shown to people. */
export const CODE_LENGTH = SECRET_LENGTH + 1;
/** Version digit at the start of a fragment. */
const VERSION = '1';

/** What was wrong with a code that a person typed or pasted. */
export type CodeProblem = 'empty' | 'length' | 'characters' | 'check' | 'version';

export type CodeResult = { ok: true; secret: string } | { ok: false; problem: CodeProblem };

/** Random bytes, as `crypto.getRandomValues` gives them; injected so that tests can fix them. */
export type RandomBytes = (count: number) => Uint8Array;

/** A fresh S: 20 upper-case base32 characters. */
export function newSecret(random: RandomBytes): string {
  return digitsFrom(random(SECRET_LENGTH));
}

/**
 * Σ position (1…20) × digit value, mod 31, as a digit. Finds every single wrong character but 0/Z and every swap of
 * neighbours but 0/Z: both have the values 0 and 31, which are equal mod 31.
 */
export function checkCharacter(secret: string): string {
  let sum = 0;
  for (let i = 0; i < secret.length; i++) sum += (i + 1) * digitValue(secret.charAt(i));
  return DIGITS.charAt(sum % 31);
}

/** S with its check character, without spaces. */
export function codeOf(secret: string): string {
  return secret + checkCharacter(secret);
}

/** The code as people read it: groups of five. */
export function codeGroups(secret: string): string[] {
  return codeOf(secret).match(/.{1,5}/g) ?? [];
}

/** Reads a typed code and checks it before anything is sent anywhere. */
export function parseCode(typed: string): CodeResult {
  const code = tidy(typed);
  if (code === '') return { ok: false, problem: 'empty' };
  for (const char of code) if (digitValue(char) < 0) return { ok: false, problem: 'characters' };
  if (code.length !== CODE_LENGTH) return { ok: false, problem: 'length' };
  const secret = code.slice(0, SECRET_LENGTH);
  return checkCharacter(secret) === code.charAt(SECRET_LENGTH)
    ? { ok: true, secret }
    : { ok: false, problem: 'check' };
}

/** The fragment of a link, with `#`. */
export function fragmentOf(secret: string): string {
  return `#${VERSION}${codeOf(secret)}`;
}

/**
 * Reads the fragment of the address bar or of a pasted link. `null` when there is none (a bare link); `#_` counts as
 * none, because redirects add it so that the browser does not carry a secret along.
 */
export function parseFragment(fragment: string): CodeResult | null {
  let body = fragment.startsWith('#') ? fragment.slice(1) : fragment;
  try {
    body = decodeURIComponent(body);
  } catch {
    return { ok: false, problem: 'characters' };
  }
  if (body === '' || body === '_') return null;
  if (!body.startsWith(VERSION)) return { ok: false, problem: 'version' };
  return parseCode(body.slice(VERSION.length));
}
