/** A small tile gets the small layer and a large one the large, whichever codec makes the layers. */
import { expect, test } from '../src/meeting.ts';
import type { Person } from '../src/person.ts';
import type { ChromiumWindow } from '../src/window.ts';

/**
 * The web client publishes VP8 in encodings of their own. This makes the browser publish one stream with three spatial
 * layers instead, as LiveKit's clients do for these codecs; run in the page before its own scripts.
 */
function publishLayersOfOneStream(codec: string): void {
  const original = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (track, init) {
    const isCamera = (init?.sendEncodings?.length ?? 0) > 1;
    const scalable: (RTCRtpEncodingParameters & { scalabilityMode: string })[] = [
      { maxBitrate: 1_200_000, scalabilityMode: 'L3T3_KEY' },
    ];
    const transceiver = original.call(this, track, isCamera ? { ...init, sendEncodings: scalable } : init);
    if (isCamera) {
      const known = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
      const wanted = known.filter(({ mimeType }) => [codec, 'video/rtx'].includes(mimeType));
      transceiver.setCodecPreferences(wanted);
      transceiver.setCodecPreferences = () => undefined; // livekit-client prefers what it was configured for
    }
    return transceiver;
  };
}

/** Heights in pixels: of the picture as it was decoded, and of the tile, which cuts off its sides. */
function heights(viewer: Person, of: Person): Promise<{ decoded: number; shown: number }> {
  return viewer.window.evaluate((selector) => {
    const video = document.querySelector<HTMLVideoElement>(selector);
    return {
      decoded: video?.videoHeight ?? 0,
      shown: Math.ceil((video?.clientHeight ?? 0) * devicePixelRatio),
    };
  }, viewer.video(of));
}

/** Codecs of the pictures that arrive. */
function codecs(viewer: Person<ChromiumWindow>): Promise<string[]> {
  return viewer.window.evaluate(async () => {
    const found: string[] = [];
    for (const connection of window.probe.connections) {
      const report = await connection.getStats();
      report.forEach(({ type, kind, codecId }: { type: string; kind?: string; codecId?: string }) => {
        const codec = report.get(codecId ?? '') as { mimeType: string } | undefined;
        if (type === 'inbound-rtp' && kind === 'video' && codec) found.push(codec.mimeType);
      });
    }
    return found;
  }, undefined);
}

/** Heights of the layers of a camera of 640×360. */
const LAYERS = { 'video/VP8': [180, 360], 'video/VP9': [90, 180, 360], 'video/AV1': [90, 180, 360] };

for (const [mimeType, layers] of Object.entries(LAYERS)) {
  test(`the layer follows the tile: ${mimeType}`, async ({ people }) => {
    const ada = await people.chromium('Ada');
    if (mimeType !== 'video/VP8') await ada.window.page.addInitScript(publishLayersOfOneStream, mimeType);
    const ben = await people.chromium('Ben');
    const cem = await people.chromium('Cem');
    await people.meet(`layers-${mimeType.slice(6)}`, ada, ben, cem);
    const { page } = ben.window;
    await page.setViewportSize({ width: 1280, height: 900 });
    await ben.seesPictureOf(ada);
    await expect.poll(() => codecs(ben)).toContain(mimeType);
    const decoded = async (viewer: Person) => (await heights(viewer, ada)).decoded;
    await expect.poll(() => decoded(ben), { message: 'all layers' }).toBe(360);
    for (const round of [1, 2]) {
      await test.step(`small, ${round}`, async () => {
        await page.setViewportSize({ width: 360, height: 320 });
        const needed = async () => {
          const { shown } = await heights(ben, ada);
          return layers.find((height) => height >= shown);
        };
        await expect.poll(needed, { message: 'a small tile' }).toBeLessThan(360);
        await expect
          .poll(async () => (await decoded(ben)) === (await needed()), { message: 'a layer for it' })
          .toBe(true);
        await ben.seesPictureOf(ada);
        expect(await decoded(cem), 'for the other viewer nothing changes').toBe(360);
      });
      await test.step(`large, ${round}`, async () => {
        await page.setViewportSize({ width: 1280, height: 900 });
        await expect.poll(() => decoded(ben), { message: 'all layers again' }).toBe(360);
        await ben.seesPictureOf(ada);
      });
    }
  });
}
