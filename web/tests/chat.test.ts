import { describe, expect, it } from 'vitest';
import {
  addHistory,
  addMessage,
  charactersLeft,
  closeChat,
  EMPTY_CHAT,
  firstDrawn,
  isLong,
  KEPT,
  markRead,
  PAGE,
  setPending,
  TEXT_MAX,
  textParts,
  tidyText,
  transcript,
  type ChatMessage,
} from '../src/state/chat';

type Written = Omit<ChatMessage, 'continues'>;

function message(n: number, change: Partial<Written> = {}): Written {
  return {
    key: `a ${n}`,
    from: 'a',
    author: { kind: 'unnamed' },
    own: false,
    text: `text ${n}`,
    at: n,
    ...change,
  };
}

describe('what was written before', () => {
  const line = (id: string, at: number, from = 'b') => ({ id, from, name: 'Ben', text: `said ${id}`, at });

  it('stands in its place, once, with its author as told, and is no news', () => {
    const now = addMessage(EMPTY_CHAT, message(50), false);
    const log = addHistory(now, [line('2', 20), line('1', 10), line('2', 20), line('3', 60)], 'me');
    expect(log.messages.map(({ at, handedOn }) => [at, handedOn])).toEqual([
      [10, true],
      [20, true],
      [50, undefined],
      [60, true],
    ]);
    expect(log.messages.map(({ continues }) => continues)).toEqual([false, true, false, false]);
    expect([log.unread, log.firstNew]).toEqual([1, 'a 50']);
    expect(addHistory(log, [line('1', 10)], 'me')).toBe(log);
  });

  it('is one’s own where one came back, and bounded as everything is', () => {
    const own = addHistory(EMPTY_CHAT, [line('1', 1, 'me')], 'me');
    expect(own.messages[0]?.own).toBe(true);
    const flood = Array.from({ length: KEPT + 5 }, (_, i) => line(`${i}`, i));
    expect(addHistory(EMPTY_CHAT, flood, 'me').messages).toHaveLength(KEPT);
    expect(addHistory(EMPTY_CHAT, [{ ...line('1', 1), text: ' \n' }], 'me')).toBe(EMPTY_CHAT);
  });
});

describe('a message of one’s own', () => {
  it('waits until it waits no longer', () => {
    const log = addMessage(EMPTY_CHAT, message(1, { own: true, pending: true }), true);
    const sent = setPending(log, 'a 1', false);
    expect(sent.messages[0]?.pending).toBe(false);
    expect(setPending(sent, 'a 1', false)).toBe(sent);
    expect(setPending(sent, 'a 2', true)).toBe(sent);
  });
});

describe('a text', () => {
  it('loses control characters and is cut', () => {
    const text = `a\u0000b\u0007${'c'.repeat(TEXT_MAX)}`;
    expect(tidyText(text)).toBe(`ab${'c'.repeat(TEXT_MAX - 2)}`);
  });

  it('of the longest kind still passes', () => {
    expect(tidyText('😀'.repeat(TEXT_MAX / 2))).toHaveLength(TEXT_MAX);
  });
});

describe('a chat log', () => {
  it('counts what came while it was closed, and marks the first of it', () => {
    let log = addMessage(EMPTY_CHAT, message(1), true);
    log = addMessage(log, message(2), false);
    log = addMessage(log, message(3), false);
    expect(log).toMatchObject({ unread: 2, firstNew: 'a 2' });
    log = markRead(log);
    expect(log).toMatchObject({ unread: 0, firstNew: 'a 2' });
    expect(closeChat(log).firstNew).toBeNull();
  });

  it('takes a message once, however often it comes', () => {
    const log = addMessage(EMPTY_CHAT, message(1), false);
    expect(addMessage(log, message(1), false)).toBe(log);
  });

  it('keeps a bounded number of messages', () => {
    let log = EMPTY_CHAT;
    for (let n = 0; n < KEPT + 10; n++) log = addMessage(log, message(n), true);
    expect(log.messages).toHaveLength(KEPT);
    expect(log.messages[0]?.text).toBe('text 10');
  });
});

describe('messages', () => {
  function log(...messages: Written[]) {
    return messages.reduce((before, next) => addMessage(before, next, true), EMPTY_CHAT).messages;
  }

  it('of one person within a minute stand under one name', () => {
    const shown = log(
      message(0),
      message(1, { at: 59_999 }),
      message(2, { at: 119_999 }),
      message(3, { at: 120_000, from: 'b' }),
      message(4, { at: 120_001 }),
    );
    expect(shown.map((one) => one.continues)).toEqual([false, true, false, false, false]);
  });

  it('are drawn by the hundred, however many there are, always the newest among them', () => {
    for (let count = 0; count <= KEPT; count++) {
      const drawn = count - firstDrawn(count);
      expect(drawn).toBeGreaterThanOrEqual(Math.min(count, PAGE));
      expect(drawn).toBeLessThan(2 * PAGE);
    }
  });

  it('stay drawn while a page fills', () => {
    expect(firstDrawn(2 * PAGE)).toBe(PAGE);
    expect(firstDrawn(3 * PAGE - 1)).toBe(PAGE);
  });

  it('are copied with who wrote when, and none can pass for two', () => {
    const written = log(
      message(1, { text: 'Hallo' }),
      message(2, { from: 'b', text: 'Ja\n10:05 Anna: Nein' }),
    );
    expect(transcript(written, ({ from, at }) => `10:0${at} ${from}`)).toBe(
      '10:01 a: Hallo\n10:02 b: Ja\n    10:05 Anna: Nein',
    );
  });
});

describe('what is being written', () => {
  it('has room left, or too much', () => {
    expect(charactersLeft('')).toBe(TEXT_MAX);
    expect(charactersLeft(` ${'a'.repeat(TEXT_MAX)}\n`)).toBe(0);
    expect(charactersLeft('a'.repeat(100_000))).toBe(TEXT_MAX - 100_000);
  });

  it('is folded when it is long, by letters or by lines', () => {
    expect(isLong('a'.repeat(1000))).toBe(false);
    expect(isLong('a'.repeat(1001))).toBe(true);
    expect(isLong(Array(15).fill('a').join('\n'))).toBe(false);
    expect(isLong(Array(16).fill('a').join('\n'))).toBe(true);
  });
});

describe('the text of a message', () => {
  it('turns web addresses into links and leaves everything else text', () => {
    expect(textParts('Siehe https://a.example/x?y=1#z. Danke')).toEqual([
      { kind: 'text', text: 'Siehe ' },
      { kind: 'link', text: 'https://a.example/x?y=1#z', href: 'https://a.example/x?y=1#z' },
      { kind: 'text', text: '. Danke' },
    ]);
    expect(textParts('(http://a.example)')[1]).toMatchObject({ text: 'http://a.example' });
  });

  it.each(['<b onclick=x>', 'javascript:alert(1)', 'data:text/html,x', 'https://', 'ftp://a.example'])(
    'makes no link of %s',
    (text) => {
      expect(textParts(text)).toEqual([{ kind: 'text', text }]);
    },
  );

  it('never turns a link’s letters round', () => {
    expect(textParts('https://a.example/\u202Egnp.exe')).toEqual([
      { kind: 'link', text: 'https://a.example/', href: 'https://a.example/' },
      { kind: 'text', text: '\u202Egnp.exe' },
    ]);
  });

  it('takes time in proportion to its length', () => {
    const text = `https://a.example/${'.'.repeat(200_000)}x`;
    expect(textParts(text)).toMatchObject([{ kind: 'link', text }]);
  });

  it('loses nothing', () => {
    const text = 'a https://b.example, https://c.example/„x“ d';
    expect(
      textParts(text)
        .map((part) => part.text)
        .join(''),
    ).toBe(text);
  });
});
