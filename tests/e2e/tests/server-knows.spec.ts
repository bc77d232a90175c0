/** What the server has, looked at from where it is: its memory, its log, and what it was sent. */
import { Liar } from '../src/liar.ts';
import { expect, test } from '../src/meeting.ts';
import { memoryOf } from '../src/memory.ts';
import { expectNoise } from '../src/noise.ts';
import { Person, testId } from '../src/person.ts';
import { logOf } from '../src/server.ts';

const TEXT = 'The marmot of Zernez sleeps until the twelfth of May';
const NAME = 'Quirina Zernez-Marmotta';

/** What a text becomes in base64 of either alphabet, wherever it stands in what is encoded. */
function base64Of(text: string): string[] {
  return [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]);
    // Digits that hold bits of what stands around it are left out.
    const inner = (digits: string) => digits.replace(/=+$/, '').slice(before + (before && 1), -1);
    return [inner(bytes.toString('base64')), inner(bytes.toString('base64url'))];
  });
}

const isIn = (heard: Buffer, forms: (string | Buffer)[]) => forms.some((form) => heard.includes(form));

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
  // Its token names the room.
  expect(isIn(heard, base64Of(marker))).toBe(true);
  for (const secret of [TEXT, NAME, code, code.slice(0, 20)])
    expect(isIn(heard, [secret, Buffer.from(secret, 'utf16le'), ...base64Of(secret)]), secret).toBe(false);

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

test('sound and pictures are noise on the server', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const crowd = await people.crowd(await people.meet('noise', ada));
  await ada.sees('encryption-state', { state: 'e2e' });
  expectNoise(await crowd.packets(250), ['audio/opus', 'video/VP8']);
});
