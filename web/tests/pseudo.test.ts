import { IntlMessageFormat } from 'intl-messageformat';
import { describe, expect, it } from 'vitest';
import { pseudo, pseudoMessages } from '../gallery/pseudo';
import en from '../locales/en.json';

describe('the pseudo-language', () => {
  it('accents and lengthens words, and leaves arguments and plurals alone', () => {
    expect(pseudo('Join {room}')).toBe('Ĵöîñöñ {room}');
    expect(pseudo('{count, plural, one {# new message} other {# new messages}}')).toBe(
      '{count, plural, one {# ñéŵöñ ṁéššåĝéöñéŧ} other {# ñéŵöñ ṁéššåĝéšöñéŧ}}',
    );
  });

  it('keeps every message of the interface an ICU message, 40 to 60 % longer on the whole', () => {
    const made = pseudoMessages(en);
    const texts = Object.entries(made).filter(([key]) => !key.startsWith('start.words'));
    for (const [, message] of texts) IntlMessageFormat.__parse?.(message, { ignoreTag: true });
    const length = (messages: string[]) => messages.join('').length;
    const before = length(texts.map(([key]) => en[key as keyof typeof en]));
    const ratio = length(texts.map(([, message]) => message)) / before;
    expect(ratio).toBeGreaterThan(1.4);
    expect(ratio).toBeLessThan(1.6);
  });
});
