import { describe, expect, it } from 'vitest';
import { DIGITS, digitValue } from '../src/crypto/base32';
import { claimOf, newSeed, readSeed, writeSeed } from '../src/crypto/identity';
import {
  checkCharacter,
  codeGroups,
  codeOf,
  fragmentOf,
  newSecret,
  parseCode,
  parseFragment,
} from '../src/crypto/link';
import { random } from '../scripted/world';

describe('the secret of a link', () => {
  it('has 20 characters and a check character that is position times value, mod 31', () => {
    const secret = 'K7F3Q9XM2B8DW5TZ6C4N';
    let sum = 0;
    [...secret].forEach((digit, i) => (sum += (i + 1) * DIGITS.indexOf(digit)));
    expect(checkCharacter(secret)).toBe(DIGITS[sum % 31]);
    expect(codeOf(secret)).toHaveLength(21);
    expect(codeGroups(secret)).toEqual(['K7F3Q', '9XM2B', '8DW5T', 'Z6C4N', checkCharacter(secret)]);
  });

  it('is made of random base32 characters, each equally likely', () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const counts = new Map<string, number>();
    for (let at = 0; at < 256; at += 20) {
      const piece = all.slice(at, at + 20);
      for (const digit of newSecret(() => piece)) counts.set(digit, (counts.get(digit) ?? 0) + 1);
    }
    expect([...counts.values()].every((count) => count === 8)).toBe(true);
    expect(newSecret(random)).not.toBe(newSecret(random));
  });

  it('goes through its own fragment', () => {
    const secret = newSecret(random);
    expect(fragmentOf(secret)).toMatch(/^#1[0-9A-HJKMNP-TV-Z]{21}$/);
    expect(parseFragment(fragmentOf(secret))).toEqual({ ok: true, secret });
  });

  it('finds every single wrong character but 0 for Z', () => {
    const code = codeOf('K7F3Q9XM2B8DW5TZ6C40');
    for (let i = 0; i < code.length; i++) {
      for (const digit of DIGITS) {
        const right = code.charAt(i);
        if (digit === right || (digitValue(digit) - digitValue(right)) % 31 === 0) continue;
        expect(parseCode(code.slice(0, i) + digit + code.slice(i + 1))).toEqual({
          ok: false,
          problem: 'check',
        });
      }
    }
  });

  it('finds every swap of two neighbours but of 0 and Z', () => {
    const code = codeOf('K7F3Q9XM2B8DW5TZ6C4N');
    for (let i = 0; i + 1 < 20; i++) {
      const [a, b] = [code.charAt(i), code.charAt(i + 1)];
      if (a === b) continue;
      expect(parseCode(code.slice(0, i) + b + a + code.slice(i + 2)).ok).toBe(false);
    }
  });

  it('forgives case, blanks, hyphens and look-alikes when typed', () => {
    const secret = '10K7F3Q9XM2B8DW5TZ6C';
    const code = codeOf(secret);
    const typed = ` ${code
      .toLowerCase()
      .replaceAll('0', 'o')
      .replaceAll('1', 'l')
      .replace(/(.{5})/g, '$1 - ')} `;
    expect(parseCode(typed)).toEqual({ ok: true, secret });
    expect(parseCode(code.replaceAll('1', 'I'))).toEqual({ ok: true, secret });
  });

  it('says what is wrong', () => {
    expect(parseCode('')).toEqual({ ok: false, problem: 'empty' });
    expect(parseCode('ABC')).toEqual({ ok: false, problem: 'length' });
    expect(parseCode('U'.repeat(21))).toEqual({ ok: false, problem: 'characters' });
    expect(parseFragment('#2ABC')).toEqual({ ok: false, problem: 'version' });
    expect(parseFragment('#%E0%A4%A')).toEqual({ ok: false, problem: 'characters' });
  });

  it('takes no fragment, and the one of redirects, for a bare link', () => {
    for (const bare of ['', '#', '#_']) expect(parseFragment(bare)).toBeNull();
  });
});

describe('the seed of an identity', () => {
  it('is kept as text, and nothing else passes for one', () => {
    const seed = newSeed(random);
    expect(seed).toHaveLength(32);
    expect(readSeed(writeSeed(seed))).toEqual(seed);
    for (const text of ['', 'a', writeSeed(seed.subarray(1)), `${writeSeed(seed)}=`])
      expect(readSeed(text)).toBeNull();
  });

  it('has a name that says nothing about it', async () => {
    const seed = newSeed(random);
    const claim = await claimOf(seed);
    expect(await claimOf(seed)).toBe(claim);
    expect(claim).not.toContain(writeSeed(seed).slice(0, 8));
    expect(await claimOf(newSeed(random))).not.toBe(claim);
  });
});
