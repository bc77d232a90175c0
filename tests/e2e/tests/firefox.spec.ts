/** The main path in Firefox: from the start page through a meeting with Chromium to its end. */
import { expect, test } from '../src/meeting.ts';
import { until } from '../src/until.ts';

test('a meeting in Firefox, from its start to its end', async ({ people, server }) => {
  const [fox, ada] = [await people.firefox('Fox'), await people.chromium('Ada')];
  await people.meet('firefox', fox, ada);
  expect(await fox.link()).toMatch(new RegExp(`^${server.origin}/firefox#1`));
  await fox.seesAndHears(ada);
  await ada.seesAndHears(fox);

  for (const person of [fox, ada]) await person.press('toggle-chat');
  await ada.write('hello Fox');
  await expect.poll(() => fox.texts()).toEqual(['hello Fox']);
  await fox.write('hello Ada');
  await expect.poll(() => ada.texts()).toEqual(['hello Fox', 'hello Ada']);
  for (const person of [fox, ada]) await person.press('toggle-chat');

  await fox.press('toggle-mic');
  await ada.sees('tile', { name: 'Fox', muted: 'true' });
  await fox.press('toggle-mic');
  await ada.sees('tile', { name: 'Fox', muted: 'false' });
  await ada.hears(fox);

  await ada.press('toggle-share');
  await fox.sees('tile', { name: 'Ada', source: 'screen_share' });
  const screen = await until('the screen', () => fox.picture(ada, 'screen_share'), { timeout: 30_000 });
  expect(screen.width).toBeGreaterThanOrEqual(960);
  await ada.press('toggle-share');
  await fox.sees('tile', { source: 'screen_share' }, 0);

  await fox.press('leave');
  await fox.sees('left-rejoin');
  await ada.sees('tile', { name: 'Fox' }, 0);
  await ada.sees('tile', {}, 1);
});
