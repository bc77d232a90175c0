/** End-to-end encryption as people meet it: who has the link has the keys, the lock says so, and nobody else gets anything. */
import { fragmentOf, newSecret } from '../../../web/src/crypto/link.ts';
import { randomBytes } from 'node:crypto';
import { expect, test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import { until } from '../src/until.ts';

const textOf = (person: Person, id: string) =>
  person.window.evaluate((selector) => document.querySelector(selector)?.textContent ?? '', testId(id));

test('Chromium and Firefox have the keys, by the link alone', async ({ people }) => {
  const [ada, fox] = [await people.chromium('Ada'), await people.firefox('Fox')];
  await people.meet('keys', ada, fox);
  for (const person of [ada, fox]) {
    await person.sees('encryption-state', { state: 'e2e' });
    expect(await textOf(person, 'encryption-state')).toContain('End-to-end encrypted');
    await person.sees('tile', { trust: 'keys' }, 2);
  }
  await ada.seesAndHears(fox);
  await fox.seesAndHears(ada);

  for (const person of [ada, fox]) await person.press('toggle-chat');
  await ada.write('hello Fox');
  await expect.poll(() => fox.texts()).toEqual(['hello Fox']);
  await fox.write('hello Ada');
  await expect.poll(() => ada.texts()).toEqual(['hello Fox', 'hello Ada']);
  await ada.sees('chat-message', { pending: 'true' }, 0);

  // Everybody reads the same numbers, and says so.
  for (const person of [ada, fox]) {
    await person.press('encryption-state');
    await person.press('compare');
  }
  const digits = await textOf(ada, 'compare-digits');
  expect(digits.replace(/\D/g, '')).toHaveLength(30);
  expect(await textOf(fox, 'compare-digits')).toBe(digits);
  for (const person of [ada, fox]) await person.press('compare-matches');
  for (const person of [ada, fox]) {
    await person.sees('encryption-state', { state: 'verified' });
    await person.sees('key-holder', { trust: 'verified' }, 2);
  }
});

test('who comes later gets the chat so far, and is marked as new since the comparison', async ({
  people,
}) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('later', ada, ben);
  for (const person of [ada, ben]) await person.sees('encryption-state', { state: 'e2e' });
  await ada.press('encryption-state');
  await ada.press('compare');
  await ada.press('compare-matches');
  await ada.sees('encryption-state', { state: 'verified' });
  await ada.press('toggle-chat');
  await ada.write('first');
  await ada.write('second');

  const cem = await people.chromium('Cem');
  await cem.join(link);
  await cem.press('toggle-chat');
  await expect.poll(() => cem.texts()).toEqual(['first', 'second']);
  await ada.sees('tile', { name: 'Cem', trust: 'new' });
  await ada.sees('tile', { name: 'Ben', trust: 'verified' });
  await cem.seesAndHears(ada);
  await ada.seesAndHears(cem);
});

test('with another secret one is told so, and gets nothing', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = new URL(await people.meet('wrong-secret', ada, ben));
  await ada.seesAndHears(ben);
  link.hash = fragmentOf(newSecret((count) => randomBytes(count)));

  const cem = await people.chromium('Cem');
  await cem.window.open(link.href);
  await cem.window.fill(testId('prejoin-name'), 'Cem');
  await cem.press('prejoin-join');
  await cem.sees('error-message', { code: 'other-link' });
  await cem.sees('tile', {}, 0);
  const received = await cem.received('video');
  expect(received.framesDecoded).toBe(0);
  await until('the others to be among themselves', async () => (await ada.count('tile')) === 2);
  await ada.sees('encryption-state', { state: 'e2e' });
});
