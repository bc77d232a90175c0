import { expect, test } from '../src/meeting.ts';
import { flashAndBeep } from '../src/media.ts';
import { fold, waitForLipSync } from '../src/sync.ts';
import { until } from '../src/until.ts';

test('flash and beep stay together on their way', async ({ people }) => {
  test.setTimeout(150_000);
  const ada = await people.chromium('Ada', { media: flashAndBeep() });
  const ben = await people.chromium('Ben');
  await people.meet('sync', ada, ben);
  await until('picture and sound', async () => (await ben.picture(ada)) && (await ben.tone(ada)));
  // What the receiver makes of the translated sender reports.
  await waitForLipSync(ben.window);
  const skew = () => ben.window.evaluate(() => window.probe.playoutSkew(), undefined);
  await expect
    .poll(async () => Math.abs((await skew()) ?? Infinity), { message: 'estimated playout', timeout: 30_000 })
    .toBeLessThan(40);

  // What a person would notice. The fake devices begin at different moments, so the sender is measured as well.
  await ada.watchSync(ada);
  await ben.watchSync(ada);
  // On a busy machine a moment's measure is worth little; media that are apart stay apart (tests/harness.spec.ts).
  await expect
    .poll(
      async () => {
        const [sent, arrived] = await Promise.all([ada.lipSync(ada), ben.lipSync(ada)]);
        return Math.abs(fold(arrived - sent));
      },
      { message: 'beep after flash: received less sent, in ms', timeout: 45_000 },
    )
    .toBeLessThan(80);
});
