/**
 * The measuring instruments themselves: two peer connections in one page, no server of ours. If these fail, the
 * scenarios' verdicts mean nothing.
 */
import { createServer, type Server as HttpServer } from 'node:http';
import { once } from 'node:events';
import { test as base, expect } from '@playwright/test';
import { flashAndBeep, lookFiles } from '../src/media.ts';
import { LOOKS } from '../src/meeting.ts';
import { nearest } from '../src/person.ts';
import { fold, measureSync, waitForLipSync } from '../src/sync.ts';
import { until } from '../src/until.ts';
import { openChromium, openFirefox, type Window } from '../src/window.ts';

/**
 * Sends camera and microphone to itself, in one stream, which the receiver keeps in step; or, with `?delay=MS`, in two
 * that have nothing to do with each other, with the picture held back.
 */
const PAGE = `<!doctype html><title>loop</title><video id=own muted autoplay></video><video id=far muted autoplay></video>
<audio id=sound autoplay></audio><script>
(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
  own.srcObject = stream;
  const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()];
  a.onicecandidate = (e) => e.candidate && b.addIceCandidate(e.candidate);
  b.onicecandidate = (e) => e.candidate && a.addIceCandidate(e.candidate);
  const delay = Number(new URLSearchParams(location.search).get('delay'));
  b.ontrack = ({ track, receiver }) => {
    (track.kind === 'video' ? far : sound).srcObject = new MediaStream([track]);
    if (delay && track.kind === 'video') receiver.jitterBufferTarget = delay;
  };
  for (const track of stream.getTracks()) a.addTrack(track, delay ? new MediaStream([track]) : stream);
  await a.setLocalDescription();
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription();
  await a.setRemoteDescription(b.localDescription);
})();
</script>`;

type Open = (opening: Promise<Window>) => Promise<Window>;

/** Opens the page above in a window that is closed after the test. */
const test = base.extend<{ open: Open }, { address: string }>({
  address: [
    async ({}, use) => {
      const server: HttpServer = createServer((_, response) =>
        response.setHeader('content-type', 'text/html').end(PAGE),
      );
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      await use(`http://localhost:${(server.address() as { port: number }).port}/`);
      server.closeAllConnections();
      server.close();
    },
    { scope: 'worker' },
  ],
  open: async ({}, use) => {
    const windows: Window[] = [];
    await use(async (opening) => {
      const page = await opening;
      windows.push(page);
      return page;
    });
    await Promise.all(windows.map((page) => page.close()));
  },
});

const picture = (page: Window) => page.evaluate(() => window.probe.picture('#far'), undefined);

test('counter, colour and tone are read back in Chromium', async ({ open, address }) => {
  const page = await open(openChromium({ media: lookFiles(LOOKS.Cem) }));
  await page.open(address);
  const first = await until('a readable frame', async () => {
    const seen = await picture(page);
    return seen?.counter != null ? seen : undefined;
  });
  expect(nearest(first.rgb)).toBe('blue');
  await expect.poll(async () => (await picture(page))?.counter).not.toBe(first.counter);
  const hz = async () => (await page.evaluate(() => window.probe.tone('#sound'), undefined))?.hz ?? 0;
  await expect.poll(async () => Math.abs((await hz()) - LOOKS.Cem.tone)).toBeLessThan(10);
  expect(
    (await page.evaluate(() => window.probe.received('video'), undefined)).framesDecoded,
  ).toBeGreaterThan(0);
});

test('picture, tone and statistics are read back in Firefox', async ({ open, address }) => {
  const page = await open(openFirefox());
  await page.open(address);
  const first = await until('a frame', () => picture(page));
  expect(first.counter).toBe(null);
  await expect.poll(async () => String((await picture(page))?.rgb)).not.toBe(String(first.rgb));
  const frames = async () =>
    (await page.evaluate(() => window.probe.received('video'), undefined)).framesDecoded;
  await expect.poll(frames).toBeGreaterThan(5);
  const db = async () => (await page.evaluate(() => window.probe.tone('#sound'), undefined))?.db ?? -Infinity;
  await expect.poll(db).toBeGreaterThan(-60);
});

/** How much later than at the sender the picture comes at the receiver, measured against the sound, in ms. */
async function lateness(page: Window): Promise<number> {
  await page.evaluate(() => window.probe.watch('own', '#own', null), undefined);
  await page.evaluate(() => window.probe.watch('far', '#far', '#sound'), undefined);
  return fold((await measureSync(page, 'own')) - (await measureSync(page, 'far')));
}

test('flash and beep that travel together are measured as together', async ({ open, address }) => {
  const page = await open(openChromium({ media: flashAndBeep() }));
  await page.open(address);
  await waitForLipSync(page);
  // One measure on a busy machine was seen at 91 ms; what is apart stays apart, as the next test shows.
  await expect.poll(async () => Math.abs(await lateness(page)), { timeout: 60_000 }).toBeLessThan(80);
});

test('a picture held back by 400 ms is measured as late', async ({ open, address }) => {
  const page = await open(openChromium({ media: flashAndBeep() }));
  await page.open(`${address}?delay=400`);
  await until('sound and picture', () =>
    page.evaluate(() => {
      const far = document.querySelector<HTMLVideoElement>('#far')!;
      return far.videoWidth > 0 && document.querySelector<HTMLAudioElement>('#sound')!.srcObject !== null;
    }, undefined),
  );
  // Without lip sync the sound has a delay of its own, so this is no exact figure.
  expect(await lateness(page)).toBeGreaterThan(200);
});
