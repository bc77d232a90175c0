/**
 * Rooms that another program opened, which are not end-to-end encrypted: whoever comes by a bare link is asked first, and a
 * link with a secret never leads there.
 */
import { expect, test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import { othersOf, readBy, takePart, write } from '../src/publisher.ts';
import { until } from '../src/until.ts';

/** Some link's. */
const SECRET = '#1K7F3Q9XM2B8DW5TZ6C4NW';

function messages(person: Person): Promise<string[]> {
  return person.window.evaluate(
    (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent ?? ''),
    testId('chat-message'),
  );
}

async function reads(person: Person, text: string): Promise<void> {
  await until(`${person.name} to read “${text}”`, async () =>
    (await messages(person)).some((message) => message.includes(text)),
  );
}

test('people may take part in a room of another program, once they know what it is', async ({
  people,
  server,
}) => {
  test.setTimeout(180_000);
  const room = `${server.origin}/open-house`;
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await takePart(ada, server.origin, 'open-house');
  await until('the server to know of the room', async () => {
    const asked = await fetch(`${server.origin}/api/v1/rooms/open-house/join`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    return ((await asked.json()) as { running: boolean }).running;
  });

  await ben.window.open(room);
  await ben.sees('encryption-state', { state: 'off' });
  await ben.sees('prejoin-encrypted');
  await ben.sees('prejoin-join', {}, 0);
  expect(await othersOf(ada), 'nobody has come yet').toBe(0);

  await ben.joinFromPrejoin('prejoin-anyway');
  expect(await ben.link(), 'no secret is made').toBe(room);
  await ben.sees('encryption-state', { state: 'off' });
  await ben.seesAndHears(ada);
  await ada.seesAndHears(ben);

  await ben.press('toggle-chat');
  await write(ada, 'Is this on?', 'stream');
  await reads(ben, 'Is this on?');
  await write(ada, 'And like this?', 'message');
  await reads(ben, 'And like this?');
  await ben.window.fill(testId('chat-input'), 'Yes <b>it</b> is');
  await ben.press('chat-send');
  await expect.poll(() => readBy(ada)).toEqual([['Ben', 'Yes <b>it</b> is']]);

  // By a link with a secret one is in another meeting, under the same name.
  const cem = await people.chromium('Cem');
  await cem.join(room + SECRET);
  await cem.sees('encryption-state', { state: 'e2e' });
  await cem.sees('tile', { identity: 'Ada', name: '', trust: 'keyless' });
  await cem.sees('tile', { name: '', local: 'false', trust: 'keyless' }, 2);
  await ben.sees('tile', { name: '', unreadable: 'true' });
  expect((await cem.received('video')).framesDecoded, 'nothing of the others is shown').toBe(0);
  await ben.seesPictureOf(ada);
});
