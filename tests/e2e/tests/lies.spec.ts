/** Pictures that a server could put in the place of somebody's: nothing of them is shown. */
import { expect, test } from '../src/meeting.ts';
import type { Person } from '../src/person.ts';
import { until } from '../src/until.ts';

/** Waits until so many more packets of pictures have come. */
async function packets(person: Person, count: number): Promise<void> {
  const { packetsReceived } = await person.received('video');
  await until(`${count} packets of pictures`, async () => {
    return (await person.received('video')).packetsReceived >= packetsReceived + count;
  });
}

const decoded = async (person: Person) => (await person.received('video')).framesDecoded;

/** While packets come and come, no picture does. */
async function nothingIsShown(person: Person, what: string): Promise<void> {
  // What was honest and on its way arrives first.
  await packets(person, 15);
  const before = await decoded(person);
  await packets(person, 45);
  expect(await decoded(person), what).toBe(before);
}

async function isShown(person: Person): Promise<void> {
  const before = await decoded(person);
  await until('pictures to go on', async () => (await decoded(person)) >= before + 15);
}

test('pictures that are not sealed, or came before, are not shown', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const crowd = await people.crowd(await people.meet('lies', ada));
  const ben = await crowd.join('Ben', { video: true });
  await ada.sees('tile', { identity: ben, name: 'Ben', video: 'true', unreadable: 'false' });
  await isShown(ada);

  await crowd.lie(ben, 'plain');
  await ada.sees('tile', { identity: ben, unreadable: 'true' });
  await ada.sees('encryption-state', { state: 'unreadable' });
  await nothingIsShown(ada, 'unsealed');
  await crowd.lie(ben, 'none');
  await ada.sees('tile', { identity: ben, unreadable: 'false' });
  await isShown(ada);

  // Repetitions are normal on bad lines, so they alarm nobody.
  await crowd.lie(ben, 'replay');
  await nothingIsShown(ada, 'of the same key');
  await ada.sees('tile', { identity: ben, unreadable: 'false' });
  await crowd.lie(ben, 'none');
  await isShown(ada);

  // Whoever comes brings new keys.
  await crowd.join('Cem');
  await ada.sees('tile', { name: 'Cem' });
  await crowd.lie(ben, 'old');
  await nothingIsShown(ada, 'of the key before');
  await crowd.lie(ben, 'none');
  await isShown(ada);
  await ada.sees('encryption-state', { state: 'e2e' });
});
