/** What hosts say is obeyed by everybody's keys, also where the server forgets it. */
import { expect, test } from '../src/meeting.ts';
import { forgetLost, testId, type Person } from '../src/person.ts';
import { until } from '../src/until.ts';

/** Tries to get in, and is told why not. */
async function refused(person: Person, link: string, code: string): Promise<void> {
  // The same address again would leave the page as it is.
  await person.window.open('about:blank');
  await person.window.open(link);
  await person.window.fill(testId('prejoin-name'), person.name);
  await person.press('prejoin-join');
  await person.sees('error-message', { code });
  await person.sees('tile', {}, 0);
}

test('a locked meeting outlives the server, and lets nobody else in', async ({ people, server }) => {
  const [ada, ben, cem] = await Promise.all([
    people.chromium('Ada'),
    people.chromium('Ben'),
    people.chromium('Cem'),
  ]);
  const link = people.invitation('locked');
  const crowd = await people.crowd(link);
  // Who comes first is host.
  const host = await crowd.join('Host', { audio: true });
  await ada.join(link);
  await ben.join(link);
  await ada.seesAndHears(ben);
  await crowd.host(host, 'lock');
  await refused(cem, link, 'locked');

  const lost = ada.sees('connection-state', { state: 'reconnecting' });
  await server.restart('SIGKILL');
  await lost;
  for (const person of [ada, ben]) {
    await person.sees('connection-state', { state: 'connected' });
    await person.sees('encryption-state', { state: 'e2e' });
  }
  await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
  await refused(cem, link, 'locked');
  await ada.sees('tile', { name: 'Cem' }, 0);
  for (const person of [ada, ben, cem]) forgetLost(person);
});

test('who does not know the password is told so, and it disturbs nobody', async ({ people }) => {
  const [ada, cem] = [await people.chromium('Ada'), await people.chromium('Cem')];
  const link = people.invitation('password');
  const crowd = await people.crowd(link);
  const host = await crowd.join('Host', { audio: true });
  await ada.join(link);
  await ada.sees('tile', { name: 'Host' });
  await crowd.host(host, 'password', 'open sesame');
  await refused(cem, link, 'password');
  await ada.sees('tile', { name: 'Cem' }, 0);
  await ada.sees('encryption-state', { state: 'e2e' });
  await crowd.host(host, 'no-password');
  await cem.window.open('about:blank');
  await cem.join(link);
  await Promise.all([cem.seesAndHears(ada), ada.seesAndHears(cem)]);
});

test('who is thrown out gets nothing more, and the link is another one for those who stay', async ({
  people,
}) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = people.invitation('kicked');
  const crowd = await people.crowd(link);
  const host = await crowd.join('Host', { audio: true });
  await ada.join(link);
  await ben.join(link);
  await ada.seesAndHears(ben);

  await crowd.host(host, 'kick', await ada.identityOf('Ben'));
  await ben.sees('error-message', { code: 'removed' });
  await ben.sees('tile', {}, 0);
  await ada.sees('tile', { name: 'Ben' }, 0);
  const fresh = await until('another link', async () => {
    const now = await ada.link();
    return now === link ? null : now;
  });
  expect(new URL(fresh).pathname).toBe(new URL(link).pathname);
  await ada.sees('encryption-state', { state: 'e2e' });

  // By the old link nobody comes in any more, by the new one everybody.
  const cem = await people.chromium('Cem');
  await refused(cem, link, 'other-link');
  await cem.join(fresh);
  await Promise.all([cem.seesAndHears(ada), ada.seesAndHears(cem)]);
});

test('who loads the page while somebody is thrown out is told the new link', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = people.invitation('kicked-meanwhile');
  const crowd = await people.crowd(link);
  const host = await crowd.join('Host', { audio: true });
  const guest = await crowd.join('Cem');
  await ada.join(link);
  await ben.join(link);
  await ada.seesAndHears(ben);

  await ada.window.open('about:blank');
  await crowd.host(host, 'kick', guest);
  const fresh = await until('another link', async () => {
    const now = await ben.link();
    return now === link ? null : now;
  });
  await ada.join(link);
  await Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
  expect(await ada.link()).toBe(fresh);
});
