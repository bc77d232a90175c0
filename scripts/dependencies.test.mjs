import test from 'node:test';
import assert from 'node:assert/strict';
import { violations } from './dependencies.mjs';

const document =
  '# A\n\n| `not` | here |\n\n## Dependencies\n\n| crate | for |\n| --- | --- |\n| `a`, `b` | both |\n| `c` | `not` this |\n';
const metadata = (...names) => ({
  packages: [
    { name: 'own', dependencies: names.map((name) => ({ name })) },
    { name: 'other', dependencies: [] },
  ],
});

test('every dependency with a line, internal ones without', () => {
  assert.deepEqual(violations(metadata('a', 'b', 'c', 'other'), document), []);
});

test('a dependency without a line fails, and a line without a dependency', () => {
  assert.deepEqual(violations(metadata('a', 'b', 'd'), document), [
    'c has a line but nothing depends on it',
    'd has no line',
  ]);
});
