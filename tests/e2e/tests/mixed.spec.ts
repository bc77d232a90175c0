/** Chromium, Firefox and two Python participants in one room: everybody gets everybody's picture and sound. */
import { expect, LOOKS, test } from '../src/meeting.ts';
import { nearest, testId, type Person } from '../src/person.ts';
import type { Tone } from '../src/probe.ts';
import { PythonParticipant } from '../src/python.ts';
import { until } from '../src/until.ts';

const PYTHONS = {
  'python-1': { colour: 'yellow', tone: 1300 },
  'python-2': { colour: 'blue', tone: 1700 },
} as const;
/** Encoders and decoders of four share the machine. */
const PATIENCE = { timeout: 40_000 };
type PythonName = keyof typeof PYTHONS;

async function getsPython(person: Person, identity: PythonName): Promise<void> {
  const { colour, tone } = PYTHONS[identity];
  const video = `${testId('tile', { identity, source: 'camera' })} video`;
  await until(
    `${person.name} to see ${identity}`,
    async () => {
      const picture = await person.window.evaluate((selector) => window.probe.picture(selector), video);
      return picture && nearest(picture.rgb) === colour;
    },
    PATIENCE,
  );
  const audio = testId('remote-audio', { identity });
  let heard: Tone | null = null;
  await until(
    `${person.name} to hear ${identity}`,
    async () => {
      heard = await person.window.evaluate((selector) => window.probe.tone(selector), audio);
      return heard !== null && heard.db > -60 && Math.abs(heard.hz - tone) <= 10;
    },
    PATIENCE,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}; tone: ${JSON.stringify(heard)}`);
  });
}

async function identityOf(person: Person): Promise<string> {
  const own = await person.window.evaluate(
    (selector) => document.querySelector(selector)?.getAttribute('data-identity') ?? null,
    testId('tile', { local: 'true', source: 'camera' }),
  );
  expect(own, `${person.name}'s identity`).not.toBeNull();
  return own!;
}

test('Chromium, Firefox and two Python participants all get each other', async ({ people, server }) => {
  test.setTimeout(240_000);
  const [ada, fox] = [await people.chromium('Ada'), await people.firefox('Fox')];
  await people.meet('mixed-four', ada, fox);
  const [adaIdentity, foxIdentity] = [await identityOf(ada), await identityOf(fox)];
  const join = (identity: PythonName) =>
    PythonParticipant.join(server.origin, 'mixed-four', identity, PYTHONS[identity]);
  const pythons: PythonParticipant[] = [];
  try {
    for (const identity of Object.keys(PYTHONS) as PythonName[]) pythons.push(await join(identity));

    await ada.seesAndHears(fox);
    await fox.seesAndHears(ada);
    for (const person of [ada, fox])
      for (const identity of Object.keys(PYTHONS) as PythonName[]) await getsPython(person, identity);

    for (const python of pythons) {
      await python.notice('colour', (seen) => seen.from === adaIdentity && seen.colour === LOOKS.Ada.colour);
      await python.notice('tone', (heard) => heard.from === adaIdentity && heard.hz === LOOKS.Ada.tone);
      // Firefox's own fake camera changes its colour; its frames and its beep are there.
      await python.notice('frames', (seen) => seen.from === foxIdentity);
      await python.notice('tone', (heard) => heard.from === foxIdentity);
      const other = python.identity === 'python-1' ? 'python-2' : 'python-1';
      await python.notice('colour', (seen) => seen.from === other && seen.colour === PYTHONS[other].colour);
      await python.notice(
        'tone',
        (heard) => heard.from === other && Math.abs(heard.hz - PYTHONS[other].tone) <= 10,
      );
    }
  } finally {
    for (const python of pythons) await python.leave();
  }
});
