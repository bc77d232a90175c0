/**
 * One browser window, the same for both engines: Playwright drives Chromium; it does not drive the stock Firefox, so
 * Puppeteer does, over WebDriver BiDi. Each window is a browser process of its own, because fake devices are a matter
 * of the command line.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from '@playwright/test';
import puppeteer, { type Browser as FirefoxBrowser, type Page as FirefoxPage } from 'puppeteer-core';
import type { MediaFiles } from './media.ts';
import { installProbe } from './probe.ts';

/** What the page did that somebody should hear of. */
export interface PageLog {
  /** Every URL requested, WebSockets included. */
  requests: string[];
  /** Console errors and uncaught exceptions. */
  errors: string[];
}

export interface Window {
  readonly engine: 'chromium' | 'firefox';
  readonly log: PageLog;
  open(url: string): Promise<void>;
  /** The address with its fragment. */
  url(): Promise<string>;
  evaluate<A, R>(inPage: (argument: A) => R | Promise<R>, argument: A): Promise<R>;
  /** Waits until there is one element to click. */
  click(selector: string): Promise<void>;
  fill(selector: string, text: string): Promise<void>;
  close(): Promise<void>;
}

/** Chromium's can be looked at as people with other screens see it. */
export interface ChromiumWindow extends Window {
  readonly page: Page;
}

export interface WindowOptions {
  /** What camera and microphone play. Firefox has only its own fake devices: changing colours and a 1 kHz tone. */
  media?: MediaFiles;
  /** `de` or `en`; what the browser asks the page for. */
  language?: string;
  /** Whether there are camera and microphone and the browser gives them; granted if nothing is said. */
  devices?: 'granted' | 'refused' | 'none';
  /** Share the page's own tab for real instead of the synthetic screen of the fake devices. */
  shareTab?: boolean;
  /** What starts Chromium, if not the machine does: a script that puts it behind a line of its own. */
  executable?: string;
  /** An address whose page may use camera and microphone although it is neither `localhost` nor HTTPS. */
  trusted?: string;
}

/** Whoever asks for a device gets it. */
const GIVE = '--use-fake-ui-for-media-stream';

/** Debian's Chromium with fake devices. */
export async function openChromium(options: WindowOptions = {}): Promise<ChromiumWindow> {
  const profile = mkdtempSync(join(tmpdir(), 'konklave-chromium-'));
  const args = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--autoplay-policy=no-user-gesture-required',
    options.shareTab ? '--auto-accept-this-tab-capture' : GIVE,
  ];
  if (options.devices !== 'none') args.push('--use-fake-device-for-media-stream=device-count=2');
  if (options.media) {
    args.push(`--use-file-for-fake-video-capture=${options.media.video}`);
    args.push(`--use-file-for-fake-audio-capture=${options.media.audio}`);
  }
  if (options.trusted) args.push(`--unsafely-treat-insecure-origin-as-secure=${options.trusted}`);
  const context: BrowserContext = await chromium.launchPersistentContext(profile, {
    executablePath: options.executable ?? process.env.CHROMIUM ?? '/usr/bin/chromium',
    chromiumSandbox: false,
    locale: options.language ?? 'en',
    viewport: { width: 1280, height: 720 },
    permissions: options.shareTab ? ['camera', 'microphone'] : [],
    args: options.devices === 'refused' ? args.filter((arg) => arg !== GIVE) : args,
  });
  if (options.devices === 'refused') await context.grantPermissions([]);
  await context.addInitScript(installProbe);
  const page: Page = context.pages()[0] ?? (await context.newPage());
  const log: PageLog = { requests: [], errors: [] };
  context.on('request', (request) => log.requests.push(request.url()));
  page.on('websocket', (socket) => log.requests.push(socket.url()));
  page.on('console', (message) => {
    if (message.type() === 'error') log.errors.push(message.text());
  });
  page.on('pageerror', (error) => log.errors.push(String(error)));
  return {
    engine: 'chromium',
    page,
    log,
    open: async (url) => {
      await page.goto(url);
    },
    url: () => Promise.resolve(page.url()),
    evaluate: (inPage, argument) => page.evaluate(inPage as never, argument as never),
    click: (selector) => page.locator(selector).click(),
    fill: (selector, text) => page.locator(selector).fill(text),
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** Debian's Firefox ESR with its own fake devices. */
export async function openFirefox(options: WindowOptions = {}): Promise<Window> {
  const browser: FirefoxBrowser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    protocol: 'webDriverBiDi',
    env: { ...process.env, PULSE_SERVER: process.env.E2E_SOUND_CARD },
    defaultViewport: { width: 1280, height: 720 },
    extraPrefsFirefox: {
      'media.navigator.streams.fake': true,
      'media.navigator.permission.disabled': true,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'media.autoplay.default': 0,
      'permissions.default.camera': 1,
      'permissions.default.microphone': 1,
      // Nothing but the page under test uses the network.
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
      'intl.accept_languages': options.language ?? 'en',
    },
  });
  const page: FirefoxPage = await browser.newPage();
  await page.evaluateOnNewDocument(installProbe);
  const log: PageLog = { requests: [], errors: [] };
  page.on('request', (request) => log.requests.push(request.url()));
  page.on('console', (message) => {
    if (message.type() === 'error') log.errors.push(message.text());
  });
  page.on('pageerror', (error) => log.errors.push(String(error)));
  return {
    engine: 'firefox',
    log,
    open: async (url) => {
      await page.goto(url, { waitUntil: 'load' });
    },
    url: () => page.evaluate(() => location.href),
    evaluate: (inPage, argument) => page.evaluate(inPage as never, argument as never),
    click: (selector) => page.locator(selector).click(),
    fill: (selector, text) => page.locator(selector).fill(text),
    close: () => browser.close(),
  };
}
