/**
 * Chromium, Firefox and two Python participants in one room: the browsers, which have the keys, get each other, and so do the
 * programs, which have none; between them nothing passes.
 */
import { expect, LOOKS, test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import { PythonParticipant } from '../src/python.ts';

const PYTHONS = {
  'python-1': { colour: 'yellow', tone: 1300 },
  'python-2': { colour: 'blue', tone: 1700 },
} as const;
type PythonName = keyof typeof PYTHONS;

async function identityOf(person: Person): Promise<string> {
  const own = await person.window.evaluate(
    (selector) => document.querySelector(selector)?.getAttribute('data-identity') ?? null,
    testId('tile', { local: 'true', source: 'camera' }),
  );
  expect(own, `${person.name}'s identity`).not.toBeNull();
  return own!;
}

test('two browsers and two programs get their like', async ({ people, server }) => {
  test.setTimeout(240_000);
  const [ada, fox] = [await people.chromium('Ada'), await people.firefox('Fox')];
  await people.meet('mixed-four', ada, fox);
  const adaIdentity = await identityOf(ada);
  const join = (identity: PythonName) =>
    PythonParticipant.join(server.origin, 'mixed-four', identity, PYTHONS[identity]);
  const pythons: PythonParticipant[] = [];
  try {
    for (const identity of Object.keys(PYTHONS) as PythonName[]) pythons.push(await join(identity));

    await ada.seesAndHears(fox);
    await fox.seesAndHears(ada);
    for (const person of [ada, fox])
      for (const identity of Object.keys(PYTHONS) as PythonName[])
        await person.sees('tile', { identity, name: '', trust: 'keyless' });

    for (const python of pythons) {
      const other = python.identity === 'python-1' ? 'python-2' : 'python-1';
      await python.notice('colour', (seen) => seen.from === other && seen.colour === PYTHONS[other].colour);
      await python.notice(
        'tone',
        (heard) => heard.from === other && Math.abs(heard.hz - PYTHONS[other].tone) <= 10,
      );
      // What is sealed is noise at most.
      const hz = python.notices.flatMap((seen) =>
        seen.event === 'tone' && seen.from === adaIdentity ? [seen.hz] : [],
      );
      expect(hz).not.toContain(LOOKS.Ada.tone);
    }
  } finally {
    for (const python of pythons) await python.leave();
  }
});
