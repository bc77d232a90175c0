/** How long it takes a browser to get the keys, by the size of the meeting. */
import { keep, spread } from '../src/bench.ts';
import { test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';

const MEMBERS = [5, 50, 100, 199];
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
