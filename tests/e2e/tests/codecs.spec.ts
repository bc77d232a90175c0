/** One track in two codecs: whoever cannot take the better one gets the other, and nobody encodes for nobody. */
import { expect, LOOKS, test } from '../src/meeting.ts';
import { nearest, testId, type Person } from '../src/person.ts';
import { encodes, lookAway, lookOn, publishCamera } from '../src/publisher.ts';
import { until } from '../src/until.ts';
import type { ChromiumWindow } from '../src/window.ts';

/** Makes the browser receive nothing but VP8; run in the page before its own scripts. */
function takeVp8Only(): void {
  const original = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (track, init) {
    const transceiver = original.call(this, track, init);
    if (track === 'video' && init?.direction === 'recvonly') {
      const known = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
      transceiver.setCodecPreferences(
        known.filter(({ mimeType }) => ['video/VP8', 'video/rtx'].includes(mimeType)),
      );
    }
    return transceiver;
  };
}

const ADA = `${testId('tile', { identity: 'Ada', source: 'camera' })} video`;

/** The codec in which Ada's picture arrives. */
function codecOfAda(viewer: Person<ChromiumWindow>): Promise<string | null> {
  return viewer.window.evaluate(async (selector) => {
    const video = document.querySelector<HTMLVideoElement>(selector);
    const id = (video?.srcObject as MediaStream | null)?.getVideoTracks()[0]?.id;
    for (const connection of window.probe.connections) {
      const report = await connection.getStats();
      let found: string | null = null;
      report.forEach((entry: { type: string; trackIdentifier?: string; codecId?: string }) => {
        if (entry.type !== 'inbound-rtp' || entry.trackIdentifier !== id) return;
        const codec = report.get(entry.codecId ?? '') as { mimeType: string } | undefined;
        found = codec?.mimeType ?? null;
      });
      if (found) return found;
    }
    return null;
  }, ADA);
}

/** Waits until Ada's picture is there in her colour, and moves. */
async function seesAda(viewer: Person<ChromiumWindow>): Promise<void> {
  const counter = async () => {
    const picture = await viewer.window.evaluate((selector) => window.probe.picture(selector), ADA);
    return picture && nearest(picture.rgb) === LOOKS.Ada.colour ? picture.counter : null;
  };
  const first = await until(`${viewer.name} to see Ada`, counter, { timeout: 30_000 });
  await until(`${viewer.name} to see Ada move`, async () => {
    const next = await counter();
    return next !== null && next !== first;
  });
}

for (const policy of ['SIMULCAST', 'PREFER_REGRESSION'] as const) {
  test(`who takes VP8 only gets the backup of VP9: ${policy}`, async ({ people, server }) => {
    test.setTimeout(150_000);
    const room = `codecs-${policy.toLowerCase()}`;
    const ada = await people.chromium('Ada');
    const ben = await people.chromium('Ben');
    const cem = await people.chromium('Cem');
    await cem.window.page.addInitScript(takeVp8Only);
    await lookOn(ben, server.origin, room);
    await publishCamera(ada, server.origin, room, { first: 'vp9', backup: 'vp8', policy });
    await seesAda(ben);
    expect(await codecOfAda(ben)).toBe('video/VP9');
    expect(await encodes(ada), 'nobody needs the backup').toEqual(['video/VP9']);

    await lookOn(cem, server.origin, room);
    await seesAda(cem);
    expect(await codecOfAda(cem)).toBe('video/VP8');
    if (policy === 'SIMULCAST') {
      expect(await codecOfAda(ben)).toBe('video/VP9');
      expect(await encodes(ada)).toEqual(['video/VP8', 'video/VP9']);
    } else {
      await expect.poll(() => codecOfAda(ben)).toBe('video/VP8');
      await expect.poll(() => encodes(ada), { timeout: 20_000 }).toEqual(['video/VP8']);
    }
    await seesAda(ben);

    await lookAway(cem);
    await people.goodbye(cem);
    await expect.poll(() => encodes(ada), { timeout: 40_000 }).toEqual(['video/VP9']);
    await expect.poll(() => codecOfAda(ben)).toBe('video/VP9');
    await seesAda(ben);

    const dana = await people.chromium('Dana');
    await dana.window.page.addInitScript(takeVp8Only);
    await lookOn(dana, server.origin, room);
    await seesAda(dana);
    expect(await codecOfAda(dana)).toBe('video/VP8');
  });
}
