/**
 * The media worker in real browsers, without our server: Ann sends to Ben, both in one page. What Ben's keys open is
 * seen and heard; nothing else is.
 */
import { test as base, expect } from '@playwright/test';
import type {} from '../../../web/tests/e2ee/media/page/main.ts';
import type { Told } from '../../../web/tests/e2ee/media/page/told.ts';
import { serveLoopback, type Loopback } from '../src/loopback.ts';
import { FRAMES, lookFiles } from '../src/media.ts';
import { LOOKS } from '../src/meeting.ts';
import { nearest } from '../src/person.ts';
import { until } from '../src/until.ts';
import { openChromium, openFirefox, type Window } from '../src/window.ts';

type Engine = 'chromium' | 'firefox';
type Open = (engine: Engine) => Promise<Window>;

/** Opens the page in a browser that is closed after the test; nothing may have been refused or reported there. */
const test = base.extend<{ open: Open }, { loopback: Loopback }>({
  loopback: [
    async ({}, use) => {
      const loopback = await serveLoopback();
      await use(loopback);
      await loopback.close();
    },
    { scope: 'worker' },
  ],
  open: async ({ loopback }, use) => {
    const windows: Window[] = [];
    await use(async (engine) => {
      const media = lookFiles(LOOKS.Cem);
      const page = await (engine === 'chromium' ? openChromium({ media }) : openFirefox());
      windows.push(page);
      await page.open(loopback.address);
      return page;
    });
    for (const page of windows) {
      expect(await page.evaluate(() => window.probe.violations, undefined)).toEqual([]);
      expect(page.log.errors).toEqual([]);
      await page.close();
    }
  },
});

const call = (page: Window, video: string, clear = false) =>
  page.evaluate((what) => window.loop.call(what), { video, clear });

function tell(page: Window, who: 'ann' | 'ben', ...messages: Told[]): Promise<void> {
  return page.evaluate(
    ([to, told]) => {
      for (const message of told) window.loop.tell(to, message);
    },
    [who, messages] as ['ann' | 'ben', Told[]],
  );
}

const keys = (epoch: number, seed = epoch): Told => ({ type: 'keys', epoch, seed });
const send = (epoch: number): Told => ({ type: 'send', epoch });

const picture = (page: Window) => page.evaluate(() => window.probe.picture('#far'), undefined);
const decoded = async (page: Window) =>
  (await page.evaluate(() => window.probe.received('video'), undefined)).framesDecoded;
const packets = (page: Window, kind: 'audio' | 'video') =>
  page.evaluate(async (which) => (await window.probe.received(which)).packetsReceived, kind);
const reported = (page: Window, kind: 'camera' | 'microphone') =>
  page.evaluate((which) => window.loop.reports[which] ?? null, kind);
const loudness = async (page: Window) =>
  (await page.evaluate(() => window.probe.tone('#sound'), undefined))?.db ?? -Infinity;

/** Why frames of a stream were not opened. Browsers repeat packets to find out how much a line carries. */
async function refused(page: Window, kind: 'camera' | 'microphone' = 'camera'): Promise<string[]> {
  const report = await reported(page, kind);
  return report?.type === 'opened'
    ? Object.keys(report.refused).filter((reason) => reason !== 'replayed')
    : [];
}

/** Waits until pictures move, in the right colour where the browser plays what we give it. */
async function sees(page: Window): Promise<void> {
  if (page.engine === 'firefox') {
    const first = await until('a picture', () => picture(page));
    await until('the picture to move', async () => String((await picture(page))?.rgb) !== String(first.rgb));
    return;
  }
  const counter = async () => {
    const seen = await picture(page);
    return seen && nearest(seen.rgb) === LOOKS.Cem.colour ? seen.counter : null;
  };
  let last = await until('a readable frame', async () => (await counter()) ?? undefined);
  let advanced = 0;
  await until('fifteen more frames', async () => {
    const next = (await counter()) ?? last;
    advanced += (next - last + FRAMES) % FRAMES;
    last = next;
    return advanced >= 15;
  });
}

async function hears(page: Window): Promise<void> {
  await expect.poll(() => loudness(page)).toBeGreaterThan(-60);
  if (page.engine === 'firefox') return;
  const hz = async () => (await page.evaluate(() => window.probe.tone('#sound'), undefined))?.hz ?? 0;
  await expect.poll(async () => Math.abs((await hz()) - LOOKS.Cem.tone)).toBeLessThan(10);
}

/** Waits until packets have come for a while, and nothing was made of them. */
async function seesNothing(page: Window): Promise<void> {
  const before = await decoded(page);
  const came = { audio: await packets(page, 'audio'), video: await packets(page, 'video') };
  await expect.poll(() => packets(page, 'video')).toBeGreaterThan(came.video + 20);
  await expect.poll(() => packets(page, 'audio')).toBeGreaterThan(came.audio + 20);
  expect(await decoded(page)).toBe(before);
}

const CODECS: Record<Engine, string[]> = {
  chromium: ['video/VP8', 'video/VP9', 'video/H264', 'video/AV1'],
  firefox: ['video/VP8', 'video/VP9'],
};

for (const engine of ['chromium', 'firefox'] as const) {
  for (const video of CODECS[engine]) {
    test(`${engine}: ${video} and Opus come through`, async ({ open }) => {
      const page = await open(engine);
      await call(page, video);
      await tell(page, 'ben', keys(1));
      await tell(page, 'ann', keys(1), send(1));
      await sees(page);
      await hears(page);
      expect(await page.evaluate(() => window.loop.codec(), undefined)).toBe(video);
      expect(await reported(page, 'camera')).toMatchObject({ state: 'opening' });
      expect(await refused(page)).toEqual([]);
      expect(await page.evaluate(() => window.loop.sent.camera, undefined)).not.toMatchObject({
        withheld: { malformed: expect.anything() as unknown },
      });
    });
  }

  test(`${engine}: nothing is sent without a key`, async ({ open }) => {
    const page = await open(engine);
    await call(page, 'video/VP8');
    const withheld = () => page.evaluate(() => window.loop.sent.camera ?? null, undefined);
    await expect.poll(withheld).toMatchObject({ type: 'sealed', sealed: 0 });
    expect(await packets(page, 'video')).toBe(0);
    expect(await packets(page, 'audio')).toBe(0);
  });

  test(`${engine}: under a wrong key nothing is decoded, under the right one all`, async ({ open }) => {
    const page = await open(engine);
    await call(page, 'video/VP8');
    await tell(page, 'ben', keys(1, 66));
    await tell(page, 'ann', keys(1), send(1));
    await seesNothing(page);
    expect(await decoded(page)).toBe(0);
    expect(await loudness(page)).toBeLessThan(-90);
    await expect.poll(() => refused(page)).toEqual(['not-authentic']);
    await expect.poll(() => refused(page, 'microphone')).toEqual(['not-authentic']);
    await tell(page, 'ben', keys(2));
    await tell(page, 'ann', keys(2), send(2));
    await sees(page);
    await hears(page);
  });

  test(`${engine}: what is sent in clear is not decoded`, async ({ open }) => {
    const page = await open(engine);
    await call(page, 'video/VP8', true);
    await tell(page, 'ben', keys(1));
    await seesNothing(page);
    expect(await decoded(page)).toBe(0);
    expect(await loudness(page)).toBeLessThan(-90);
    expect(await reported(page, 'camera')).toMatchObject({ opened: 0 });
  });

  test(`${engine}: an erased key opens nothing more`, async ({ open }) => {
    const page = await open(engine);
    await call(page, 'video/VP8');
    await tell(page, 'ben', keys(1));
    await tell(page, 'ann', keys(1), send(1));
    await sees(page);
    await tell(page, 'ben', { type: 'erase', epoch: 1 }, keys(1));
    await expect.poll(() => refused(page)).toEqual(['unknown-key']);
    // What was opened before may be on its way to the decoder.
    await new Promise((done) => setTimeout(done, 500));
    await seesNothing(page);
    await expect.poll(() => refused(page, 'microphone')).toEqual(['unknown-key']);
    await expect.poll(() => loudness(page)).toBeLessThan(-90);
    expect(await reported(page, 'camera')).toMatchObject({ state: 'failing' });
  });

  test(`${engine}: keys change without a freeze`, async ({ open }) => {
    const page = await open(engine);
    await call(page, 'video/VP8');
    await tell(page, 'ben', keys(1));
    await tell(page, 'ann', keys(1), send(1));
    await sees(page);
    const pli = async () => (await page.evaluate(() => window.probe.received('video'), undefined)).pliCount;
    const asked = await pli();
    for (let epoch = 2; epoch <= 6; epoch++) {
      await tell(page, 'ben', keys(epoch));
      await tell(page, 'ann', keys(epoch), send(epoch));
      const before = await decoded(page);
      await new Promise((done) => setTimeout(done, 600));
      expect(await decoded(page), `epoch ${epoch}`).toBeGreaterThan(before + 3);
      await tell(page, 'ben', { type: 'erase', epoch: epoch - 1 });
    }
    expect(await pli()).toBe(asked);
    expect(await refused(page)).toEqual([]);
    await sees(page);
  });

  test(`${engine}: a key that comes late costs no more than a moment`, async ({ open }) => {
    const page = await open(engine);
    await call(page, 'video/VP8');
    await tell(page, 'ben', keys(1));
    await tell(page, 'ann', keys(1), send(1));
    await sees(page);
    await tell(page, 'ann', keys(2), send(2));
    await expect.poll(() => reported(page, 'camera')).toMatchObject({ state: 'failing' });
    const before = await decoded(page);
    await tell(page, 'ben', keys(2));
    const since = Date.now();
    await expect.poll(() => decoded(page), { intervals: [50] }).toBeGreaterThan(before);
    expect(Date.now() - since).toBeLessThan(3000);
    await sees(page);
  });
}
