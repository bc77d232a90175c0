/**
 * A line that fails, changes, is narrow or lossy: pictures, sound and chat are there again afterwards, by themselves.
 * Runs inside a network namespace of its own (scripts/alone). Prints the longest freeze of each phase, seen from both
 * ends.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { test } from '../src/meeting.ts';
import { Line, NEAR } from '../src/line.ts';
import { Network } from '../src/network.ts';
import { forgetLost, type Person } from '../src/person.ts';
import { until } from '../src/until.ts';

/** Own addresses of the candidate pairs that carry media. */
function addresses(person: Person): Promise<string[]> {
  return person.window.evaluate(async () => {
    const found: string[] = [];
    for (const connection of window.probe.connections) {
      const report = await connection.getStats();
      report.forEach((stat: { type: string; selectedCandidatePairId?: string }) => {
        if (stat.type !== 'transport') return;
        const pair = report.get(stat.selectedCandidatePairId ?? '') as
          { localCandidateId: string } | undefined;
        const local = report.get(pair?.localCandidateId ?? '') as { address?: string } | undefined;
        if (local?.address) found.push(local.address);
      });
    }
    return found;
  }, undefined);
}

test('a bad line', async ({ people, server }) => {
  const line = await Line.lay();
  const network = await Network.to(server, NEAR);
  try {
    const ada = await people.chromium('Ada');
    const ben = await people.chromium('Ben', { executable: line.chromium(), trusted: network.origin });
    const link = await people.meet('outage', ada);
    // As after the question that people answer: only then does Chromium look at the addresses of interfaces.
    await ben.window.page.context().grantPermissions(['camera', 'microphone'], { origin: network.origin });
    await ben.join(link.replace(server.origin, network.origin));
    const bothSeeAndHear = () => Promise.all([ada.seesAndHears(ben), ben.seesAndHears(ada)]);
    await bothSeeAndHear();
    const ends = [
      [ada, ben],
      [ben, ada],
    ] as const;
    const freezes = () =>
      Promise.all(
        ends.map(([one, other]) =>
          one.window.evaluate((video) => window.probe.longestFreeze(video), one.video(other)),
        ),
      );
    await freezes();
    await ada.press('toggle-chat');
    await ben.press('toggle-chat');

    let written = 0;
    /** What is written while the line is bad is read once, and so is the answer. */
    const phase = async (name: string, during: () => Promise<void>, after: () => void) => {
      await test.step(name, async () => {
        const began = performance.now();
        await during();
        await ada.write(`${name}?`);
        after();
        await bothSeeAndHear();
        await ben.sees('connection-state', { state: 'connected' });
        await ben.write(`${name}!`);
        written += 1;
        for (const [one] of ends) {
          await one.sees('chat-message', { own: 'false' }, written);
          await one.sees('chat-message', { own: 'true' }, written);
        }
        const [near, far] = (await freezes()).map(Math.round);
        const took = Math.round(performance.now() - began);
        console.log(
          `${name}: ${took} ms in all; longest freeze at the near end ${near} ms, at the far end ${far} ms`,
        );
      });
    };

    await phase(
      'the line is down for 3 s',
      async () => {
        line.down();
        await pause(3_000);
      },
      () => line.up(),
    );
    await phase(
      'another address',
      async () => {
        line.readdress();
        await until('media by the new address', async () => (await addresses(ben)).includes(line.address));
      },
      () => undefined,
    );
    await phase(
      'one packet in ten is lost',
      async () => {
        line.lose(10);
        await bothSeeAndHear();
      },
      () => line.loseNothing(),
    );
    await phase(
      '150 kbit/s',
      async () => {
        line.narrow(150);
        // Sound has precedence over pictures.
        await Promise.all(ends.map(([one, other]) => one.hears(other)));
        await pause(10_000);
        await Promise.all(ends.map(([one, other]) => one.hears(other)));
      },
      () => line.widen(),
    );
    // By now the group would have removed whoever's channel did not come back by the new address.
    await phase(
      'the line is dead for 15 s, and nobody is told',
      async () => {
        line.lose(100);
        await pause(15_000);
      },
      () => line.loseNothing(),
    );
    forgetLost(ben);
    await people.goodbye(ben, network.origin);
  } finally {
    network.close();
    await line.remove();
  }
});
