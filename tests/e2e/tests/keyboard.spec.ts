/** A whole meeting by keyboard alone: from the start page until one is back in it, without a mouse. */
import { expect, test, type People } from '../src/meeting.ts';
import { Keyboard, PARTS } from '../src/keyboard.ts';
import { testId } from '../src/person.ts';

/** With seven others the list of people can be searched. */
const OTHERS = ['Ben', 'Cem', 'Dana', 'Eva', 'Finn', 'Gül', 'Hana'];

/** Somebody who has a keyboard, and whose clipboard can be read. */
async function keyboardUser(people: People, origin: string) {
  const ada = await people.chromium('Ada');
  const { page } = ada.window;
  await page
    .context()
    .grantPermissions(['camera', 'microphone', 'clipboard-read', 'clipboard-write'], { origin });
  await page.addInitScript(() => {
    for (const event of ['pointerdown', 'mousedown', 'touchstart'])
      addEventListener(event, () => document.documentElement.setAttribute('data-mouse', event), true);
  });
  return { ada, page, keys: new Keyboard(page) };
}

test('a whole meeting by keyboard', async ({ people, server }) => {
  const { ada, page, keys } = await keyboardUser(people, server.origin);
  const micIs = (muted: boolean) => ada.sees('tile', { local: 'true', muted: String(muted) });

  await test.step('the start page is ready for the name of a room', async () => {
    await ada.window.open(`${server.origin}/`);
    await keys.isOn('start-room');
    await keys.press('ControlOrMeta+A');
    await keys.type('keyboard');
    await keys.press('Enter');
  });

  await test.step('before the meeting: name, microphone off and on, another device', async () => {
    await keys.isOn('prejoin-name');
    await keys.to('prejoin-mic', 'Shift+Tab');
    await keys.is('prejoin-mic', 'pressed', true);
    await keys.press('Space');
    await keys.is('prejoin-mic', 'pressed', false);
    await keys.press('Enter');
    await keys.is('prejoin-mic', 'pressed', true);
    await keys.to('select');
    const chosen = () => page.evaluate(() => (document.activeElement as HTMLSelectElement).value);
    const before = await chosen();
    await keys.press('ArrowDown');
    await expect.poll(chosen).not.toBe(before);
    await keys.to('prejoin-name');
    await keys.type('Ada');
    await keys.press('Enter');
    await ada.sees('connection-state', { state: 'connected' });
    expect((await keys.focus()).on).toBe('h1');
  });

  const link = await ada.link();
  const crowd = await people.crowd(link);
  const identities: string[] = [];
  for (const name of OTHERS) identities.push(await crowd.join(name));
  await ada.sees('tile', {}, OTHERS.length + 1);

  await test.step('the microphone by key, by button, and by holding the space bar', async () => {
    await micIs(false);
    await keys.press('m');
    await micIs(true);
    await page.keyboard.down('Space');
    await micIs(false);
    await page.keyboard.up('Space');
    await micIs(true);
    await keys.use('toggle-mic');
    await micIs(false);
    await keys.press('Space');
    await micIs(true);
  });

  await test.step('another microphone in the meeting', async () => {
    await keys.use('devices-mic');
    await keys.is('devices-mic', 'expanded', true);
    const chosen = () => page.evaluate(() => (document.activeElement as HTMLInputElement).value);
    await expect.poll(async () => (await keys.focus()).on).toBe('input');
    const before = await chosen();
    await keys.press('ArrowDown');
    await expect.poll(chosen).not.toBe(before);
    await keys.press('Escape');
    await keys.isOn('devices-mic');
    await keys.is('devices-mic', 'expanded', false);
  });

  await test.step('chat: open, write, read, close', async () => {
    await crowd.say(identities[0]!, 'hello');
    await expect.poll(() => ada.attribute('toggle-chat', 'data-unread')).toBe('1');
    await keys.press('c');
    await keys.is('toggle-chat', 'expanded', true);
    await expect.poll(async () => (await keys.focus()).part).toBe('panel');
    await ada.sees('chat-message', { own: 'false' });
    await keys.to('chat-input');
    // Single keys are letters here.
    await keys.type('mcvdp? ');
    await keys.press('Enter');
    await expect(
      page.locator(`${testId('chat-message', { own: 'true' })} ${testId('chat-text')}`),
    ).toHaveText('mcvdp?');
    await keys.isOn('chat-input');
    await keys.is('toggle-people', 'expanded', false);
    await micIs(true);
    await keys.press('Escape');
    await keys.is('toggle-chat', 'expanded', false);
    await keys.isOn('devices-mic');
  });

  await test.step('the people, and a search among them', async () => {
    await keys.press('p');
    await ada.sees('person', {}, OTHERS.length + 1);
    await keys.to('people-search');
    await keys.type('gü');
    await ada.sees('person', {}, 1);
    await ada.sees('person', { name: 'Gül' });
    // Escape empties a search, or closes the panel; it does not lose the focus.
    await keys.press('ControlOrMeta+A', 'Delete');
    await ada.sees('person', {}, OTHERS.length + 1);
  });

  await test.step('the focus goes from the lock over tiles and panel to the bar', async () => {
    const round = await keys.round();
    expect(round.filter(({ visible }) => !visible)).toEqual([]);
    const parts = round.map(({ part }) => part);
    expect(parts).not.toContain(null);
    const ordered = [...parts].sort((a, b) => PARTS.indexOf(a!) - PARTS.indexOf(b!));
    expect(parts).toEqual(ordered);
    expect(new Set(parts)).toEqual(new Set(['lock', 'top', 'panel', 'bar', ...parts]));
  });

  await test.step('Escape closes what lies on top, and only that', async () => {
    await keys.use('toggle-more');
    await keys.is('toggle-more', 'expanded', true);
    await keys.press('Escape');
    await keys.is('toggle-more', 'expanded', false);
    await keys.isOn('toggle-more');
    await keys.is('toggle-people', 'expanded', true);
    await keys.press('?');
    await ada.sees('option-shortcuts');
    await keys.press('Escape');
    await ada.sees('option-shortcuts', {}, 0);
    await keys.isOn('toggle-more');
    await keys.is('toggle-people', 'expanded', true);
    await keys.press('Escape');
    await keys.is('toggle-people', 'expanded', false);
    await keys.isOn('toggle-more');
  });

  await test.step('the invitation is copied, and the toast can be reached and closed', async () => {
    await keys.use('copy-invite');
    await ada.sees('toast');
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(link);
    await keys.press('F6');
    await expect.poll(() => page.evaluate(() => document.activeElement?.role)).toBe('group');
    expect((await keys.focus()).visible).toBe(true);
    await keys.press('Escape');
    await ada.sees('toast', {}, 0);
    await keys.isOn('copy-invite');
  });

  await test.step('the screen is shared and taken back', async () => {
    await keys.press('d');
    await ada.sees('sharing');
    await keys.isOn('copy-invite');
    await keys.press('d');
    await ada.sees('sharing', {}, 0);
  });

  await test.step('single keys can be switched off', async () => {
    await keys.press('?');
    await keys.use('option-shortcuts', 'Space');
    await keys.is('option-shortcuts', 'checked', false);
    await keys.press('Escape', 'c', 'p', '?');
    await ada.sees('option-shortcuts', {}, 0);
    await keys.is('toggle-chat', 'expanded', false);
    await keys.is('toggle-people', 'expanded', false);
    await keys.isOn('copy-invite');
  });

  await test.step('leave, and join again', async () => {
    await keys.use('leave');
    await ada.sees('left-rejoin');
    expect((await keys.focus()).on).toBe('h1');
    await keys.use('left-rejoin');
    await ada.sees('connection-state', { state: 'connected' });
    await ada.sees('tile', {}, OTHERS.length + 1);
    await expect.poll(async () => (await keys.focus()).on).toBe('h1');
    await micIs(true);
  });

  expect(await page.evaluate(() => document.documentElement.getAttribute('data-mouse'))).toBe(null);
});
