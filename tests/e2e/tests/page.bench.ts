/**
 * What a meeting costs the page's main thread, against a page without anything in the same run; and how smoothly tiles
 * move when somebody comes or goes. Nothing here fails by being slow.
 */
import type { CDPSession, Page } from '@playwright/test';
import { keep, spread } from '../src/bench.ts';
import type { Crowd } from '../src/crowd.ts';
import { expect, test } from '../src/meeting.ts';
import { testId } from '../src/person.ts';

const TILES = [4, 9, 25];
/** Length of one measurement, in milliseconds. */
const WINDOW = 6000;
/** With so many the tiles are watched while somebody comes and goes. */
const MOVING = 9;
const ROUNDS = 8;

/** Milliseconds per second of the page's main thread. */
interface Cost {
  task: number;
  script: number;
  style: number;
  layout: number;
}

async function costs(session: CDPSession): Promise<Cost> {
  const read = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
  const before = await read();
  await session.send('Runtime.evaluate', {
    expression: `new Promise((done) => setTimeout(done, ${WINDOW}))`,
    awaitPromise: true,
  });
  const after = await read();
  const share = (name: string) =>
    Math.round(((after[name]! - before[name]!) / (after.Timestamp! - before.Timestamp!)) * 10_000) / 10;
  return {
    task: share('TaskDuration'),
    script: share('ScriptDuration'),
    style: share('RecalcStyleDuration'),
    layout: share('LayoutDuration'),
  };
}

/** Frames drawn while the tiles move once. */
interface Movement {
  perSecond: number;
  longestGap: number;
}

/** Resolves when the tiles have moved and stand still again. */
function movement(page: Page): Promise<Movement> {
  return page.evaluate(
    (tile) =>
      new Promise<Movement>((done) => {
        const times: number[] = [];
        const moving = () =>
          document.getAnimations().some((animation) => {
            const effect = animation.effect as KeyframeEffect;
            // Bars of speakers move for ever.
            return effect.target?.closest(tile) && effect.getComputedTiming().endTime !== Infinity;
          });
        const frame = (now: number) => {
          if (moving()) times.push(now);
          else if (times.length > 1) {
            const gaps = times.slice(1).map((time, index) => time - times[index]!);
            const perSecond = (gaps.length / (times.at(-1)! - times[0]!)) * 1000;
            done({ perSecond, longestGap: Math.max(...gaps) });
            return;
          }
          requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
      }),
    testId('tile'),
  );
}

/** One thing moves on a page without anything else: what this machine can do. */
async function floor(page: Page): Promise<Movement[]> {
  const seen: Movement[] = [];
  while (seen.length < ROUNDS) {
    const moved = movement(page);
    await page.evaluate(() => {
      const tile = document.createElement('div');
      tile.dataset.testid = 'tile';
      document.body.replaceChildren(tile);
      tile.animate([{ transform: 'none' }, { transform: 'translateX(100px)' }], 320);
    });
    seen.push(await moved);
  }
  return seen;
}

const summary = (seen: Movement[]) => ({
  framesPerSecond: spread(seen.map(({ perSecond }) => perSecond)),
  longestGapMs: spread(seen.map(({ longestGap }) => longestGap)),
});

/** Somebody without a picture comes and goes. */
async function movements(page: Page, crowd: Crowd): Promise<Movement[]> {
  const seen: Movement[] = [];
  while (seen.length < ROUNDS) {
    const came = movement(page);
    const guest = await crowd.join('Guest in turns');
    seen.push(await came);
    const went = movement(page);
    await crowd.leave(guest);
    seen.push(await went);
  }
  return seen;
}

test('main thread and frames', async ({ people, server }) => {
  const ada = await people.chromium('Ada');
  const { page } = ada.window;
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');

  const nothing = '<!doctype html><link rel="icon" href="data:," /><title>nothing</title>';
  await page.route('**/nothing', (route) => route.fulfill({ contentType: 'text/html', body: nothing }));
  await page.goto(`${server.origin}/nothing`);
  const mainThread: Record<string, Cost> = { 'an empty page': await costs(session) };
  const moving: Record<string, unknown> = { 'an empty page': summary(await floor(page)) };

  const crowd = await people.crowd(await people.meet('bench-page', ada));
  const videos = page.locator(`${testId('tile')} video`);
  let here = 1;
  for (const tiles of TILES) {
    for (; here < tiles; here++) await crowd.join(`Guest ${here}`, { audio: true, video: true });
    const shown = () =>
      videos.evaluateAll((all) => all.filter((video) => (video as HTMLVideoElement).videoWidth > 0).length);
    await expect.poll(shown, { timeout: 60_000 }).toBe(tiles);
    mainThread[`${tiles} tiles`] = await costs(session);
    if (tiles !== MOVING) continue;
    moving[`${tiles} tiles`] = summary(await movements(page, crowd));
  }

  keep('page', { unit: 'ms of the main thread per second', mainThread, moving });
  console.log('main thread, ms per second');
  console.table(mainThread);
  console.log(`while tiles move: ${JSON.stringify(moving)}`);
});
