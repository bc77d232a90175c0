/** What measurements leave behind: JSON in target/bench, and a table on the console. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const folder = resolve(import.meta.dirname, '../../../target/bench');

/** Writes `target/bench/NAME.json`. */
export function keep(name: string, result: unknown): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}

/** Least, middle and largest of some numbers, rounded. */
export function spread(numbers: readonly number[]): { min: number; median: number; max: number } {
  const sorted = numbers.toSorted((a, b) => a - b).map((number) => Math.round(number * 10) / 10);
  return { min: sorted[0]!, median: sorted[sorted.length >> 1]!, max: sorted.at(-1)! };
}
