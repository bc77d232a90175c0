/**
 * Serves the built gallery (web/gallery-dist) to a page under an address of its own, so that what shows the address is
 * the same each time, and under the product's content security policy. Nothing leaves the browser.
 */
import { readFile } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import type { Page } from '@playwright/test';

const root = resolve(import.meta.dirname, '../../..');
const folder = join(root, 'web/gallery-dist');
/** With https, or the browser would hold the devices and the keys back. */
const ORIGIN = 'https://meet.example';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** The policy as the server's source says it, so that the two cannot drift apart. */
export async function policy(): Promise<string> {
  const source = await readFile(join(root, 'crates/server/src/http/headers.rs'), 'utf8');
  const text = /const POLICY: &str = "([^"]+)"/.exec(source)?.[1];
  if (!text) throw new Error('the server has no POLICY any more');
  return text.replace(/\\\n\s*/g, '');
}

export interface View {
  scene: string;
  theme: string;
  lang: string;
  /** Grey instead of people. */
  plain?: boolean;
}

export async function serveGallery(page: Page): Promise<void> {
  const headers = { 'content-security-policy': await policy() };
  await page.route(`${ORIGIN}/**`, async (route) => {
    const { pathname } = new URL(route.request().url());
    const file = pathname === '/' ? 'index.html' : pathname;
    try {
      const body = await readFile(join(folder, file));
      const contentType = TYPES[extname(file)] ?? 'application/octet-stream';
      await route.fulfill({ headers, contentType, body });
    } catch {
      await route.fulfill({ status: 404 });
    }
  });
}

/** Opens a scene in the present size of the window and waits until it is at rest. */
export async function openScene(page: Page, { scene, theme, lang, plain }: View): Promise<void> {
  await page.goto(`${ORIGIN}/?scene=${scene}&theme=${theme}&lang=${lang}${plain ? '&plain' : ''}`);
  await atRest(page);
}

export async function resize(page: Page, size: { width: number; height: number }): Promise<void> {
  await page.setViewportSize(size);
  await atRest(page);
}

async function atRest(page: Page): Promise<void> {
  const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
  await page.locator(`html[data-ready="${width}x${height}"]`).waitFor({ state: 'attached' });
}
