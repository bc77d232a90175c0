/** What is on the stage: pinned, hidden, moved, turned; and only what is drawn is received, at the size of its tile. */
import { SignalRequest } from '../../../web/node_modules/@livekit/protocol/dist/index.mjs';
import { violations } from '../src/axe.ts';
import { expect, test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import type { ChromiumWindow } from '../src/window.ts';

type Wish = 'nothing' | `${number}×${number}`;

/** What the page asks the server to send of each picture, the newest word on each. */
function wishes({ page }: ChromiumWindow): Map<string, Wish> {
  const wished = new Map<string, Wish>();
  page.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => {
      if (typeof payload === 'string') return;
      const { message } = SignalRequest.fromBinary(new Uint8Array(payload));
      if (message.case !== 'trackSetting') return;
      const { trackSids, disabled, width, height } = message.value;
      for (const sid of trackSids) wished.set(sid, disabled ? 'nothing' : `${width}×${height}`);
    }),
  );
  return wished;
}

/** Size of somebody's picture in pixels of the screen. */
function size(person: Person<ChromiumWindow>, name: string): Promise<string> {
  return person.window.evaluate(
    (selector) => {
      const video = document.querySelector(selector);
      const [width, height] = [video?.clientWidth ?? 0, video?.clientHeight ?? 0];
      return [width, height].map((side) => Math.ceil(side * devicePixelRatio)).join('×');
    },
    `${testId('tile', { name })} video`,
  );
}

test('the stage', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const { page } = ada.window;
  const wished = wishes(ada.window);
  const crowd = await people.crowd(await people.meet('stage', ada));
  await page.setViewportSize({ width: 390, height: 844 });
  await crowd.join('Ben', { video: true });
  for (const name of ['Cem', 'Dana', 'Eva', 'Finn', 'Gül', 'Hana', 'Ida']) await crowd.join(name);
  await crowd.join('Jo', { video: true });
  await ada.sees('tile', {}, 8);

  await test.step('of a picture on another page nothing is received', async () => {
    await expect.poll(() => ada.attribute('pages', 'data-pages')).toBe('2');
    await ada.sees('tile', { name: 'Ben', video: 'true' });
    const large = await size(ada, 'Ben');
    await expect.poll(() => [...wished.values()].sort()).toEqual([large, 'nothing'].sort());
  });

  await test.step('and on that page nothing of the first', async () => {
    await page.keyboard.press('PageDown');
    await ada.sees('tile', { name: 'Jo', video: 'true' });
    await ada.sees('tile', { name: 'Ben' }, 0);
    const large = await size(ada, 'Jo');
    await expect.poll(() => [...wished.values()].sort()).toEqual([large, 'nothing'].sort());
    await page.keyboard.press('PageUp');
    await ada.sees('tile', { name: 'Ben', video: 'true' });
  });

  await page.setViewportSize({ width: 1280, height: 800 });
  await ada.sees('tile', {}, 10);

  await test.step('somebody pinned is large, and received at that size', async () => {
    await page.locator(`${testId('tile', { name: 'Ben' })} ${testId('tile-pin')}`).focus();
    await page.keyboard.press('Enter');
    await ada.sees('tile', { name: 'Ben', place: 'large', pinned: 'true' });
    const large = await size(ada, 'Ben');
    await expect.poll(() => [...wished.values()]).toContain(large);
    expect(await violations(ada.window)).toEqual([]);
    await page.keyboard.press('Enter');
    await ada.sees('tile', { place: 'large' }, 0);
  });

  await test.step('the view changes by key', async () => {
    await page.keyboard.press('l');
    await ada.sees('layout-choice', { layout: 'speaker' });
    await ada.sees('tile', { place: 'large' });
    await page.keyboard.press('l');
    await ada.sees('tile', { place: 'large' }, 0);
  });

  await test.step('one’s own picture goes and comes back', async () => {
    await page.locator(testId('own-view-hide')).focus();
    await page.keyboard.press('Enter');
    await ada.sees('tile', { local: 'true' }, 0);
    await ada.press('toggle-more');
    await ada.press('own-view-show');
    await ada.sees('tile', { local: 'true' });
  });
});

test('one’s own picture moves to another corner', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const { page } = ada.window;
  const crowd = await people.crowd(await people.meet('corner', ada));
  await crowd.join('Ben');
  await ada.sees('tile', { local: 'true', place: 'floating' });
  const own = page.locator(testId('tile', { local: 'true' }));
  const move = page.locator(testId('own-view-move'));
  const corner = (value: string) => expect(move).toHaveAttribute('data-corner', value);
  await corner('bottom-right');

  await test.step('by keyboard', async () => {
    await move.focus();
    await page.keyboard.press('ArrowUp');
    await corner('top-right');
    await page.keyboard.press('Enter');
    await corner('bottom-right');
  });

  await test.step('by mouse, and stays there', async () => {
    const from = await own.boundingBox();
    if (!from) throw new Error('not drawn');
    await page.mouse.move(from.x + 20, from.y + 60);
    await page.mouse.down();
    await page.mouse.move(150, 150, { steps: 4 });
    await page.mouse.up();
    await corner('top-left');
    const to = await own.boundingBox();
    expect(to?.x).toBeLessThan(40);
  });
});
