/**
 * A pseudo-language, made from English: accents on every letter, words about half as long again, so that a text which
 * is cut, or is in no locale at all, is seen. Arguments and plurals of ICU messages stay as they are.
 */

import type { Messages } from '../src/i18n';

const PLAIN = 'AaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPpQqRrSsTtUuVvWwXxYyZz';
const ACCENTED = 'ÅåƁƀÇçÐðÉéƑƒĜĝĤĥÎîĴĵĶķĻļṀṁÑñÖöÞþǪǫŔŕŠšŢţÛûṼṽŴŵẊẋÝýŽž';
/** Appended to a word, up to half its length. */
const TAIL = 'öñéŧŵöŧĥŕéé';

function stretch(word: string): string {
  const accented = [...word].map((char) => {
    const at = PLAIN.indexOf(char);
    return at < 0 ? char : [...ACCENTED][at];
  });
  return accented.join('') + TAIL.slice(0, Math.ceil(word.length / 2));
}

/** What stands outside of arguments, and the texts inside of plurals. */
export function pseudo(message: string): string {
  let out = '';
  /** For each open brace, whether what is inside is text. */
  const inside: boolean[] = [];
  for (const [piece] of message.matchAll(/[{}]|\p{L}+|[^{}\p{L}]+/gu)) {
    const text = inside.at(-1) ?? true;
    if (piece === '{') inside.push(!text);
    else if (piece === '}') inside.pop();
    out += text && /\p{L}/u.test(piece) ? stretch(piece) : piece;
  }
  return out;
}

export function pseudoMessages(english: Messages): Messages {
  const entries = Object.entries(english).map(([key, message]) =>
    // Lists of words for names of rooms; a name has letters of its own.
    [key, key.startsWith('start.words') ? message : pseudo(message)],
  );
  return Object.fromEntries(entries) as Messages;
}
