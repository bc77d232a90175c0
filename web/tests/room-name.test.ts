import { describe, expect, it } from 'vitest';
import { normaliseRoom, parseRoomName, pathOfRoom, roomOfPath } from '../src/state/room-name';

describe('the name of a room', () => {
  it.each(['test', 'Kollegium-7b', 'Übung_3', 'école', '会议', 'क्षेत्र', 'standup~4h8rm2vxq0tn7wz5c3gd'])(
    'may be %s',
    (name) => {
      expect(parseRoomName(name)).toEqual({ ok: true, room: name.normalize('NFC') });
    },
  );

  it('gets hyphens for blanks', () => {
    expect(parseRoomName('  Klasse 7b  Mathe ')).toEqual({ ok: true, room: 'Klasse-7b-Mathe' });
  });

  it.each([
    ['', 'empty'],
    ['   ', 'empty'],
    ['a'.repeat(65), 'too-long'],
    ['a/b', 'characters'],
    ['a.b', 'characters'],
    ['<script>', 'characters'],
    ['a~b', 'characters'],
    ['api', 'reserved'],
    ['RTC', 'reserved'],
    ['_x', 'reserved'],
    ['.well-known', 'reserved'],
  ])('may not be %j: %s', (name, problem) => {
    expect(parseRoomName(name)).toEqual({ ok: false, problem });
  });

  it('may have 64 characters, also outside the basic plane', () => {
    expect(parseRoomName('𠀀'.repeat(64)).ok).toBe(true);
    expect(parseRoomName('𠀀'.repeat(65)).ok).toBe(false);
  });

  it('is compared folded and composed', () => {
    expect(normaliseRoom('KOLLEGIUM-7B')).toBe('kollegium-7b');
    expect(normaliseRoom('U\u0308bung')).toBe('übung');
    expect(normaliseRoom('Straße')).toBe('strasse');
    expect(normaliseRoom('STRAẞE')).toBe('strasse');
    expect(normaliseRoom('ΟΔΟΣ')).toBe(normaliseRoom('οδος'));
    expect(normaliseRoom('ılık')).toBe('ılık');
    expect(normaliseRoom('ꮳꮃꭹ')).toBe('ᏣᎳᎩ');
    expect(normaliseRoom(normaliseRoom('Ǆŉǰ'))).toBe(normaliseRoom('Ǆŉǰ'));
  });

  it('goes into an address and back', () => {
    for (const name of ['test', 'Übung', 'standup~4h8rm2vxq0tn7wz5c3gd'])
      expect(roomOfPath(pathOfRoom(name))).toBe(name);
    expect(roomOfPath('/')).toBe('');
    expect(roomOfPath('/test/')).toBe('test');
    expect(roomOfPath('/%E0%A4%A')).toBeNull();
  });
});
