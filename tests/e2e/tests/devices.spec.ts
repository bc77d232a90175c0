/** Devices that are refused, missing, in use, pulled out or plugged in: what the page says, and that people go on. */
import en from '../../../web/locales/en.json' with { type: 'json' };
import { expect, test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import { installPlugs } from '../src/plugs.ts';
import type { ChromiumWindow } from '../src/window.ts';

/** Chromium's names of its fake microphones. */
const [SYSTEM, OWN] = ['Fake Default Audio Input', 'Fake Audio Input 1'];

type Somebody = Person<ChromiumWindow>;

/** Waits until the toast says this. */
async function isTold(person: Somebody, tone: 'toast' | 'error-message', words: string): Promise<void> {
  await expect(person.window.page.locator(testId(tone))).toHaveText(words);
}

/** A warning that somebody has read. */
async function closeToast(person: Somebody): Promise<void> {
  await person.window.page.keyboard.press('F6');
  await person.window.page.keyboard.press('Escape');
  await person.sees('error-message', {}, 0);
}

async function joinWithout(person: Somebody): Promise<void> {
  await person.joinFromPrejoin();
  await person.sees('tile', { local: 'true', muted: 'true', video: 'false' });
}

test('camera and microphone are refused, and allowed later', async ({ people, server }) => {
  const ben = await people.chromium('Ben');
  const link = await people.meet('refused', ben);
  const ada = await people.chromium('Ada', { devices: 'refused' });
  const allow = (...permissions: string[]) =>
    ada.window.page.context().grantPermissions(permissions, { origin: server.origin });

  await ada.window.open(link);
  await ada.sees('error-message', { code: 'denied' });
  await joinWithout(ada);
  await ben.sees('tile', { name: 'Ada', muted: 'true', video: 'false' });
  await ada.seesAndHears(ben);
  await ada.press('toggle-mic');
  await isTold(ada, 'error-message', en['device.microphone-denied']);
  await allow('camera', 'microphone');
  await ada.press('toggle-mic');
  await ada.press('toggle-camera');
  await ben.seesAndHears(ada);
  await ada.press('leave');

  // Allowed while the page before the meeting says how.
  await ada.window.page.context().clearPermissions();
  await ada.window.page.context().grantPermissions([]);
  await ada.window.page.reload();
  await ada.sees('error-message', { code: 'denied' });
  await allow('camera', 'microphone');
  await ada.press('device-retry');
  await ada.sees('prejoin-preview');
  await ada.sees('error-message', { code: 'denied' }, 0);
  await ada.joinFromPrejoin();
  await ben.seesAndHears(ada);
});

test('there is neither camera nor microphone', async ({ people }) => {
  const ben = await people.chromium('Ben');
  const link = await people.meet('none', ben);
  const ada = await people.chromium('Ada', { devices: 'none' });
  await ada.window.open(link);
  await ada.sees('camera-problem', { code: 'camera-missing' });
  await ada.sees('error-message', { code: 'microphone-missing' });
  await joinWithout(ada);
  await ada.seesAndHears(ben);
  await ada.press('toggle-camera');
  await isTold(ada, 'error-message', en['device.camera-missing']);
  await ada.press('toggle-chat');
  await ada.window.fill(testId('chat-input'), 'I have no camera');
  await ada.press('chat-send');
  await expect.poll(() => ben.attribute('toggle-chat', 'data-unread')).toBe('1');
});

test('another program has the camera, until it is closed', async ({ people }) => {
  const ben = await people.chromium('Ben');
  const link = await people.meet('busy', ben);
  const ada = await people.chromium('Ada');
  await ada.window.page.addInitScript(installPlugs);
  await ada.window.page.addInitScript(() => (window.plugs.busy = true));
  const busy = (is: boolean) => ada.window.evaluate((value) => void (window.plugs.busy = value), is);

  await ada.window.open(link);
  await ada.sees('camera-problem', { code: 'camera-busy' });
  await busy(false);
  await ada.press('device-retry');
  await ada.sees('prejoin-preview');
  await ada.window.page.reload();
  await ada.sees('camera-problem', { code: 'camera-busy' });
  await ada.joinFromPrejoin();
  await ada.sees('tile', { local: 'true', muted: 'false', video: 'false' });
  await ben.hears(ada);
  await ada.press('toggle-camera');
  await isTold(ada, 'error-message', en['device.camera-busy']);
  await ada.sees('tile', { local: 'true', muted: 'false', video: 'false' });
  await busy(false);
  await ada.press('toggle-camera');
  await ben.seesAndHears(ada);
});

test('devices are pulled out and plugged in during the meeting', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await ada.window.page.addInitScript(installPlugs);
  await people.meet('plugs', ada, ben);
  await ben.seesAndHears(ada);
  const inUse = (kind: 'audioinput' | 'videoinput') =>
    ada.window.evaluate((which) => window.plugs.inUse(which), kind);
  const pull = (device: Parameters<Window['plugs']['pull']>[0]) =>
    ada.window.evaluate((which) => window.plugs.pull(which), device);
  const plug = (label: string) => ada.window.evaluate((which) => window.plugs.plug(which), label);

  await ada.press('devices-mic');
  await ada.window.page.getByRole('radio', { name: OWN, exact: true }).check();
  await expect.poll(() => inUse('audioinput')).toBe(OWN);
  await ada.window.page.keyboard.press('Escape');

  // The system's microphone takes over.
  await pull({ label: OWN });
  await isTold(ada, 'toast', en['device.now-microphone'].replace('{device}', SYSTEM));
  expect(await inUse('audioinput')).toBe(SYSTEM);
  await ada.sees('tile', { local: 'true', muted: 'false' });
  await ben.seesAndHears(ada);

  // None is left: everybody sees it, and the camera goes on.
  await pull({ kind: 'audioinput' });
  await isTold(ada, 'error-message', en['device.microphone-missing']);
  await ben.sees('tile', { name: 'Ada', muted: 'true' });
  await ben.seesPictureOf(ada);
  await closeToast(ada);

  await plug(OWN);
  await isTold(ada, 'toast', en['device.plugged'].replace('{devices}', OWN));
  await ada.press('toggle-mic');
  await ben.sees('tile', { name: 'Ada', muted: 'false' });
  await ben.hears(ada);

  const camera = (await inUse('videoinput'))!;
  await pull({ kind: 'videoinput' });
  await isTold(ada, 'error-message', en['device.camera-missing']);
  await ben.sees('tile', { name: 'Ada', video: 'false' });
  await ben.hears(ada);
  await plug(camera);
  await ada.press('toggle-camera');
  await ben.seesAndHears(ada);
});
