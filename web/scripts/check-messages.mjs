/**
 * Checks the locale files: equal keys in all languages, equal arguments, every key used in the source, no key used
 * that does not exist, German without "du". Prints each finding and exits with 1 if there is one.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IntlMessageFormat } from 'intl-messageformat';

const root = new URL('..', import.meta.url).pathname;
const findings = [];

const locales = Object.fromEntries(
  readdirSync(join(root, 'locales'))
    .filter((file) => file.endsWith('.json'))
    .map((file) => [
      file.replace('.json', ''),
      JSON.parse(readFileSync(join(root, 'locales', file), 'utf8')),
    ]),
);
const [first, ...others] = Object.keys(locales);

/** Names of the arguments of a message, from its syntax tree. */
function argumentsOf(message) {
  const names = new Set();
  const visit = (elements) => {
    for (const element of elements) {
      // 0 is literal text, 7 is the # of a plural.
      if (element.type !== 0 && element.type !== 7) names.add(element.value);
      for (const option of Object.values(element.options ?? {})) visit(option.value);
    }
  };
  visit(IntlMessageFormat.__parse(message, { ignoreTag: true }));
  return [...names].sort().join(', ');
}

for (const [name, messages] of Object.entries(locales)) {
  for (const [key, message] of Object.entries(messages)) {
    if (typeof message !== 'string' || message.trim() === '') findings.push(`${name}: ${key} is empty`);
    if (/!/.test(message)) findings.push(`${name}: ${key} shouts`);
    try {
      argumentsOf(message);
    } catch (error) {
      findings.push(`${name}: ${key} is no ICU message: ${error.message}`);
    }
    if (name === 'de' && /\b(du|dich|dir|dein(e|en|er|em)?)\b/i.test(message))
      findings.push(`de: ${key} says "du"`);
  }
}
for (const other of others) {
  for (const key of Object.keys(locales[first])) {
    const [here, there] = [locales[first][key], locales[other][key]];
    if (there === undefined) findings.push(`${other}: ${key} is missing`);
    else if (argumentsOf(here) !== argumentsOf(there))
      findings.push(`${other}: ${key} takes other arguments`);
  }
  for (const key of Object.keys(locales[other])) {
    if (!(key in locales[first])) findings.push(`${first}: ${key} is missing`);
  }
}

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.(ts|svelte)$/.test(entry.name) && !entry.name.endsWith('.d.ts') ? [path] : [];
  });
}

const used = new Set();
for (const path of sources(join(root, 'src'))) {
  const text = readFileSync(path, 'utf8');
  for (const [, key] of text.matchAll(/['"`]([a-z][a-z-]*\.[a-z0-9][a-z0-9-]*)['"`]/g)) used.add(key);
  for (const [, key] of text.matchAll(/\$?\bt\(\s*['"`]([^'"`]+)['"`]/g)) {
    if (!(key in locales[first]))
      findings.push(`${path.slice(root.length)}: uses ${key}, which is in no locale`);
  }
}
for (const key of Object.keys(locales[first]))
  if (!used.has(key)) findings.push(`${first}: ${key} is never used`);

for (const finding of findings) console.error(finding);
console.log(
  `${Object.keys(locales).join(', ')}: ${Object.keys(locales[first]).length} messages, ${findings.length} findings`,
);
process.exit(findings.length === 0 ? 0 : 1);
