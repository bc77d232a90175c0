import { expect, LOOKS, test } from '../src/meeting.ts';
import { testId } from '../src/person.ts';
import { until } from '../src/until.ts';

test('two people see and hear each other', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('two', ada, ben);
  await ada.sees('tile', {}, 2);
  await ada.seesAndHears(ben);
  await ben.seesAndHears(ada);
  for (const person of [ada, ben]) await person.sees('encryption-state', { state: 'e2e' });
});

test('three people see and hear each other', async ({ people }) => {
  test.setTimeout(180_000);
  const all = [await people.chromium('Ada'), await people.chromium('Ben'), await people.chromium('Cem')];
  await people.meet('three', ...all);
  for (const one of all) {
    for (const other of all) if (other !== one) await one.seesAndHears(other);
  }
});

test('one Firefox with one Chromium', async ({ people }) => {
  const [ada, fox] = [await people.chromium('Ada'), await people.firefox('Fox')];
  await people.meet('engines', ada, fox);
  await fox.seesAndHears(ada);
  await ada.seesAndHears(fox);
});

test('muting and camera off reach the others, and back on', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('mute', ada, ben);
  await ben.seesAndHears(ada);

  await ada.press('toggle-mic');
  await ben.sees('tile', { name: 'Ada', muted: 'true' });
  await until('silence', async () => {
    const tone = await ben.tone(ada);
    return tone === null || tone.db < -80;
  });
  await ada.press('toggle-camera');
  await ben.sees('tile', { name: 'Ada', video: 'false' });

  await ada.press('toggle-mic');
  await ada.press('toggle-camera');
  await ben.sees('tile', { name: 'Ada', muted: 'false', video: 'true' });
  await ben.seesAndHears(ada);
});

test('a picture is attached once, whatever happens in the meeting', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('calm', ada, ben);
  await ada.seesPictureOf(ben);
  // An element that is emptied shows nothing until its next frame. The count is gone with the element.
  const emptied = () =>
    ada.window.evaluate((selector) => {
      const video = document.querySelector<HTMLVideoElement>(selector);
      if (video && !video.dataset.emptied) {
        video.dataset.emptied = '0';
        video.addEventListener('emptied', () => {
          video.dataset.emptied = String(Number(video.dataset.emptied) + 1);
        });
        return 'watched';
      }
      return video?.dataset.emptied;
    }, ada.video(ben));
  expect(await emptied()).toBe('watched');
  for (const muted of ['true', 'false', 'true', 'false', 'true', 'false']) {
    await ben.press('toggle-mic');
    await ada.sees('tile', { name: 'Ben', muted });
  }
  await ben.press('toggle-chat');
  await ben.window.fill(testId('chat-input'), 'hello');
  await ben.press('chat-send');
  await expect.poll(() => ada.attribute('toggle-chat', 'data-unread')).toBe('1');
  expect(await emptied()).toBe('0');
});

test('chat reaches everybody, and each message once', async ({ people }) => {
  const all = [await people.chromium('Ada'), await people.chromium('Ben'), await people.chromium('Cem')];
  const [ada, ben, cem] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0]];
  await people.meet('chat', ...all);
  await ada.sees('tile', {}, 3);
  await ben.sees('tile', {}, 3);

  const text = 'Grüße <b>& „Zeichen“</b> 🗝';
  await ben.press('toggle-chat');
  await ben.window.fill('[data-testid="chat-input"]', text);
  await ben.press('chat-send');
  for (const reader of [ada, cem]) {
    await expect.poll(() => reader.attribute('toggle-chat', 'data-unread')).toBe('1');
    await reader.press('toggle-chat');
    await reader.sees('chat-message', { own: 'false' });
    const shown = await reader.window.evaluate(
      () => document.querySelector('[data-testid="chat-text"]')?.textContent?.trim(),
      undefined,
    );
    expect(shown).toBe(text);
  }
  await ben.sees('chat-message', { own: 'true' });
});

test('a shared screen arrives beside the camera, and goes', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('share', ada, ben);
  await ben.seesPictureOf(ada);
  await ada.press('toggle-share');
  await ben.sees('tile', { name: 'Ada', source: 'screen_share' });
  // The fake screen is 1920×1080, sent in two layers, the camera 640×360.
  const first = await until('the screen', () => ben.picture(ada, 'screen_share'), { timeout: 30_000 });
  expect(first.counter).toBe(null);
  expect(first.width).toBeGreaterThanOrEqual(960);
  await ben.seesPictureOf(ada);
  await ada.press('toggle-share');
  await ben.sees('tile', { name: 'Ada', source: 'screen_share' }, 0);
  await ben.seesPictureOf(ada);
});

test('who leaves is gone, and comes back', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('rejoin', ada, ben);
  await ada.seesAndHears(ben);
  await ben.press('leave');
  await ada.sees('tile', { name: 'Ben' }, 0);
  await ada.sees('tile', { name: 'Ada' });
  await ben.press('left-rejoin');
  await ben.sees('connection-state', { state: 'connected' });
  await ada.sees('tile', { name: 'Ben' });
  await ada.seesAndHears(ben);
  await ben.seesAndHears(ada);
  await ada.sees('remote-audio', { source: 'microphone' });
});

test('rooms of the same people do not mix', async ({ people }) => {
  test.setTimeout(180_000);
  const all = [
    await people.chromium('Ada'),
    await people.chromium('Ben'),
    await people.chromium('Cem'),
    await people.chromium('Dana'),
  ] as const;
  const [ada, ben, cem, dana] = all;
  await people.meet('east', ada, ben);
  await people.meet('west', cem, dana);
  for (const [one, other] of [
    [ada, ben],
    [cem, dana],
  ] as const) {
    await one.seesAndHears(other);
    await other.seesAndHears(one);
    await one.sees('tile', {}, 2);
    await other.sees('tile', {}, 2);
  }
  expect(Object.keys(LOOKS)).toHaveLength(all.length);
});
