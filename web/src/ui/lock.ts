/** How locks and trust are drawn and named. */

import type { Translate } from '../i18n';
import type { LockKind } from '../state/lock';
import { secondsSince } from '../state/lock';
import type { Trust } from '../state/keys';
import type { MessageKey } from '../state/messages';
import type { Person } from '../state/people';
import type { IconName } from './parts/icons';

export const LOCK_ICON: Record<LockKind, IconName> = {
  keys: 'lock-waiting',
  restoring: 'lock-waiting',
  e2e: 'lock',
  verified: 'lock-checked',
  unconfirmed: 'lock',
  unreadable: 'lock',
  differs: 'alert',
  stopped: 'alert',
  off: 'lock-open',
};

/** What a lock should feel like: fine, not yet, careful, or trouble. */
export const LOCK_TONE: Record<LockKind, 'good' | 'waiting' | 'careful' | 'bad'> = {
  keys: 'waiting',
  restoring: 'waiting',
  e2e: 'good',
  verified: 'good',
  unconfirmed: 'good',
  unreadable: 'good',
  differs: 'bad',
  stopped: 'bad',
  off: 'careful',
};

export const TRUST_ICON: Record<Trust, IconName> = {
  none: 'lock-open',
  joining: 'lock-waiting',
  keyless: 'alert',
  keys: 'lock',
  verified: 'lock-checked',
  new: 'lock',
  unconfirmed: 'alert',
};

export const TRUST_WORD: Record<Trust, MessageKey> = {
  none: 'trust.none',
  joining: 'trust.joining',
  keyless: 'trust.keyless',
  keys: 'trust.keys',
  verified: 'trust.verified',
  new: 'trust.new',
  unconfirmed: 'trust.unconfirmed',
};

/** Whether a tile and a list say it by themselves. */
export const isCareful = ({ trust, unreadable }: Person): boolean =>
  trust === 'keyless' || trust === 'unconfirmed' || unreadable;

/** What is to be known of somebody's keys, in a word. */
export function shortTrustOf(t: Translate, { trust, unreadable }: Person): string {
  return t(
    unreadable && trust !== 'keyless' && trust !== 'unconfirmed' ? 'trust.unreadable' : TRUST_WORD[trust],
  );
}

/** The same, and since when. */
export function trustOf(t: Translate, person: Person, now: number): string {
  return person.trust === 'unconfirmed'
    ? t('trust.unconfirmed-since', { seconds: secondsSince(person.silentSince, now) })
    : shortTrustOf(t, person);
}
