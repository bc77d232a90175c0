/**
 * Every scene of the gallery: compared with the pictures in `snapshots`, judged by axe, and looked at in windows from
 * 320 px to ultra-wide for what does not fit, in a language with long words. `make snapshots` renews the pictures.
 */
import { expect, test, type Page } from '@playwright/test';
import { SCENE_NAMES, type SceneName } from '../../../web/gallery/names.ts';
import { violationsIn } from '../src/axe.ts';
import { misfits } from '../src/fits.ts';
import { openScene, resize, serveGallery } from '../src/gallery.ts';

const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
const SIZES = [
  DESKTOP,
  PHONE,
  { width: 320, height: 568 },
  { width: 844, height: 390 },
  { width: 768, height: 1024 },
  { width: 1000, height: 700 },
  // 1440×900 at 200 % zoom.
  { width: 720, height: 450 },
  { width: 2560, height: 1080 },
  { width: 3440, height: 1440 },
];
type Size = (typeof SIZES)[number];

/**
 * The same text rasterised on another machine differs by a shade at the edges of letters, which the threshold lets
 * pass; a colour that changes or a word that moves is more pixels than this.
 */
const TOLERANCE = { maxDiffPixels: 100, threshold: 0.2 };

const VIEWS = [
  ['light', 'de'],
  ['dark', 'en'],
] as const;
const DEVICES = [
  ['desktop', DESKTOP],
  ['phone', PHONE],
] as const;
/** States of a screen that others show in all four views: two of them hold both themes, languages and sizes. */
const STATES: SceneName[] = [
  'start-elsewhere',
  'prejoin-off',
  'prejoin-no-encryption',
  'prejoin-asking',
  'prejoin-insecure',
  'prejoin-unsupported',
  'prejoin-broken-link',
  'prejoin-clear',
  'prejoin-full',
  'prejoin-no-media',
  'alone-copied',
  'meeting-2-upright',
  'meeting-5',
  'meeting-30-page-2',
  'devices-off',
  'names-hostile',
  'keyless',
  'share-many',
  'chat-hostile',
  'chat-too-long',
  'encryption',
  'encryption-verified',
  'encryption-unconfirmed',
  'encryption-differs',
  'encryption-keys',
  'encryption-late',
  'encryption-restoring',
  'encryption-unheard',
  'encryption-unreadable',
  'encryption-off',
  'clear',
  'shortcuts',
  'toast-warn',
  'copy-refused',
  'own-hidden',
  'share-own',
  'people-search',
];

/** What a person opens elsewhere on a phone, so that the scene is played anew there. */
const OTHERWISE_ON_PHONES: SceneName[] = ['devices-menu'];

async function open(page: Page, scene: SceneName, theme: string, lang: string, size: Size): Promise<void> {
  await page.setViewportSize(size);
  await openScene(page, { scene, theme, lang, plain: true });
}

async function fits(page: Page, view: string): Promise<void> {
  expect.soft(await misfits(page), view).toEqual([]);
}

test.beforeEach(async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await serveGallery(page);
});

for (const scene of SCENE_NAMES) {
  test(scene, async ({ page }) => {
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    for (const [theme, lang] of VIEWS) {
      await open(page, scene, theme, lang, DESKTOP);
      for (const [device, size] of DEVICES) {
        if (STATES.includes(scene) && (theme === 'light') !== (device === 'desktop')) continue;
        const view = `${scene}-${theme}-${lang}-${device}`;
        if (device === 'phone' && OTHERWISE_ON_PHONES.includes(scene))
          await open(page, scene, theme, lang, size);
        else await resize(page, size);
        await expect.soft(page).toHaveScreenshot(`${view}.png`, TOLERANCE);
        expect.soft(await violationsIn(page), view).toEqual([]);
      }
    }
    await open(page, scene, 'light', 'pseudo', DESKTOP);
    for (const size of SIZES) {
      await resize(page, size);
      await fits(page, `${scene} at ${size.width}×${size.height}`);
    }
    const moving = await page.evaluate(
      () => document.getAnimations().filter(({ playState }) => playState === 'running').length,
    );
    expect.soft(moving, 'moves although nothing should').toBe(0);
    expect(problems).toEqual([]);
  });
}

for (const scene of ['start', 'prejoin', 'meeting-4', 'share-chat', 'more', 'reconnecting'] as const) {
  test(`${scene} in forced colours`, async ({ page }) => {
    await page.emulateMedia({ forcedColors: 'active' });
    await open(page, scene, 'light', 'de', DESKTOP);
    await expect(page).toHaveScreenshot(`${scene}-forced-colours.png`, TOLERANCE);
  });
}
