/** The list of people: its order, and looking for somebody in it. */

import type { Person } from './people';

/** So many people are worth a search. */
export const SEARCH_FROM = 8;

export interface Listed {
  person: Person;
  /** How they are called in the list. */
  label: string;
}

/** Whoever the keys say nothing good of stands above all others. */
const needsLook = ({ person: { trust, unreadable } }: Listed) =>
  trust === 'unconfirmed' || trust === 'keyless' || unreadable;

/** Those who need a look first, then oneself, then by name as the language sorts. */
export function arrange(listed: Listed[], language: string): Listed[] {
  const { compare } = new Intl.Collator(language, { numeric: true });
  return listed.toSorted(
    (a, b) =>
      Number(needsLook(b)) - Number(needsLook(a)) ||
      Number(b.person.isLocal) - Number(a.person.isLocal) ||
      compare(a.label, b.label),
  );
}

/** Letters without case, accents and look-alike forms, so that "yilmaz" finds "Yılmaz" and "vogt" "Vögt". */
function plain(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase().replaceAll('ı', 'i');
}

/** Those whose name has every word of the query, in any order. */
export function find(listed: Listed[], query: string): Listed[] {
  const words = plain(query)
    .split(/\s+/u)
    .filter((word) => word !== '');
  return listed.filter(({ label }) => {
    const name = plain(label);
    return words.every((word) => name.includes(word));
  });
}
