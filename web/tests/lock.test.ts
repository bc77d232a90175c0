import { describe, expect, it } from 'vitest';
import de from '../locales/de.json';
import en from '../locales/en.json';
import type { RosterMember, State, Stop } from '../src/e2ee/types';
import { translator } from '../src/i18n';
import { trustIn, type KeysView } from '../src/state/keys';
import { absentFrom, lockOf } from '../src/state/lock';
import { member } from '../scripted/keys';

const NOW = 1_000_000;
const MEMBER: State = { type: 'member', confirmed: true };

const roster = (members: RosterMember[]) => ({
  epoch: 7,
  locked: false,
  members,
  digits: ['48213', '90577', '16624', '73051', '28849', '60392'],
  emoji: [],
});

function keys(members: RosterMember[] | null, change: Partial<KeysView> = {}): KeysView {
  return {
    state: MEMBER,
    since: NOW - 1000,
    roster: members && roster(members),
    failed: false,
    differs: false,
    unreadable: new Set(),
    ...change,
  };
}

const around = (...identities: string[]) => ({
  people: identities.map((identity) => ({ identity, trust: 'keyless' as const })),
  nameOf: (identity: string) => identity,
  now: NOW,
});
const own = (change: Partial<RosterMember> = {}) => member('me', 0, { own: true, ...change });
const t = translator('de', de);
const said = (view: KeysView, ...identities: string[]) => {
  const { kind, title, text } = lockOf(view, around(...identities));
  return [kind, t(title.key, title.args), t(text.key, text.args)];
};

describe('the lock', () => {
  it('is open to nobody before there are keys', () => {
    for (const state of [{ type: 'connecting' }, { type: 'member', confirmed: false }] as const) {
      const view = keys(state.type === 'member' ? [own(), member('b', 1)] : null, { state });
      expect(said(view)).toEqual([
        'keys',
        'Schlüssel werden verbunden',
        'Das dauert meist unter 2 Sekunden. Bis dahin geht nichts unverschlüsselt hinaus.',
      ]);
      expect(lockOf(view, around()).comparable).toBeNull();
    }
    expect(said(keys(null, { state: { type: 'restoring' } }))[0]).toBe('restoring');
  });

  it('does not hide that it takes too long', () => {
    const view = keys(null, { state: { type: 'connecting' }, since: NOW - 15_000 });
    expect(said(view)[0]).toBe('keys');
    expect(said(view)[2]).toMatch(/ungewöhnlich lange.*nichts unverschlüsselt/);
    const unconfirmed = keys([own(), member('b', 1)], {
      state: { type: 'member', confirmed: false },
      since: NOW - 15_000,
    });
    expect(said(unconfirmed)[2]).toMatch(/geht von Ihnen nichts hinaus/);
    const alone = keys([own(), { ...member('b', 1), silent_since: NOW - 40_000 }], {
      state: { type: 'member', confirmed: false },
      since: NOW - 15_000,
    });
    expect(
      said(alone)
        .slice(0, 1)
        .concat(said(alone)[2] ?? ''),
    ).toEqual(['unconfirmed', expect.stringMatching(/geht von Ihnen nichts hinaus/)]);
  });

  it('claims no comparison with those who came after it', () => {
    const view = keys([{ ...own(), compared: true }, member('b', 1)]);
    expect(said(view)[0]).toBe('e2e');
  });

  it('says who has the keys', () => {
    const view = keys([own(), member('b', 1), member('c', 2)]);
    expect(said(view)).toEqual([
      'e2e',
      'Ende-zu-Ende verschlüsselt',
      'Die Schlüssel haben die 3 Menschen hier, nicht der Server. Ganz sicher sind Sie nach dem Vergleich.',
    ]);
    expect(lockOf(view, around()).comparable).toMatchObject({
      epoch: 7,
      digits: ['48213', '90577'].concat(['16624', '73051', '28849', '60392']),
    });
    const alone = keys([own()]);
    expect(said(alone)[2]).toBe('Die Schlüssel haben nur Sie, nicht der Server.');
    expect(lockOf(alone, around()).comparable).toBeNull();
  });

  it('counts those who compared, and those who came after that', () => {
    const compared = { compared: true };
    const view = keys([own(compared), member('b', 1, { ...compared, verified: true }), member('c', 2)]);
    expect(said(view)).toEqual([
      'verified',
      'Ende-zu-Ende verschlüsselt, geprüft von 2',
      'Zahlen verglichen: me, b. Danach kam 1 Person dazu.',
    ]);
  });

  it('does not take others’ word for one’s own look', () => {
    const view = keys([own(), member('b', 1, { verified: true }), member('c', 2, { verified: true })]);
    expect(said(view)[0]).toBe('e2e');
  });

  it('tells of frames that do not open', () => {
    const unreadable = new Set(['b', 'gone']);
    expect(said(keys([own({ compared: true }), member('b', 1), member('c', 2)], { unreadable }))).toEqual([
      'unreadable',
      'Ende-zu-Ende verschlüsselt, 1 nicht zu entschlüsseln',
      expect.stringMatching(/^b: Bild oder Ton lässt sich nicht entschlüsseln/),
    ]);
    const view = keys([own(), member('a', 1), member('b', 2)], { unreadable });
    expect(lockOf(view, around()).holders.map(({ identity }) => identity)).toEqual(['b', 'me', 'a']);
    // Of whom nothing is heard more is wrong; who is not in the group has no say.
    const silent = member('b', 1, { silent_since: NOW - 40_000 });
    expect(said(keys([own(), silent], { unreadable }))[0]).toBe('unconfirmed');
    expect(said(keys([own(), member('c', 2)], { unreadable }))[0]).toBe('e2e');
  });

  it('names who was not heard of', () => {
    const silent = member('b', 1, { silent_since: NOW - 40_000 });
    expect(said(keys([own({ compared: true }), silent, member('c', 2)]))).toEqual([
      'unconfirmed',
      'Ende-zu-Ende verschlüsselt, 1 nicht bestätigt',
      'b: meldet sich seit 40 Sekunden nicht. Vielleicht ist nur die Verbindung weg. Fragen Sie nach, bevor Sie Vertrauliches sagen.',
    ]);
  });

  it('names whoever fell silent also where nobody else is left', () => {
    const members = [own(), member('b', 1, { silent_since: NOW - 40_000 })];
    expect(said(keys(members, { state: { type: 'member', confirmed: false } }))[0]).toBe('unconfirmed');
  });

  it('warns when numbers differ, whatever else is so', () => {
    const view = keys([own({ compared: true }), member('b', 1, { silent_since: 0 })], { differs: true });
    expect(said(view).slice(0, 2)).toEqual(['differs', 'Die Zahlen stimmen nicht überein']);
    expect(lockOf(view, around()).comparable).not.toBeNull();
  });

  it('lists first who needs a look, also those without keys', () => {
    const compared = { compared: true };
    const members = [own(compared), member('b', 1), member('c', 2, { ...compared, silent_since: 0 })];
    const { holders } = lockOf(keys(members), around('me', 'b', 'c', 'd'));
    expect(holders.map(({ identity, trust }) => `${identity} ${trust}`)).toEqual([
      'c unconfirmed',
      'd keyless',
      'b new',
      'me verified',
    ]);
  });

  const STOPS: Stop[] = [
    'other-link',
    'password',
    'locked',
    'removed',
    'other-meeting',
    'out-of-step',
    'elsewhere',
    'ended',
    'refused',
    'full',
  ];

  it.each(STOPS)('says why it is over: %s', (reason) => {
    const { kind, text } = lockOf(keys(null, { state: { type: 'stopped', reason } }), around());
    expect(kind).toBe('stopped');
    for (const messages of [de, en]) expect(messages[text.key]).toMatch(/\.$/);
  });

  it('says when the encryption failed', () => {
    expect(said(keys([own()], { failed: true }))[0]).toBe('stopped');
  });
});

describe('those who are not seen', () => {
  it('are found among those who have the keys', () => {
    const view = keys([own(), member('b', 1), member('c', 2)]);
    const seen = [{ identity: 'me' }, { identity: 'c' }, { identity: 'stranger' }];
    expect(absentFrom(seen, view).map(({ identity }) => identity)).toEqual(['b']);
    expect(absentFrom(seen, keys(null))).toEqual([]);
  });
});

describe('trust', () => {
  it('is in nobody without keys yet', () => {
    expect(trustIn(null, 'me')).toBe('joining');
    expect(trustIn(roster([own()]), 'b')).toBe('joining');
    expect(trustIn(roster([own(), member('b', 1)]), 'b')).toBe('keys');
  });
});
