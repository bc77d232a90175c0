/** Sealed media through our server, with the library in between: what is sealed at one end is seen at the other. */
import { randomBytes } from 'node:crypto';
import { test as base, expect } from '@playwright/test';
import type { Admission, Meeting } from '../../../web/tests/e2ee/media/page/meeting.ts';
import type { Told } from '../../../web/tests/e2ee/media/page/told.ts';
import { Crowd } from '../src/crowd.ts';
import { serveLoopback } from '../src/loopback.ts';
import { lookFiles } from '../src/media.ts';
import { invitation, LOOKS } from '../src/meeting.ts';
import { expectNoise } from '../src/noise.ts';
import { nearest } from '../src/person.ts';
import { Server } from '../src/server.ts';
import { until } from '../src/until.ts';
import { openChromium, openFirefox, type Window } from '../src/window.ts';

interface Hall {
  /** Where the page is. */
  address: string;
  server: Server;
}

type Enter = (room: string, ...windows: Promise<Window>[]) => Promise<Window[]>;

/** Everybody knows everybody's leaf, and nobody has a key yet. */
const test = base.extend<{ enter: Enter }, { hall: Hall }>({
  hall: [
    async ({}, use) => {
      const server = await Server.start();
      const page = await serveLoopback(server.origin);
      await use({ address: `${page.address}meeting.html`, server });
      await page.close();
      await server.stop();
    },
    { scope: 'worker' },
  ],
  enter: async ({ hall }, use) => {
    const open: Window[] = [];
    await use(async (room, ...windows) => {
      open.push(...(await Promise.all(windows)));
      const identities = open.map(() => identity());
      const leaves = Object.fromEntries(identities.map((name, leaf) => [name, leaf]));
      for (const [leaf, page] of open.entries()) {
        const admission = await admit(hall.server, room, identities[leaf]!);
        await page.open(hall.address);
        await page.evaluate((what) => window.meeting.join(what), { ...admission, leaf, leaves });
      }
      return open;
    });
    for (const page of open) {
      expect(await page.evaluate(() => window.probe.violations, undefined)).toEqual([]);
      await page.close();
    }
  },
});

function identity(): string {
  const digits = '0123456789abcdefghjkmnpqrstvwxyz';
  return [...randomBytes(26)].map((byte) => digits[byte % 32]).join('');
}

async function admit(
  server: Server,
  room: string,
  identity: string,
): Promise<Pick<Admission, 'url' | 'token'>> {
  const answer = await fetch(`${server.origin}/api/v1/rooms/${room}/join`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ identity }),
  });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Pick<Admission, 'url' | 'token'>;
}

function tell(page: Window, ...messages: Told[]): Promise<void> {
  return page.evaluate((told) => window.meeting.tell(...told), messages);
}

const KEYS: Told = { type: 'keys', epoch: 5, seed: 5 };
const SEND: Told = { type: 'send', epoch: 5 };

const publish = (page: Window, codec: Parameters<Meeting['publish']>[0] = 'vp8') =>
  page.evaluate((name) => window.meeting.publish(name), codec);

/** Waits until a picture in the colour of Ada's camera moves. */
async function seesAda(page: Window): Promise<void> {
  const counter = async () => {
    const seen = await page.evaluate(() => window.probe.picture('#far'), undefined);
    return seen && nearest(seen.rgb) === LOOKS.Ada.colour ? seen.counter : null;
  };
  const first = await until('Ada’s picture', async () => (await counter()) ?? undefined, { timeout: 30_000 });
  await until('it to move', async () => {
    const next = await counter();
    return next !== null && next !== first;
  });
}

const SOUND = '[data-testid=remote-audio][data-source=microphone]';
const tone = (page: Window) => page.evaluate((sound) => window.probe.tone(sound), SOUND);
const decoded = async (page: Window) =>
  (await page.evaluate(() => window.probe.received('video'), undefined)).framesDecoded;

const kindOf = (stream: string) => stream.split(' ')[1];

/** Why frames did not open of streams that do. */
async function refusals(page: Window): Promise<string[]> {
  const reports = await page.evaluate(() => window.meeting.reports(), undefined);
  return reports.flatMap((report) =>
    report.type === 'opened' && report.opened > 0 ? Object.keys(report.refused) : [],
  );
}

/** Codecs of the pictures that were decoded. */
const codecs = (page: Window) =>
  page.evaluate(async () => {
    const found = new Set<string>();
    for (const connection of window.probe.connections) {
      const report = await connection.getStats();
      report.forEach((entry: { type: string; kind?: string; codecId?: string; framesDecoded?: number }) => {
        const codec = report.get(entry.codecId ?? '') as { mimeType: string } | undefined;
        if (entry.type === 'inbound-rtp' && entry.kind === 'video' && entry.framesDecoded && codec)
          found.add(codec.mimeType);
      });
    }
    return [...found];
  }, undefined);

const ada = () => openChromium({ media: lookFiles(LOOKS.Ada) });
const ben = () => openChromium({ media: lookFiles(LOOKS.Ben) });

for (const codec of ['vp8', 'vp9', 'av1', 'h264'] as const) {
  test(`${codec} in layers, sound and a screen arrive sealed`, async ({ enter, hall }) => {
    const [from, to] = (await enter(`sealed-${codec}`, ada(), ben())) as [Window, Window];
    for (const page of [from, to]) await tell(page, KEYS, SEND);
    await publish(from, codec);
    await seesAda(to);
    expect(await codecs(to)).toEqual([`video/${codec.toUpperCase()}`]);
    await expect.poll(async () => Math.abs(((await tone(to))?.hz ?? 0) - LOOKS.Ada.tone)).toBeLessThan(10);
    if (codec === 'vp8') {
      await from.evaluate(() => window.meeting.share(), undefined);
      await until('the screen', () => to.evaluate(() => window.probe.picture('#screen'), undefined));
    }
    const streams = async () =>
      (await to.evaluate(() => window.meeting.open(), undefined)).map(kindOf).sort();
    const expected = ['camera', 'microphone', ...(codec === 'vp8' ? ['screen', 'screen-sound'] : [])];
    await expect.poll(streams).toEqual(expected);
    const refused = await refusals(to);
    expect(refused.filter((reason) => !['replayed', 'foreign'].includes(reason))).toEqual([]);
    const crowd = await Crowd.of(invitation(hall.server, `sealed-${codec}`));
    try {
      expectNoise(await crowd.packets(250), [`video/${codec.toUpperCase()}`]);
    } finally {
      await crowd.end();
    }
  });
}

test('Firefox and Chromium understand one another', async ({ enter }) => {
  const [from, fox] = (await enter('sealed-firefox', ada(), openFirefox())) as [Window, Window];
  for (const page of [from, fox]) {
    await tell(page, KEYS, SEND);
    await publish(page);
  }
  await seesAda(fox);
  const first = await until('the fox', () => from.evaluate(() => window.probe.picture('#far'), undefined));
  await until('the fox to move', async () => {
    const next = await from.evaluate(() => window.probe.picture('#far'), undefined);
    return String(next?.rgb) !== String(first.rgb);
  });
  await expect.poll(async () => (await tone(from))?.db ?? -Infinity).toBeGreaterThan(-60);
});

test('who has no key sees and hears nothing, and nothing leaves without one', async ({ enter }) => {
  const [from, to] = (await enter('sealed-without', ada(), ben())) as [Window, Window];
  await publish(from);
  await new Promise((done) => setTimeout(done, 2000));
  const packets = async () =>
    (await to.evaluate(() => window.probe.received('audio'), undefined)).packetsReceived +
    (await to.evaluate(() => window.probe.received('video'), undefined)).packetsReceived;
  expect(await packets()).toBe(0);
  await tell(from, KEYS, SEND);
  await expect.poll(packets).toBeGreaterThan(50);
  expect(await decoded(to)).toBe(0);
  await tell(to, KEYS);
  await seesAda(to);
});
