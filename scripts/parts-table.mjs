// parts-table.mjs PARTS_FILE LOG_FOLDER: prints what each part took and how many tests it ran, then one plain line
// "N passed, N failed" over all of them. A part that failed without a counted failure counts as one failure.
// Between them stands what failed or had to be tried again, by name and with its first error, so that the end of the
// output is enough to begin with.
// Exit code 1 when anything failed or nothing ran.
import { readFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Every form in which one of our test tools reports its totals: [pattern, passed group, failed group]. */
const REPORTS = [
  // cargo test, one line per binary
  { pattern: /^test result: \w+\. (\d+) passed; (\d+) failed;/gm, passed: 1, failed: 2 },
  // node --test
  { pattern: /^(?:#|ℹ) pass (\d+)$/gm, passed: 1 },
  { pattern: /^(?:#|ℹ) fail (\d+)$/gm, failed: 1 },
  // vitest
  { pattern: /^\s*Tests\s+(?:(\d+) failed \| )?(?:(\d+) passed)?/gm, failed: 1, passed: 2 },
  // playwright: a flaky test passed at its one retry
  { pattern: /^ {2}(\d+) passed \([\d.]+(?:ms|s|m|h)\)$/gm, passed: 1 },
  { pattern: /^ {2}(\d+) flaky$/gm, passed: 1, retried: 1 },
  { pattern: /^ {2}(\d+) failed$/gm, failed: 1 },
  // pytest
  { pattern: /^(?:=+ )?(\d+) failed\b.* in [\d.]+s/gm, failed: 1 },
  { pattern: /^(?:=+ )?(?:\d+ failed, )?(\d+) passed\b.* in [\d.]+s/gm, passed: 1 },
  // scripts/fuzz
  { pattern: /^fuzz \S+: (?:(ok)|(failed))$/gm, passed: 1, failed: 2 },
];

/** How each of them names a test that failed, with the first line of why where the tool gives one beside it. */
const FAILURES = [
  // cargo test
  /^test (?:\S+) \.\.\. FAILED$/gm,
  /^thread '.*' (?:\(\d+\) )?panicked at .*\n.*$/gm,
  // node --test
  /^(?:not ok|✖) .*$/gm,
  // vitest
  /^ *FAIL +.*$/gm,
  // playwright: every attempt's title, and its errors
  /^ {2}\d+\) .*$/gm,
  /^ {4}Retry #\d.*$/gm,
  /^ {4}(?:\w*Error: .*|Test timeout .*)(?:\n\n? {4}(?!Retry #)\S.*){0,10}$/gm,
  // pytest
  /^(?:FAILED|ERROR) .*$/gm,
  // scripts/fuzz
  /^fuzz \S+: failed$/gm,
  // rustc, clippy
  /^error(?:\[\w+\])?: .*$/gm,
];

/** Lines of names and reasons that one part may add to the end of the output. */
const FAILURE_LINES = 40;

// eslint-disable-next-line no-control-regex
const uncoloured = (log) => log.replace(/\x1b\[[0-9;]*m/g, '');

/** What failed in one log, in its order: names and first errors, at most `FAILURE_LINES` lines. */
export function failures(log) {
  const plain = uncoloured(log);
  return FAILURES.flatMap((pattern) => [...plain.matchAll(pattern)])
    .sort((a, b) => a.index - b.index)
    .flatMap((match) => match[0].split('\n'))
    .map((line) => line.replace(/[─ ]+$/, ''))
    .filter(Boolean)
    .slice(0, FAILURE_LINES);
}

/** Totals reported anywhere in one log. */
export function count(log) {
  const plain = uncoloured(log);
  let passed = 0;
  let failed = 0;
  let retried = 0;
  const value = (text) => (text === undefined ? 0 : /^\d+$/.test(text) ? Number(text) : 1);
  for (const report of REPORTS) {
    for (const match of plain.matchAll(report.pattern)) {
      if (report.passed) passed += value(match[report.passed]);
      if (report.failed) failed += value(match[report.failed]);
      if (report.retried) retried += value(match[report.retried]);
    }
  }
  return { passed, failed, retried };
}

/** Rows of the table and the totals, from the lines of the parts file and a function that gives a part's log. */
export function summarise(parts, logOf) {
  const rows = parts.map(({ name, status, seconds }) => {
    const counted = count(logOf(name));
    const failed = status !== 0 && counted.failed === 0 ? 1 : counted.failed;
    const { passed, retried } = counted;
    return { name, seconds, passed, failed, retried, ok: status === 0 && failed === 0 };
  });
  const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
  return {
    rows,
    passed: sum('passed'),
    failed: sum('failed'),
    retried: sum('retried'),
    seconds: sum('seconds'),
  };
}

const time = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;

function main([partsFile, logFolder]) {
  const parts = readFileSync(partsFile, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [name, status, seconds] = line.split('\t');
      return { name, status: Number(status), seconds: Number(seconds) };
    });
  const logOf = (name) => {
    const file = join(logFolder, `${name}.log`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  };
  const { rows, passed, failed, retried, seconds } = summarise(parts, logOf);
  const line = (a, b, c, d, e) =>
    console.log(`${a.padEnd(16)} ${b.padEnd(7)} ${c.padStart(7)} ${d.padStart(7)} ${e.padStart(7)}`);
  console.log('');
  line('part', 'result', 'time', 'passed', 'failed');
  for (const row of rows) {
    line(row.name, row.ok ? 'ok' : 'FAILED', time(row.seconds), String(row.passed), String(row.failed));
  }
  line('all', failed === 0 ? 'ok' : 'FAILED', time(seconds), String(passed), String(failed));
  for (const row of rows.filter((row) => !row.ok || row.retried > 0)) {
    console.log(`\n${row.name}: ${row.ok ? 'tried again' : 'failed'}`);
    for (const text of failures(logOf(row.name))) console.log(`  ${text.slice(0, 160)}`);
  }
  if (retried > 0) console.log(`\n${retried} passed only when tried again`);
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && rows.length > 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv.slice(2));
