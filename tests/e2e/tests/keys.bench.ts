/**
 * What keys and frames cost in browsers: the session in a page of its own, by the size of the meeting, and how long a
 * newcomer to a meeting on a server waits for the keys; how long a picture stands still while they change.
 */
import type {} from '../../../web/tests/e2ee/media/page/costs.ts';
import { keep, spread } from '../src/bench.ts';
import { serveLoopback } from '../src/loopback.ts';
import { test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import { freezes } from '../src/rotation.ts';
import { openChromium, openFirefox } from '../src/window.ts';

/** The guest of each measurement is the last of them. */
const SIZES = [5, 50, 100, 200];
const REPEATED = 7;

/** More of them would measure their own work: they are all on this machine. */
const MEMBERS = [5, 50, 100];
const ROUNDS = 3;

interface Times {
  /** From the click on "join" to the connection. */
  connected: number;
  /** From there to the lock that says "end-to-end encrypted". */
  keys: number;
}

/** Joins from the page before the meeting. */
function joining(person: Person): Promise<Times> {
  return person.window.evaluate(
    ([button, connection, lock]) =>
      new Promise<Times>((done) => {
        const begin = performance.now();
        let connected = 0;
        document.querySelector<HTMLButtonElement>(button)!.click();
        const look = () => {
          if (!connected && document.querySelector(connection)) connected = performance.now();
          if (connected && document.querySelector(lock)) {
            done({ connected: connected - begin, keys: performance.now() - connected });
          } else setTimeout(look, 5);
        };
        look();
      }),
    [
      testId('prejoin-join'),
      testId('connection-state', { state: 'connected' }),
      testId('encryption-state', { state: 'e2e' }),
    ] as [string, string, string],
  );
}

test('keys of a newcomer', async ({ people }) => {
  const link = people.invitation('bench-keys');
  const crowd = await people.crowd(link);
  const rows = [];
  let here = 0;
  for (const members of MEMBERS) {
    const joined = Array.from({ length: members - here }, (_, index) => crowd.join(`Member ${here + index}`));
    await Promise.all(joined);
    here = members;
    for (const engine of ['chromium', 'firefox'] as const) {
      const times: Times[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const person = await (engine === 'chromium' ? people.chromium('Ada') : people.firefox('Fox'));
        await person.window.open(link);
        await person.window.fill(testId('prejoin-name'), person.name);
        times.push(await joining(person));
        await person.press('leave');
        await people.goodbye(person);
      }
      const [connected, keys] = [
        spread(times.map((time) => time.connected)),
        spread(times.map((time) => time.keys)),
      ];
      rows.push({ members, engine, unit: 'ms', connected, keys });
      console.log(
        `${engine}, ${members} members: connected after ${connected.median} ms, keys ${keys.median} ms later`,
      );
    }
  }
  keep('keys-browser', { rounds: ROUNDS, rows });
});

test('keys and frames in the page', async () => {
  const page = await serveLoopback();
  const keys = [];
  const frames = [];
  try {
    for (const engine of ['chromium', 'firefox'] as const) {
      const window = await (engine === 'chromium' ? openChromium() : openFirefox());
      try {
        await window.open(`${page.address}costs.html`);
        const measured = await window.evaluate(
          ([sizes, rounds]) => globalThis.window.costs.keys(sizes, rounds),
          [SIZES, REPEATED] as [number[], number],
        );
        console.log(`${engine}: ms by members (medians of ${REPEATED}), bytes`);
        for (const { joining, folding, committing, ...sizes } of measured) {
          const [join, fold, commit] = [spread(joining), spread(folding), spread(committing)];
          keys.push({ engine, ...sizes, join_ms: join, fold_ms: fold, commit_ms: commit });
          console.log(
            `  ${sizes.members} members: join ${join.median}, fold ${fold.median}, commit ${commit.median}; ` +
              `base ${sizes.base}, join ${sizes.join}, commit ${sizes.commit}`,
          );
        }
        for (const cost of await window.evaluate(
          (rounds) => globalThis.window.costs.frames(rounds),
          REPEATED,
        )) {
          const [sealing, opening, floor] = [spread(cost.sealing), spread(cost.opening), spread(cost.floor)];
          frames.push({
            engine,
            frame: cost.frame,
            bytes: cost.bytes,
            seal_us: sealing,
            open_us: opening,
            floor_us: floor,
          });
          const ratio = (time: { median: number }) => (time.median / floor.median).toFixed(2);
          console.log(
            `  ${cost.frame} (${cost.bytes} bytes): seal ${sealing.median} µs, open ${opening.median} µs, ` +
              `floor ${floor.median} µs; ratios ${ratio(sealing)} and ${ratio(opening)}`,
          );
        }
      } finally {
        await window.close();
      }
    }
  } finally {
    await page.close();
  }
  keep('keys-page', { rounds: REPEATED, keys, frames });
});

test('a picture while keys change', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('bench-rotation', ada, ben);
  await ben.seesAndHears(ada);
  const crowd = await people.crowd(link);
  const all = [];
  for (let round = 0; round < REPEATED; round++) all.push(await freezes(ben, ada, crowd));
  const quiet = spread(all.map((each) => each.quiet));
  const changing = spread(all.map((each) => each.changing));
  keep('rotation', { rounds: REPEATED, unit: 'ms', quiet, changing });
  console.log(
    `longest freeze in 10 s, ms: median ${quiet.median} (${quiet.min} to ${quiet.max}); ` +
      `while keys changed ${changing.median} (${changing.min} to ${changing.max})`,
  );
});
