/** What the server has, looked at from where it is: its memory, its log, and what it was sent. */
import { Liar } from '../src/liar.ts';
import { expect, test } from '../src/meeting.ts';
import { memoryOf } from '../src/memory.ts';
import { Person, testId } from '../src/person.ts';
import { logOf } from '../src/server.ts';

/** At most: one byte of configuration, key id and counter (RFC 9605 §4.3). */
const HEADER_BYTES = 17;

const TEXT = 'The marmot of Zernez sleeps until the twelfth of May';
const NAME = 'Quirina Zernez-Marmotta';

test('neither names nor chat nor the link’s secret are in the server’s memory or log', async ({
  people,
  server,
}) => {
  const [somebody, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const ada = new Person(NAME, somebody.window, somebody.look);
  const marker = 'a-room-that-is-easy-to-find';
  // It tells no lies here: it writes down what the server is told.
  const liar = await Liar.before(server);
  const link = people.invitation(marker);
  await ada.join(liar.link(link));
  await ben.join(link);
  await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
  await ada.press('toggle-chat');
  await ada.window.fill(testId('chat-input'), TEXT);
  await ada.press('chat-send');
  await ben.press('toggle-chat');
  await ben.sees('chat-message', { own: 'false' });

  const code = new URL(link).hash.slice(2);
  const memory = await memoryOf(server.pid);
  // What the server does know is found by the same search.
  expect(memory.holds(marker)).toBe(true);
  for (const secret of [TEXT, NAME, code, code.slice(0, 20)])
    expect(memory.holds(secret), secret).toBe(false);

  await people.goodbye(somebody, liar.origin);
  const heard = Buffer.concat(liar.heard);
  liar.close();
  for (const known of [marker, '/channel?', 'access_token']) expect(heard.includes(known), known).toBe(true);
  for (const secret of [TEXT, NAME, code, code.slice(0, 20)])
    for (const written of [secret, Buffer.from(secret, 'utf16le')])
      expect(heard.includes(written), secret).toBe(false);

  const log = logOf(server.port);
  expect(log).not.toBe('');
  for (const secret of [TEXT, NAME, code.slice(0, 20), marker]) expect(log).not.toContain(secret);

  // No request names the fragment, and no page is told of another: the policy of every answer says so.
  for (const person of [ada, ben]) {
    for (const request of person.window.log.requests) expect(request).not.toContain(code.slice(0, 20));
  }
  for (const path of ['/', `/${marker}`, '/no/such/path']) {
    const answer = await fetch(`${server.origin}${path}`, { redirect: 'manual' });
    expect(answer.headers.get('referrer-policy'), path).toBe('no-referrer');
    const location = answer.headers.get('location');
    expect(location === null || location.endsWith('#_'), `${path} → ${location}`).toBe(true);
  }
});

/** Bytes of a payload that its codec needs readable on the way: those are not sealed. */
const CLEAR: Record<string, (payload: Buffer, first: boolean) => number> = {
  // The SFrame header follows at once (RFC 9605 §4.3): its length is in its first byte.
  'audio/opus': () => 0,
  // The payload descriptor (RFC 7741 §4.2), of a new picture also the first bytes of the frame.
  'video/VP8': (payload, first) => descriptor(payload) + (first ? 10 : 0),
};

function descriptor(payload: Buffer): number {
  const extended = (payload[0]! & 0x80) !== 0;
  if (!extended) return 1;
  const fields = payload[1]!;
  const picture = fields & 0x80 ? ((payload[2]! & 0x80) !== 0 ? 2 : 1) : 0;
  return 2 + picture + (fields & 0x40 ? 1 : 0) + (fields & 0x30 ? 1 : 0);
}

/** Shannon's entropy in bits a byte: 8 is noise. */
function entropy(bytes: Buffer): number {
  const counts = new Array<number>(256).fill(0);
  for (const byte of bytes) counts[byte]!++;
  return counts.reduce(
    (sum, count) => sum - (count ? (count / bytes.length) * Math.log2(count / bytes.length) : 0),
    0,
  );
}

test('sound and pictures are noise on the server', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const crowd = await people.crowd(await people.meet('noise', ada));
  await ada.sees('encryption-state', { state: 'e2e' });
  const packets = await crowd.packets(400);
  for (const [codec, clear] of Object.entries(CLEAR)) {
    const of = packets.filter((packet) => packet.codec === codec);
    expect(of.length, codec).toBe(400);
    const sealed = of.map(({ payload }) => {
      const first = codec === 'video/VP8' && (payload[0]! & 0x10) !== 0;
      // The header and the key id in it repeat, and are no secret.
      return payload.subarray(clear(payload, first) + HEADER_BYTES);
    });
    const bytes = Buffer.concat(sealed);
    // Of n random bytes the expected entropy is 8 − 255 / (2 n ln 2).
    const expected = 8 - 255 / (2 * bytes.length * Math.LN2);
    expect(entropy(bytes), `${codec}: ${bytes.length} bytes`).toBeGreaterThan(expected - 0.01);
    // A pattern of four bytes at the same place of more than a few packets would be one of the codec's.
    const patterns = new Map<string, number>();
    for (const payload of sealed) {
      if (payload.length < 4) continue;
      const head = payload.subarray(0, 4).toString('hex');
      patterns.set(head, (patterns.get(head) ?? 0) + 1);
    }
    expect(Math.max(...patterns.values()), `${codec}: the same beginning`).toBeLessThan(5);
  }
});
