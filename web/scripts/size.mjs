/**
 * Gzipped size of what a visitor loads before joining: every script and style of the build, with one language.
 * Prints a table and JSON; fails above the budget.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** 260 KB of 1000 bytes, script and style together. */
const BUDGET = 260_000;

const folder = join(new URL('..', import.meta.url).pathname, 'dist', '_');
const chunks = readdirSync(folder)
  .filter((file) => /\.(js|css)$/.test(file))
  .map((file) => {
    const bytes = readFileSync(join(folder, file));
    return { file, bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length };
  })
  .sort((a, b) => b.gzip - a.gzip);

// A visitor loads one language; the larger one counts.
const languages = chunks.filter(({ file }) => /^(de|en)-/.test(basename(file)));
const counted = chunks.filter((chunk) => !languages.includes(chunk) || chunk === languages[0]);
const total = counted.reduce((sum, chunk) => sum + chunk.gzip, 0);

for (const chunk of chunks) {
  const note = counted.includes(chunk) ? '' : '  (other language, not counted)';
  console.log(`${String(chunk.gzip).padStart(8)}  ${chunk.file}${note}`);
}
console.log(`${String(total).padStart(8)}  total gzipped, budget ${BUDGET}`);
console.log(JSON.stringify({ budget: BUDGET, total, chunks }));
process.exit(total <= BUDGET ? 0 : 1);
