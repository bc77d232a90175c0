/**
 * Every screen at a desk and on a phone, in light and dark: axe finds nothing, nothing is wider than the screen, and
 * a picture is left in target/screens for people to look at.
 */
import { join, resolve } from 'node:path';
import { expect, test } from '../src/meeting.ts';
import { violations } from '../src/axe.ts';
import type { Person } from '../src/person.ts';
import type { ChromiumWindow } from '../src/window.ts';

const folder = resolve(import.meta.dirname, '../../../target/screens');
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
const THEMES = ['light', 'dark'] as const;

/** Both themes and both sizes, for pages that leave axe little of the machine. */
const ENOUGH = ['light-desktop', 'dark-phone'];

/** Looks at what somebody sees now; axe in every view, or in those given. */
async function look(person: Person<ChromiumWindow>, screen: string, axeIn?: string[]): Promise<void> {
  const { page } = person.window;
  for (const [device, size] of Object.entries(SIZES)) {
    await page.setViewportSize(size);
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const view = `${colorScheme}-${device}`;
      const name = `${screen}-${view}`;
      await page.screenshot({ path: join(folder, `${name}.png`) });
      if (axeIn?.includes(view) ?? true) expect(await violations(person.window), name).toEqual([]);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(wide, `${name}: wider than the screen`).toBeLessThanOrEqual(0);
    }
  }
  await page.setViewportSize(SIZES.desktop);
}

test('every screen that one person sees', async ({ people, server }) => {
  test.setTimeout(180_000);
  const ada = await people.chromium('Ada');
  await ada.window.open(`${server.origin}/`);
  await ada.sees('start-room');
  await look(ada, 'start');
  await ada.window.fill('[data-testid="start-room"]', 'screens');
  await ada.press('start-submit');
  await ada.sees('prejoin-name');
  await ada.window.page.waitForFunction(() => (document.querySelector('video')?.videoWidth ?? 0) > 0);
  await look(ada, 'prejoin');
  await ada.joinFromPrejoin();
  await ada.sees('alone-copy-invite');
  await look(ada, 'alone');
  await ada.press('toggle-people');
  await ada.sees('person');
  await look(ada, 'people');
  await ada.press('toggle-people');
  await ada.press('toggle-chat');
  await ada.sees('chat-input');
  await look(ada, 'chat');
  await ada.press('leave');
  await ada.sees('left-rejoin');
  await look(ada, 'left');
});

test('a meeting of four', async ({ people }) => {
  test.setTimeout(300_000);
  const ada = await people.chromium('Ada');
  const others = [await people.chromium('Ben'), await people.chromium('Cem'), await people.chromium('Dana')];
  await people.meet('screens-4', ada, ...others);
  await ada.sees('tile', {}, 4);
  for (const other of others) await ada.seesPictureOf(other);
  await look(ada, 'meeting-4', ENOUGH);
});
