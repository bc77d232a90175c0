/** People of a meeting as they are shown: their names in the group, initials, a tint; equal names are told apart. */

import { tidyName } from '../crypto/name';
import type { RosterMember } from '../e2ee/types';
import type { VideoHandle } from '../rtc/types';
import type { Trust } from './keys';
import type { Message } from './messages';

export type { VideoHandle } from '../rtc/types';

export type PersonName =
  | { kind: 'name'; name: string }
  /** Has the keys, and a name that does not open under this link. */
  | { kind: 'unnamed' }
  /** Not among those who have the keys, or not yet: nothing says who that is. */
  | { kind: 'keyless' };

/** The name of somebody who has the keys, or of somebody who has not. */
export function nameIn(member: Pick<RosterMember, 'name'> | undefined): PersonName {
  if (!member) return { kind: 'keyless' };
  const name = tidyName(member.name ?? '');
  return name === '' ? { kind: 'unnamed' } : { kind: 'name', name };
}

export interface Person {
  identity: string;
  isLocal: boolean;
  name: PersonName;
  trust: Trust;
  /** Since when nothing was heard of their keys, if for so long that it is told; else 0. */
  silentSince: number;
  /** They have the keys, and yet what they send does not open. */
  unreadable: boolean;
  /** 1 for the first person of that name, 2 for the second… */
  ordinal: number;
  initials: string;
  /** Index into the palette of tints. */
  tint: number;
  muted: boolean;
  speaking: boolean;
  /** When they last began or ceased to speak; 0 = never. */
  spokeAt: number;
  /** Their connection is weak, for some seconds. */
  weak: boolean;
  /** The server pauses their picture: what stands still is not shown as if it were live. */
  videoPaused: boolean;
  screenPaused: boolean;
  video: VideoHandle | null;
  screen: VideoHandle | null;
}

export const TINTS = 8;

/** A stable tint per identity. */
export function tintOf(identity: string): number {
  let hash = 7;
  for (let i = 0; i < identity.length; i++) hash = (hash * 31 + identity.charCodeAt(i)) >>> 0;
  return hash % TINTS;
}

/** Up to two letters: of the first and the last word. */
export function initialsOf(name: string): string {
  const words = name.split(/[\s\-_.]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = words[0];
  if (!first) return '?';
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  const letter = (word: string) => [...word].find((char) => /[\p{L}\p{N}]/u.test(char)) ?? '';
  return (letter(first) + (last ? letter(last) : '')).toLocaleUpperCase();
}

/** How somebody is called, on a tile, in a list and in a sentence. */
export function spokenName(words: (message: Message) => string, name: PersonName, ordinal = 1): string {
  switch (name.kind) {
    case 'name':
      return ordinal > 1
        ? words({ key: 'person.numbered', args: { name: name.name, number: ordinal } })
        : name.name;
    case 'unnamed':
      return words({ key: 'person.unnamed' });
    case 'keyless':
      return words({ key: 'person.keyless' });
  }
}

/** What two names look alike by: compatibility forms, case, blanks and everything invisible do not count. */
function likeness(name: string): string {
  return name
    .normalize('NFKC')
    .replace(/[\s\p{Default_Ignorable_Code_Point}]/gu, '')
    .toLowerCase();
}

/** Numbers equal names in the order of the list. */
export function ordinals(names: PersonName[]): number[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    if (name.kind !== 'name') return 1;
    const key = likeness(name.name);
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    return count;
  });
}

function sameName(a: PersonName, b: PersonName): boolean {
  return a.kind === b.kind && (a.kind !== 'name' || b.kind !== 'name' || a.name === b.name);
}

function samePerson(a: Person, b: Person): boolean {
  return (Object.keys(b) as (keyof Person)[]).every((key) =>
    key === 'name' ? sameName(a.name, b.name) : a[key] === b[key],
  );
}

/** `next`, with the very objects (and list) of `before` where nothing changed: what shows them has nothing to do then. */
export function keepUnchangedPeople(before: Person[], next: Person[]): Person[] {
  const known = new Map(before.map((person) => [person.identity, person]));
  const kept = next.map((person) => {
    const old = known.get(person.identity);
    return old && samePerson(old, person) ? old : person;
  });
  return kept.length === before.length && kept.every((person, i) => person === before[i]) ? before : kept;
}
