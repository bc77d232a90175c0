/** The pictures in docs/img, out of the gallery: `make screenshots`. Judges nothing. */
import { join, resolve } from 'node:path';
import { test } from '@playwright/test';
import type { SceneName } from '../../../web/gallery/names.ts';
import { openScene, serveGallery } from '../src/gallery.ts';

const folder = resolve(import.meta.dirname, '../../../docs/img');
const DESKTOP = { width: 1440, height: 900, scale: 1 };
const PHONE = { width: 390, height: 844, scale: 2 };
const LANDSCAPE = { width: 844, height: 390, scale: 2 };

const PICTURES: [string, SceneName, 'light' | 'dark', 'de' | 'en', typeof DESKTOP][] = [
  ['start-light-desktop', 'start', 'light', 'de', DESKTOP],
  ['start-en-dark-desktop', 'start', 'dark', 'en', DESKTOP],
  ['prejoin-light-desktop', 'prejoin', 'light', 'de', DESKTOP],
  ['prejoin-denied-dark-desktop', 'prejoin-denied', 'dark', 'de', DESKTOP],
  ['alone-light-desktop', 'alone', 'light', 'de', DESKTOP],
  ['meeting-2-dark-desktop', 'meeting-2', 'dark', 'de', DESKTOP],
  ['meeting-4-light-desktop', 'meeting-4', 'light', 'de', DESKTOP],
  ['meeting-9-dark-desktop', 'meeting-9', 'dark', 'de', DESKTOP],
  ['people-light-desktop', 'people', 'light', 'de', DESKTOP],
  ['share-light-desktop', 'share', 'light', 'de', DESKTOP],
  ['share-chat-dark-desktop', 'share-chat', 'dark', 'de', DESKTOP],
  ['reconnecting-dark-desktop', 'reconnecting', 'dark', 'de', DESKTOP],
  ['phone-start', 'start', 'light', 'de', PHONE],
  ['phone-prejoin', 'prejoin', 'light', 'de', PHONE],
  ['phone-2', 'meeting-2-upright', 'dark', 'de', PHONE],
  ['phone-5', 'meeting-5', 'light', 'de', PHONE],
  ['phone-chat', 'chat', 'light', 'de', PHONE],
  ['phone-landscape', 'meeting-4', 'dark', 'de', LANDSCAPE],
];

for (const [file, scene, theme, lang, { width, height, scale }] of PICTURES) {
  test(file, async ({ browser }) => {
    const page = await browser.newPage({
      viewport: { width, height },
      deviceScaleFactor: scale,
      reducedMotion: 'reduce',
    });
    await serveGallery(page);
    await openScene(page, { scene, theme, lang });
    await page.screenshot({ path: join(folder, `${file}.png`), caret: 'hide' });
    await page.close();
  });
}
