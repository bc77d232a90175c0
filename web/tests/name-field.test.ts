import { describe, expect, it } from 'vitest';
import { fill } from '../src/state/name-field';

const FULL = 'a'.repeat(128);

describe('a field for a name', () => {
  it('takes what fits into 128 bytes', () => {
    expect(fill('', 'Анна')).toBe('Анна');
    expect(fill('a'.repeat(127), FULL)).toBe(FULL);
  });

  it('stops where the name is full, at its end and within', () => {
    expect(fill(FULL, FULL + 'b')).toBe(FULL);
    expect(fill(FULL, `aab${FULL.slice(2)}`)).toBe(FULL);
    const almost = FULL.slice(1);
    expect(fill(almost, `aabc${almost.slice(2)}`)).toBe(`aab${almost.slice(2)}`);
  });

  it('takes of a giant paste as much as fits, and cuts no emoji in half', () => {
    const pasted = fill('Anna ', 'Anna ' + '👩‍👩‍👧‍👦'.repeat(2000));
    expect(pasted).toBe('Anna ' + '👩‍👩‍👧‍👦'.repeat(4));
  });

  it('leaves no half of an emoji where another one with the same half took its place', () => {
    const before = 'a'.repeat(124) + '\u{1f600}';
    expect(fill(before, before.slice(0, 124) + 'abc\u{1f200}')).toBe('a'.repeat(124) + 'abc');
  });

  it('is quick with a paste of any size, and skips the blanks before it', () => {
    expect(fill('', ' '.repeat(100_000) + 'x'.repeat(100_000))).toBe('x'.repeat(128));
  });

  it('keeps what a replacement stands between', () => {
    const [head, tail] = ['x'.repeat(60), 'y'.repeat(60)];
    expect(fill(`${head}-${tail}`, `${head}${'z'.repeat(20)}${tail}`)).toBe(`${head}${'z'.repeat(8)}${tail}`);
  });
});
