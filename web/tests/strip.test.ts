import { describe, expect, it } from 'vitest';
import { chooseStrip, type StripItem } from '../src/state/strip';

describe('the strip', () => {
  const person = (key: string, spokeAt = 0, speaking = false): StripItem => ({
    key,
    kind: key === 'me' ? 'own' : key.startsWith('screen') ? 'screen' : 'person',
    speaking,
    spokeAt,
  });
  const people = (...ids: string[]) => [...ids.map((id) => person(id)), person('me')];

  it('shows everybody where there is room, oneself last', () => {
    expect(chooseStrip([], people('a', 'b'), 3)).toEqual({ shown: ['a', 'b', 'me'], hidden: 0 });
  });

  it('keeps one slot for the others and one for oneself', () => {
    expect(chooseStrip([], people('a', 'b', 'c', 'd', 'e'), 4)).toEqual({
      shown: ['a', 'b', 'me'],
      hidden: 3,
    });
  });

  it('leaves visible people in their places', () => {
    const { shown } = chooseStrip(['b', 'c', 'me'], people('a', 'b', 'c', 'd', 'e'), 4);
    expect(shown).toEqual(['b', 'c', 'me']);
  });

  it('gives a speaker the place of the one silent longest', () => {
    const all = [person('a', 500), person('b', 100), person('c', 900), person('d'), person('me')];
    expect(chooseStrip(['a', 'b', 'me'], all, 4).shown).toEqual(['a', 'c', 'me']);
  });

  it('does not move somebody for a speaker of long ago', () => {
    const all = [person('a', 500), person('b', 600), person('c', 400), person('d'), person('me')];
    expect(chooseStrip(['a', 'b', 'me'], all, 4).shown).toEqual(['a', 'b', 'me']);
  });

  it('fills the place of somebody who left', () => {
    expect(chooseStrip(['a', 'gone', 'me'], people('a', 'b', 'c', 'd'), 4).shown).toEqual(['a', 'b', 'me']);
  });

  it('does not replace somebody who is speaking', () => {
    const all = [
      person('a', 100, true),
      person('b', 200, true),
      person('c', 900, true),
      person('d'),
      person('me'),
    ];
    expect(chooseStrip(['a', 'b', 'me'], all, 4).shown).toEqual(['a', 'b', 'me']);
  });

  it('keeps shared screens first, whoever speaks', () => {
    const all = [person('screen'), person('a'), person('b'), person('c', 900, true), person('me')];
    expect(chooseStrip([], all, 4)).toEqual({ shown: ['screen', 'c', 'me'], hidden: 2 });
  });

  it('has a last slot for the others where one’s own picture is hidden', () => {
    expect(
      chooseStrip(
        [],
        ['a', 'b', 'c', 'd'].map((key) => person(key)),
        3,
      ),
    ).toEqual({
      shown: ['a', 'b'],
      hidden: 2,
    });
  });
});
