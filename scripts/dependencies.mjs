// Every direct dependency has one line in ARCHITECTURE.md that says what it is for, and no line outlives its dependency.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { cargoMetadata } from './cargo-metadata.mjs';

/** Names in the first column of the table under "## Dependencies". */
export function listed(document) {
  const section = document.split(/^## Dependencies$/m)[1] ?? '';
  const rows = section.split('\n').filter((line) => /^\| `/.test(line));
  return new Set(
    rows.flatMap((row) => [...row.split('|')[1].matchAll(/`([^`]+)`/g)].map((match) => match[1])),
  );
}

/** One sentence for each dependency without a line and each line without a dependency. */
export function violations(metadata, document) {
  const internal = new Set(metadata.packages.map((pkg) => pkg.name));
  const direct = new Set(metadata.packages.flatMap((pkg) => pkg.dependencies.map(({ name }) => name)));
  const lines = listed(document);
  return [
    ...[...direct]
      .filter((name) => !internal.has(name) && !lines.has(name))
      .map((name) => `${name} has no line`),
    ...[...lines]
      .filter((name) => !direct.has(name))
      .map((name) => `${name} has a line but nothing depends on it`),
  ].sort();
}

function main() {
  const found = violations(cargoMetadata(), readFileSync('ARCHITECTURE.md', 'utf8'));
  for (const sentence of found) console.error(`dependencies (ARCHITECTURE.md): ${sentence}`);
  if (found.length > 0) process.exitCode = 1;
  else console.log('dependencies: each has its line');
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main();
