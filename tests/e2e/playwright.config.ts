import { defineConfig } from '@playwright/test';

/** One browser, and one place on earth, for everything scripted. */
const GALLERY = {
  launchOptions: { executablePath: '/usr/bin/chromium' },
  locale: 'de-DE',
  timezoneId: 'Europe/Berlin',
};

export default defineConfig({
  testDir: 'tests',
  outputDir: '../../test-results/e2e',
  // Two cores hold one server and four browsers at 360p15, so one test at a time.
  workers: 1,
  fullyParallel: false,
  // Real time and real browsers on a shared machine: one retry, which the reporter prints as "flaky".
  retries: 1,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  forbidOnly: true,
  reporter: [['list']],
  globalSetup: './src/setup.ts',
  projects: [
    { name: 'browsers', testIgnore: ['**/loss.spec.ts', '**/outage.spec.ts', '**/screens.spec.ts'] },
    // The gallery of every screen: scripted, so what it shows is the same each time.
    {
      name: 'screens',
      testMatch: '**/screens.spec.ts',
      retries: 0,
      snapshotPathTemplate: '{testDir}/../snapshots/{arg}{ext}',
      use: GALLERY,
    },
    // Makes docs/img; `make screenshots`.
    { name: 'screenshots', testMatch: '**/screenshots.ts', retries: 0, use: GALLERY },
    // Drops packets and cuts lines, so it runs inside a network namespace of its own: scripts/alone.
    { name: 'loss', testMatch: ['**/loss.spec.ts', '**/outage.spec.ts'], timeout: 240_000 },
    // Measures instead of judging; `make bench`.
    { name: 'bench', testMatch: '**/*.bench.ts', retries: 0, timeout: 300_000 },
  ],
});
