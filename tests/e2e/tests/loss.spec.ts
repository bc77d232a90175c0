/**
 * Lost packets are repaired. Runs inside a network namespace of its own (scripts/alone), where nftables drops one in
 * ten packets on the way from the server once the meeting stands.
 */
import { execFileSync } from 'node:child_process';
import { expect, test } from '../src/meeting.ts';
import type { Person } from '../src/person.ts';
import { until } from '../src/until.ts';

const PERCENT = 10;

function nft(...statement: string[]): void {
  if (!process.env.KONKLAVE_ALONE) throw new Error('this test drops packets; run it with scripts/alone');
  execFileSync('nft', statement, { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
}

/** Drops a share of what the server sends by UDP, until it is called off. */
function dropFromServer(port: number): () => void {
  nft('add', 'table', 'inet', 'loss');
  nft('add chain inet loss out { type filter hook output priority 0 ; }');
  nft(`add rule inet loss out udp sport ${port} numgen random mod 100 < ${PERCENT} counter drop`);
  return () => nft('delete', 'table', 'inet', 'loss');
}

async function isRepaired(receiver: Person, sender: Person, port: number): Promise<void> {
  await receiver.seesAndHears(sender);
  const before = await receiver.received('video');
  const restore = dropFromServer(port);
  try {
    await until(
      `${receiver.name} to receive retransmissions`,
      async () => {
        const now = await receiver.received('video');
        const asked = now.nackCount - before.nackCount;
        const repaired = now.retransmittedPacketsReceived - before.retransmittedPacketsReceived;
        return asked >= 10 && repaired >= 20;
      },
      { timeout: 40_000 },
    );
    await receiver.seesAndHears(sender);
  } finally {
    restore();
  }
  const after = await receiver.received('video');
  // Without repair nearly every frame of several packets would be broken at this loss, and the picture stand still.
  expect(after.framesDecoded - before.framesDecoded).toBeGreaterThan(30);
}

test('RTX repairs lost packets in Chromium', async ({ people, server }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('loss', ada, ben);
  await isRepaired(ben, ada, server.port);
});

test('RTX repairs lost packets in Firefox', async ({ people, server }) => {
  const [ada, fox] = [await people.chromium('Ada'), await people.firefox('Fox')];
  await people.meet('loss-fox', ada, fox);
  await isRepaired(fox, ada, server.port);
});
