/**
 * Lost packets are repaired by retransmission (RFC 4588). Runs inside a network namespace of its own (scripts/alone),
 * where nftables drops one in ten of the receiver's video packets once the meeting stands; then the retransmissions
 * as well. If the first phase looked like the second, nothing would have been repaired.
 */
import { execFileSync } from 'node:child_process';
import { expect, test } from '../src/meeting.ts';
import type { Person } from '../src/person.ts';
import { until } from '../src/until.ts';

const PERCENT = 10;
/** Dropped packets in each phase. */
const DROPS = 30;

function nft(...statement: string[]): string {
  if (!process.env.KONKLAVE_ALONE) throw new Error('this test drops packets; run it with scripts/alone');
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  return execFileSync('nft', statement, { env, encoding: 'utf8' });
}

/** Payload types by which the receiver gets video, and its retransmissions. */
interface PayloadTypes {
  media: number;
  rtx: number;
}

function payloadTypes(receiver: Person): Promise<PayloadTypes> {
  return receiver.window.evaluate(async () => {
    const connection = window.probe.connections.findLast((one) => one.connectionState === 'connected')!;
    const report = await connection.getStats();
    let media: number | undefined;
    report.forEach((stat: { type: string; kind?: string; codecId?: string }) => {
      if (stat.type === 'inbound-rtp' && stat.kind === 'video') {
        media = (report.get(stat.codecId ?? '') as { payloadType: number }).payloadType;
      }
    });
    const rtx = new RegExp(`a=fmtp:(\\d+) apt=${media}\\b`).exec(connection.remoteDescription!.sdp)?.[1];
    if (media === undefined || rtx === undefined)
      throw new Error('no video with retransmission is negotiated');
    return { media, rtx: Number(rtx) };
  }, undefined);
}

/** Drops a share of the media that the server sends, and, when told so, all retransmissions. */
function drop(port: number, { media, rtx }: PayloadTypes, dropRtx: boolean): void {
  nft('add table inet loss');
  nft('add counter inet loss media');
  nft('add counter inet loss rtx');
  nft('add chain inet loss out { type filter hook output priority 0 ; }');
  // 72 bits into the datagram: the second byte of the RTP header, whose upper bit is the marker.
  const isType = (type: number) => `udp sport ${port} @th,72,8 & 0x7f == ${type}`;
  nft(`add rule inet loss out ${isType(rtx)} counter name rtx ${dropRtx ? 'drop' : 'accept'}`);
  nft(`add rule inet loss out ${isType(media)} numgen random mod 100 < ${PERCENT} counter name media drop`);
}

function counted(name: 'media' | 'rtx'): number {
  return Number(/packets (\d+)/.exec(nft('list', 'counter', 'inet', 'loss', name))?.[1]);
}

/** Frames of the largest layer that the sender has encoded. */
function encoded(sender: Person): Promise<number> {
  return sender.window.evaluate(async () => {
    let most = 0;
    for (const connection of window.probe.connections) {
      const report = await connection.getStats();
      report.forEach((stat: { type: string; kind?: string; framesEncoded?: number }) => {
        if (stat.type === 'outbound-rtp' && stat.kind === 'video')
          most = Math.max(most, stat.framesEncoded ?? 0);
      });
    }
    return most;
  }, undefined);
}

/** What happened while DROPS packets were dropped. */
async function phase(receiver: Person, sender: Person, port: number, dropRtx: boolean) {
  const [before, encodedBefore] = [await receiver.received('video'), await encoded(sender)];
  drop(port, await payloadTypes(receiver), dropRtx);
  try {
    await until(`${DROPS} dropped packets`, () => counted('media') >= DROPS, { timeout: 90_000 });
    const [after, encodedAfter] = [await receiver.received('video'), await encoded(sender)];
    return {
      dropped: counted('media'),
      retransmissionsSent: counted('rtx'),
      nacks: after.nackCount - before.nackCount,
      keyFrames: after.keyFramesDecoded - before.keyFramesDecoded,
      recognised: after.retransmittedPacketsReceived - before.retransmittedPacketsReceived,
      /** Share of the frames that were shown. */
      shown: (after.framesDecoded - before.framesDecoded) / (encodedAfter - encodedBefore),
    };
  } finally {
    nft('delete table inet loss');
  }
}

async function isRepaired(receiver: Person, sender: Person, port: number) {
  await receiver.seesAndHears(sender);
  const repaired = await phase(receiver, sender, port, false);
  const report = JSON.stringify(repaired);
  expect(repaired.nacks, report).toBeGreaterThan(0);
  // A part of what is dropped is the other direction, where the payload types are the same.
  expect(repaired.retransmissionsSent, report).toBeGreaterThan(DROPS / 4);
  await receiver.seesAndHears(sender);
  return repaired;
}

/** The control: the same loss without retransmissions shows fewer frames. */
async function isBrokenWithout(
  receiver: Person,
  sender: Person,
  port: number,
  repaired: { shown: number },
): Promise<void> {
  const broken = await phase(receiver, sender, port, true);
  const report = JSON.stringify({ repaired, broken });
  console.log(report);
  expect(repaired.shown, report).toBeGreaterThan(broken.shown + 0.1);
}

test('RTX repairs lost packets in Chromium', async ({ people, server }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('loss', ada, ben);
  const repaired = await isRepaired(ben, ada, server.port);
  // Firefox does not count them.
  expect(repaired.recognised).toBeGreaterThan(DROPS / 8);
  await isBrokenWithout(ben, ada, server.port, repaired);
});

test('RTX repairs lost packets in Firefox', async ({ people, server }) => {
  const [ada, fox] = [await people.chromium('Ada'), await people.firefox('Fox')];
  await people.meet('loss-fox', ada, fox);
  const repaired = await isRepaired(fox, ada, server.port);
  // What is ignored would be asked for again and again.
  expect(repaired.retransmissionsSent, JSON.stringify(repaired)).toBeLessThan(repaired.dropped * 3);
  await isBrokenWithout(fox, ada, server.port, repaired);
});
