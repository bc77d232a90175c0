/** Small pieces of words that several components need. */

import type { Translate } from '../i18n';
import { isCareful, shortTrustOf } from './lock';
import { spokenName, type Person, type PersonName } from '../state/people';

/** How somebody is called, without "(me)". */
export function nameOf(t: Translate, name: PersonName, ordinal = 1): string {
  return spokenName(({ key, args }) => t(key, args), name, ordinal);
}

/** The name on a tile or in a list. Short: only the first name, and "me" for oneself. */
export function labelOf(t: Translate, person: Person, short = false): string {
  const name = nameOf(t, person.name, person.ordinal);
  if (person.isLocal) return short ? t('person.me') : t('person.own', { name });
  if (short && person.name.kind === 'name' && person.ordinal === 1) return name.split(' ')[0] ?? name;
  return name;
}

/** What a screen reader says about a tile. */
export function describe(t: Translate, person: Person, pinned = false): string {
  const parts = [labelOf(t, person)];
  if (person.speaking) parts.push(t('person.speaking'));
  if (person.muted) parts.push(t('person.muted'));
  if (!person.video) parts.push(t('person.no-picture'));
  else if (person.videoPaused) parts.push(t('tile.paused'));
  if (isCareful(person)) parts.push(shortTrustOf(t, person));
  if (person.weak) parts.push(t('person.weak'));
  if (pinned) parts.push(t('tile.pinned'));
  return parts.join(', ');
}

/** 0:42, 24:31, 1:02:03. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${two(minutes)}:${two(seconds % 60)}`;
}
