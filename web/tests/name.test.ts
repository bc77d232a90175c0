import { createDecipheriv, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromBase64Url, toBase64Url } from '../src/crypto/bytes';
import { fitName, nameSealer, tidyName } from '../src/crypto/name';
import { random } from '../scripted/world';

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';
const ROOM = 'kollegium-7b';
const IDENTITY = '0123456789abcdefghjkmnpqrs';

describe('a sealed name', () => {
  it('opens under the same secret, room and identity', async () => {
    const sealer = await nameSealer(SECRET, ROOM, random);
    const sealed = await sealer.seal('Deniz Yılmaz', IDENTITY);
    expect(await sealer.open(sealed, IDENTITY)).toEqual({ kind: 'name', name: 'Deniz Yılmaz' });
  });

  it.each([
    ['secret', '00000000000000000000', ROOM, IDENTITY],
    ['room', SECRET, 'kollegium-7c', IDENTITY],
    ['identity', SECRET, ROOM, 'zzzzzzzzzzzzzzzzzzzzzzzzzz'],
  ])('does not open under another %s', async (_what, secret, room, identity) => {
    const sealed = await (await nameSealer(SECRET, ROOM, random)).seal('Anna', IDENTITY);
    expect(await (await nameSealer(secret, room, random)).open(sealed, identity)).toEqual({
      kind: 'other-link',
    });
  });

  it('has the same size whatever the name, and never repeats', async () => {
    const sealer = await nameSealer(SECRET, ROOM, random);
    const [short, long, again] = await Promise.all([
      sealer.seal('A', IDENTITY),
      sealer.seal('Ä'.repeat(64), IDENTITY),
      sealer.seal('A', IDENTITY),
    ]);
    expect(short.length).toBe(long.length);
    expect(short.length).toBeLessThanOrEqual(512);
    expect(short).not.toBe(again);
  });

  it('is exactly AES-256-GCM under HKDF-SHA256 with label name, as an independent implementation opens it', async () => {
    const sealed = await (await nameSealer(SECRET, ROOM, random)).seal('Miriam', IDENTITY);
    const bytes = Buffer.from(sealed.slice(2), 'base64url');
    const extracted = createHmac('sha256', 'konklave v1')
      .update(SECRET + ROOM)
      .digest();
    const key = createHmac('sha256', extracted).update('name').update(Buffer.of(1)).digest();
    const cipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12));
    cipher.setAAD(Buffer.from(`konklave name v1${ROOM}${IDENTITY}`));
    cipher.setAuthTag(bytes.subarray(-16));
    const opened = Buffer.concat([cipher.update(bytes.subarray(12, -16)), cipher.final()]);
    expect(sealed.startsWith('1.')).toBe(true);
    expect(opened).toHaveLength(128);
    expect(opened.toString('utf8').replace(/\0+$/, '')).toBe('Miriam');
  });

  it.each(['', 'Anna', '{"name":"Anna"}', '1.', '1.!!!!', `1.${'A'.repeat(600)}`, '2.AAAA'])(
    'takes %j for no sealed name',
    async (metadata) => {
      const sealer = await nameSealer(SECRET, ROOM, random);
      expect(await sealer.open(metadata, IDENTITY)).toEqual({ kind: 'unnamed' });
    },
  );
});

describe('a name', () => {
  it('loses what could disturb other screens', () => {
    expect(tidyName('  Anna\n\tBerger\u202E ')).toBe('Anna Berger');
    expect(tidyName('A\0B')).toBe('A B');
  });

  it.each(['\u200B', '\u3164', '\u2800', '\u115F', '\uFE0F', '\u200D', '\u0301', ' \u2060 '])(
    'of which nothing can be seen is none (%j)',
    async (invisible) => {
      expect(tidyName(invisible)).toBe('');
      const sealer = await nameSealer(SECRET, ROOM, random);
      expect(await sealer.open(await sealer.seal(invisible, IDENTITY), IDENTITY)).toEqual({
        kind: 'unnamed',
      });
    },
  );

  it('keeps what scripts and emoji need, and loses other formatting', () => {
    expect(tidyName('An\u00ADna\u200B')).toBe('Anna');
    expect(tidyName('Anna\u2800')).toBe('Anna');
    for (const name of ['می\u200Cخواهم', 'क्\u200Dष', '👩\u200D🚀', '42', '愛'])
      expect(tidyName(name)).toBe(name);
  });

  it('is cut at 128 bytes, never inside a character', () => {
    expect(tidyName('ä'.repeat(100))).toBe('ä'.repeat(64));
    expect(tidyName(`${'a'.repeat(127)}ä`)).toBe('a'.repeat(127));
  });

  it('is taken as it is typed, as far as it fits', () => {
    expect(fitName(' Ada  ')).toBe(' Ada  ');
    expect(fitName('ä'.repeat(64))).toBe('ä'.repeat(64));
    expect(fitName('ä'.repeat(65))).toBe('ä'.repeat(64));
    expect(fitName(`${' '.repeat(100_000)}${'x'.repeat(100_000)}`)).toBe('x'.repeat(128));
  });
});

describe('base64url', () => {
  it('goes there and back without padding', () => {
    for (let length = 0; length < 40; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) & 255);
      expect([...(fromBase64Url(toBase64Url(bytes)) ?? [])]).toEqual([...bytes]);
      expect(toBase64Url(bytes)).toBe(Buffer.from(bytes).toString('base64url'));
    }
    expect(fromBase64Url('a')).toBeNull();
    expect(fromBase64Url('ab+c')).toBeNull();
  });
});
