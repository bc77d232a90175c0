/**
 * Crockford's base32: 32 characters without I, L, O and U, so that a code can be read out.
 * Reading is forgiving (case, spaces, hyphens, O for 0, I and L for 1); writing is not.
 */

export const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Upper case, separators dropped, the look-alikes replaced. May still hold characters that are no digits. */
export function tidy(typed: string): string {
  return typed
    .normalize('NFKC')
    .toUpperCase()
    .replace(/[\s\p{Pd}_.·]+/gu, '')
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1');
}

/** The value 0…31 of a digit, or -1. */
export function digitValue(digit: string): number {
  return digit.length === 1 ? DIGITS.indexOf(digit) : -1;
}

/** `count` random digits out of `bytes` (one byte each; 256 is a multiple of 32, so every digit is equally likely). */
export function digitsFrom(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += DIGITS.charAt(byte & 31);
  return out;
}
