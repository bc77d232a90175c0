/** How far apart sound and picture are, from flashes and beeps that happen once a second. */
import type { Onsets } from './probe.ts';
import { until } from './until.ts';
import type { Window } from './window.ts';

/** Flash and beep come once a second, so an offset is known up to whole seconds: −500 to 500 ms. */
const PERIOD = 1000;
/** A frame lasts 33 ms and two clocks are compared, so one pair says little; the median of these many says enough. */
const PAIRS = 7;

/** Folds a difference in time into half a period to each side. */
export function fold(ms: number): number {
  return ms - PERIOD * Math.round(ms / PERIOD);
}

/** Median of beep minus flash of the last pairs, in ms; undefined until there are enough of both. */
export function offset(onsets: Onsets): number | undefined {
  const [flashes, beeps] = [onsets.flashes.slice(-PAIRS), onsets.beeps.slice(-PAIRS)];
  if (flashes.length < PAIRS || beeps.length < PAIRS) return undefined;
  // Around the first difference, so that values next to ±500 ms do not scatter to both ends.
  const reference = fold(beeps[0]! - flashes[0]!);
  const scattered = flashes.map((flash) => {
    const nearby = beeps.map((beep) => beep - flash - reference);
    return nearby.reduce((best, ms) => (Math.abs(ms) < Math.abs(best) ? ms : best));
  });
  scattered.sort((a, b) => a - b);
  return fold(reference + scattered[Math.floor(scattered.length / 2)]!);
}

/**
 * Waits until the receiver knows when what it plays was captured. It keeps sound and picture in step only from then
 * on, some ten seconds after both began: it takes two sender reports of each, and those of sound come every five.
 */
export async function waitForLipSync(page: Window): Promise<number> {
  const known = await until(
    'sender reports of sound and picture',
    async () => {
      const skew = await page.evaluate(() => window.probe.playoutSkew(), undefined);
      return skew === null ? undefined : { skew };
    },
    { timeout: 30_000 },
  );
  return known.skew;
}

/** Waits for enough flashes and beeps under a name that is already watched; what the newest of them say. */
export async function measureSync(page: Window, name: string): Promise<number> {
  const measured = await until(
    `flashes and beeps of ${name}`,
    async () => {
      const onsets = await page.evaluate((which) => window.probe.onsets(which), name);
      const value = offset(onsets);
      return value === undefined ? undefined : { value };
    },
    { timeout: 30_000 },
  );
  return measured.value;
}
