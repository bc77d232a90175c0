/** Keys change while people come and go, lines break and pages are loaded again: nobody notices. */
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from '../src/meeting.ts';
import { Network } from '../src/network.ts';
import { forgetLost, testId, type Person } from '../src/person.ts';
import { freezes } from '../src/rotation.ts';
import { until } from '../src/until.ts';

/** What a change of keys may add to the longest time without a new frame, in ms. */
const FREEZE_MS = 300;
const ROUNDS = 3;

test('people come and go, and pictures do not stop', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('rotation', ada, ben);
  await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
  const crowd = await people.crowd(link);
  // What else runs on the machine stops pictures too, but not each time; keys that come too late would.
  let added = Infinity;
  for (let round = 0; round < ROUNDS && added > FREEZE_MS; round++) {
    const { quiet, changing } = await freezes(ben, ada, crowd);
    console.log(`longest freeze: ${quiet.toFixed(0)} ms, ${changing.toFixed(0)} ms while keys changed`);
    added = changing - quiet;
  }
  expect(added).toBeLessThanOrEqual(FREEZE_MS);
  await ben.seesAndHears(ada);
});

test('who was away while somebody came catches up', async ({ people, server }) => {
  const network = await Network.to(server);
  try {
    const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
    const link = await people.meet('away', ada);
    await ben.join(link.replace(server.origin, network.origin));
    await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
    const crowd = await people.crowd(link);
    network.cut();
    await ben.sees('connection-state', { state: 'reconnecting' });
    await crowd.join('Cem', { video: true });
    await ada.sees('tile', { name: 'Cem', trust: 'keys' });
    await pause(3000);
    network.mend();
    await ben.sees('connection-state', { state: 'connected' });
    await ben.sees('tile', { name: 'Cem', trust: 'keys' });
    await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
    for (const person of [ada, ben]) {
      await person.sees('tile', { unreadable: 'true' }, 0);
      await person.sees('encryption-state', { state: 'e2e' });
    }
    forgetLost(ben);
    await people.goodbye(ben, network.origin);
  } finally {
    network.close();
  }
});

test('who loads the page again comes back as the same person, and has the chat', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('reload', ada, ben);
  await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
  const identity = (person: Person, of: Person) =>
    person.window.evaluate(
      (selector) => document.querySelector(selector)?.getAttribute('data-identity'),
      testId('tile', { name: of.name }),
    );
  const before = await identity(ada, ben);
  await ben.press('toggle-chat');
  await ben.window.fill(testId('chat-input'), 'before the reload');
  await ben.press('chat-send');
  await ada.press('toggle-chat');
  await ada.sees('chat-message', { own: 'false' });

  await ben.window.page.reload();
  await ben.sees('prejoin-name');
  // Until the server has noticed that the page is gone, its identity is taken; the page tries again by itself.
  await ben.joinFromPrejoin();
  await ben.press('toggle-chat');
  await ben.sees('chat-message', {});
  await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
  await until('one Ben to be there', async () => (await ada.count('tile', { name: 'Ben' })) === 1);
  expect(await identity(ada, ben)).toBe(before);
  for (const person of [ada, ben]) await person.sees('encryption-state', { state: 'e2e' });
});
