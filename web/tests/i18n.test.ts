import { describe, expect, it } from 'vitest';
import de from '../locales/de.json';
import en from '../locales/en.json';
import { parseCode } from '../src/crypto/link';
import { pickLanguage, translator } from '../src/i18n';
import { parseRoomName } from '../src/state/room-name';

describe('the language', () => {
  it.each([
    [['de-AT', 'en'], 'de'],
    [['fr', 'DE', 'en'], 'de'],
    [['en-GB', 'de'], 'en'],
    [['fr', 'it'], 'en'],
    [[], 'en'],
  ])('of somebody who wants %j is %s', (wanted, language) => {
    expect(pickLanguage(wanted)).toBe(language);
  });
});

describe('messages', () => {
  it('fill in and count', () => {
    const t = translator('de', de);
    expect(t('announce.joined', { names: 'Anna', count: 1 })).toBe('Anna ist jetzt dabei.');
    expect(t('announce.joined', { names: 'Anna, Deniz', count: 2 })).toBe('Anna, Deniz sind jetzt dabei.');
  });

  it('never read a name as markup or as a pattern', () => {
    const t = translator('en', en);
    expect(t('person.own', { name: '<b>{x}</b>' })).toBe('<b>{x}</b> (me)');
  });

  it('say of every lock that is not closed what does not leave', () => {
    for (const messages of [de, en]) {
      for (const key of ['lock.keys-text', 'lock.restoring-text', 'left.keys-failed'] as const) {
        expect(messages[key]).toMatch(
          /nichts unverschlüsselt|unverschlüsselt geht hier nichts|nothing leaves unencrypted/,
        );
      }
    }
  });
});

describe('suggested room names', () => {
  it.each([
    ['de', de],
    ['en', en],
  ])('are all valid (%s)', (_language, messages) => {
    const lists = [
      messages['start.words-first'],
      messages['start.words-second'],
      messages['start.words-third'],
    ];
    for (const list of lists) {
      const words = list.split(' ');
      expect(new Set(words).size).toBe(words.length);
      expect(words.length).toBeGreaterThanOrEqual(24);
      for (const word of words) expect(word).toMatch(/^[a-z]+$/);
    }
    expect(parseRoomName(lists.map((list) => list.split(' ')[0]).join('-')).ok).toBe(true);
  });
});

describe('the example of a code', () => {
  it('is a valid one', () => {
    expect(parseCode(de['start.code-example']).ok).toBe(true);
    expect(parseCode(en['start.code-example']).ok).toBe(true);
  });
});
