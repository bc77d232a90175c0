/**
 * Gzipped size of what a visitor loads before joining: every script and style of the build, with one language, and when
 * it is loaded; beside it the WebAssembly. Prints a table and JSON; fails above a budget.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** 260 KB of 1000 bytes, script and style together. */
const BUDGET = 260_000;

/** The encryption, which is loaded beside the page: its WebAssembly and its two workers. */
const WASM_BUDGET = 450_000;

const dist = join(new URL('..', import.meta.url).pathname, 'dist');
const folder = join(dist, '_');
const textOf = (file) => readFileSync(join(folder, file), 'utf8');

// A visitor loads one language; the larger one counts.
const isLanguage = (file) => /^(de|en)-/.test(basename(file));

/** What the page names, and what that imports at once; the rest comes by `import()`. */
function atOnce() {
  const found = new Set();
  const take = (file) => {
    if (found.has(file) || !existsSync(join(folder, file))) return;
    found.add(file);
    for (const [, , other] of textOf(file).matchAll(/(\bfrom|\bimport)\s*["']\.\/([^"']+\.js)["']/g))
      take(other);
  };
  for (const [, file] of readFileSync(join(dist, 'index.html'), 'utf8').matchAll(/\/_\/([^"]+\.(?:js|css))/g))
    take(file);
  return found;
}

const first = atOnce();
const chunks = readdirSync(folder)
  .filter((file) => /\.(js|css)$/.test(file))
  .map((file) => {
    const bytes = readFileSync(join(folder, file));
    const gzip = gzipSync(bytes, { level: 9 }).length;
    return { file, bytes: bytes.length, gzip, when: first.has(file) || isLanguage(file) ? 'start' : 'join' };
  })
  .sort((a, b) => b.gzip - a.gzip);

const other = chunks.filter(({ file }) => isLanguage(file)).slice(1);
const workers = chunks.filter(({ file }) => file.startsWith('worker-'));
const counted = chunks.filter((chunk) => !other.includes(chunk) && !workers.includes(chunk));
const sum = (some) => some.reduce((total, chunk) => total + chunk.gzip, 0);
const total = sum(counted);
const start = sum(counted.filter(({ when }) => when === 'start'));

const wasm =
  gzipSync(readFileSync(new URL('../src/e2ee/keys/wasm/e2ee_bg.wasm', import.meta.url)), { level: 9 })
    .length + sum(workers);

/** Where a chunk is counted, if not in the total. */
function noteOn(chunk) {
  if (other.includes(chunk)) return '  (other language, not counted)';
  return workers.includes(chunk) ? '  (encryption)' : '';
}

const row = (gzip, words) => console.log(`${String(gzip).padStart(8)}  ${words}`);
for (const chunk of chunks) {
  row(chunk.gzip, chunk.file + noteOn(chunk));
}
row(start, 'before the first picture of the start page');
row(total - start, 'after it, until joined');
row(total, `total gzipped, budget ${BUDGET}`);
row(wasm, `the encryption beside it, gzipped, budget ${WASM_BUDGET}`);
console.log(JSON.stringify({ budget: BUDGET, total, start, wasmBudget: WASM_BUDGET, wasm, chunks }));
process.exit(total <= BUDGET && wasm <= WASM_BUDGET ? 0 : 1);
