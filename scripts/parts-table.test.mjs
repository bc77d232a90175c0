import test from 'node:test';
import assert from 'node:assert/strict';
import { count, failures, summarise } from './parts-table.mjs';

/** Without what was tried again. */
function totals(log) {
  const { passed, failed } = count(log);
  return { passed, failed };
}

test('cargo test: every binary counts', () => {
  const log =
    'test result: ok. 12 passed; 0 failed; 0 ignored\n\ntest result: FAILED. 3 passed; 2 failed; 1 ignored\n';
  assert.deepEqual(totals(log), { passed: 15, failed: 2 });
});

test('vitest, in colour and plain, counts tests and not files', () => {
  const log =
    ' \x1b[2m Test Files \x1b[22m \x1b[32m9 passed\x1b[39m (9)\n\x1b[2m      Tests \x1b[22m \x1b[32m71 passed\x1b[39m (71)\n';
  assert.deepEqual(totals(log), { passed: 71, failed: 0 });
  assert.deepEqual(totals('      Tests  1 failed | 70 passed (71)\n'), { passed: 70, failed: 1 });
});

test('playwright: flaky tests passed in the end', () => {
  assert.deepEqual(totals('  1 failed\n    [chromium] › a\n  2 flaky\n  11 passed (1.4m)\n'), {
    passed: 13,
    failed: 1,
  });
  assert.deepEqual(totals('  3 passed (512ms)\n'), { passed: 3, failed: 0 });
  assert.deepEqual(totals('  3 passed (51.2s)\n'), { passed: 3, failed: 0 });
});

test('pytest', () => {
  assert.deepEqual(totals('======== 5 passed in 3.21s ========\n'), { passed: 5, failed: 0 });
  assert.deepEqual(totals('==== 1 failed, 4 passed in 63.21s (0:01:03) ====\n'), { passed: 4, failed: 1 });
  assert.deepEqual(totals('==== 2 failed in 3.21s ====\n'), { passed: 0, failed: 2 });
  // Quiet, as scripts/test asks for it.
  assert.deepEqual(totals('12 passed in 63.21s (0:01:03)\n'), { passed: 12, failed: 0 });
  assert.deepEqual(totals('1 failed, 4 passed, 2 warnings in 63.21s (0:01:03)\n'), { passed: 4, failed: 1 });
});

test('node --test and fuzz targets', () => {
  assert.deepEqual(totals('# pass 4\n# fail 1\n'), { passed: 4, failed: 1 });
  assert.deepEqual(totals('ℹ pass 4\nℹ fail 0\n'), { passed: 4, failed: 0 });
  assert.deepEqual(totals('fuzz stun: ok\nfuzz sdp: failed\n'), { passed: 1, failed: 1 });
});

test('a part that fails without a counted failure is one failure', () => {
  const parts = [
    { name: 'clippy', status: 101, seconds: 3 },
    { name: 'rust', status: 0, seconds: 4 },
  ];
  const logs = { clippy: 'error: unused', rust: 'test result: ok. 2 passed; 0 failed; 0 ignored' };
  const { passed, failed, seconds, rows } = summarise(parts, (name) => logs[name]);
  assert.deepEqual({ passed, failed, seconds }, { passed: 2, failed: 1, seconds: 7 });
  assert.deepEqual(
    rows.map((row) => row.ok),
    [false, true],
  );
});

test('what passed only at its retry is counted apart as well', () => {
  assert.deepEqual(count('  1 flaky\n  15 passed (4.3m)\n'), { passed: 16, failed: 0, retried: 1 });
});

test('what failed is named, with its first error', () => {
  const playwright = [
    '  ✘  1 [browsers] › tests/a.spec.ts:5:1 › a (1.0s)',
    '  1) [browsers] › tests/a.spec.ts:5:1 › a ─────────────',
    '',
    '    Error: \x1b[2mexpect(\x1b[22mlocator) failed',
    '',
    '    Expected: visible',
    '',
    '    Retry #1 ───────────',
    '',
    '    Test timeout of 90000ms exceeded.',
    '',
    '  1 failed',
  ].join('\n');
  assert.deepEqual(failures(playwright), [
    '  1) [browsers] › tests/a.spec.ts:5:1 › a',
    '    Error: expect(locator) failed',
    '    Expected: visible',
    '    Retry #1',
    '    Test timeout of 90000ms exceeded.',
  ]);
  const cargo = "test a::b ... ok\ntest a::c ... FAILED\nthread 'a::c' (12) panicked at src/a.rs:1:2:\nleft is 1\nmore\n";
  assert.deepEqual(failures(cargo), [
    'test a::c ... FAILED',
    "thread 'a::c' (12) panicked at src/a.rs:1:2:",
    'left is 1',
  ]);
  assert.deepEqual(failures('FAILED tests/a.py::test_b - assert 1 == 2\n'), [
    'FAILED tests/a.py::test_b - assert 1 == 2',
  ]);
  assert.equal(failures('error: unused\n'.repeat(100)).length, 40);
});
