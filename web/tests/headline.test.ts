import { describe, expect, it } from 'vitest';
import de from '../locales/de.json';
import { translator } from '../src/i18n';
import { EMPTY_CHAT } from '../src/state/chat';
import { headlineOf } from '../src/state/headline';

const t = translator('de', de);

function headline(unread: number, reconnecting = false) {
  const { title, dot } = headlineOf({
    room: 'Raum',
    chat: { ...EMPTY_CHAT, unread },
    connection: reconnecting ? { phase: 'reconnecting', attempt: 1, since: 0 } : { phase: 'connected' },
  });
  return [t(title.key, title.args), dot];
}

describe('the tab of a meeting', () => {
  it('names the room', () => {
    expect(headline(0)).toEqual(['Raum – Konklave', false]);
  });

  it('counts what is unread', () => {
    expect(headline(2)).toEqual(['(2) Raum – Konklave', true]);
  });

  it('says first of all that the connection is away', () => {
    expect(headline(2, true)).toEqual(['Verbindung unterbrochen – Raum – Konklave', true]);
  });
});
