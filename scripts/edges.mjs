// The dependency edges that the architecture allows, checked against `cargo metadata`. A new crate or a new edge is
// a decision: it is made here and in ARCHITECTURE.md, or not at all.
import { pathToFileURL } from 'node:url';
import { cargoMetadata } from './cargo-metadata.mjs';

/** Internal crates that each crate may depend on. `pii` is a leaf that every crate may use. */
export const ALLOWED = {
  pii: [],
  channel: ['pii'],
  protocol: ['pii', 'channel'],
  rtp: ['pii'],
  net: ['pii'],
  e2ee: ['pii', 'channel'],
  // For browsers: nothing native may depend on it.
  'e2ee-wasm': ['e2ee'],
  delivery: ['pii', 'protocol'],
  sfu: ['pii', 'protocol', 'rtp'],
  client: ['pii', 'protocol', 'rtp'],
  member: ['pii', 'channel', 'protocol', 'client', 'e2ee'],
  server: ['pii', 'protocol', 'rtp', 'sfu', 'net', 'delivery'],
  load: ['pii', 'client', 'protocol'],
  sim: ['pii', 'protocol', 'rtp', 'sfu', 'client', 'e2ee'],
  // Measures and is not shipped, so it may use the simulation.
  bench: ['e2ee', 'pii', 'protocol', 'rtp', 'sfu', 'net', 'sim'],
};

/** What tests and benchmarks of a crate may use on top. No crate that is shipped depends on `sim`. */
export const ALLOWED_IN_TESTS = {
  e2ee: ['delivery', 'protocol'],
  sfu: ['sim'],
  client: ['sim'],
  server: ['client', 'sim'],
  member: ['server'],
};

/** Crates that are sans-IO, and outside crates that would give them a socket, a clock or a random source. */
const SANS_IO = ['rtp', 'sfu', 'e2ee', 'delivery'];
const IO = [
  'tokio',
  'mio',
  'async-std',
  'smol',
  'socket2',
  'quinn-udp',
  'rand',
  'getrandom',
  'chrono',
  'time',
  'quanta',
];

/** One sentence for each forbidden edge in the output of `cargo metadata --no-deps`; an empty list when all is well. */
export function violations(metadata) {
  const found = [];
  const internal = new Set(metadata.packages.map((pkg) => pkg.name));
  for (const pkg of metadata.packages) {
    if (!Object.hasOwn(ALLOWED, pkg.name)) {
      found.push(`crate ${pkg.name} is not in the table of allowed edges (scripts/edges.mjs)`);
      continue;
    }
    for (const { name, kind } of pkg.dependencies) {
      const forTests = kind === 'dev';
      const allowed = [...ALLOWED[pkg.name], ...(forTests ? (ALLOWED_IN_TESTS[pkg.name] ?? []) : [])];
      // A crate that names itself does so to switch on a feature in its own tests.
      if (internal.has(name) && !allowed.includes(name) && !(forTests && name === pkg.name)) {
        found.push(`${pkg.name} → ${name}${forTests ? ' (dev)' : ''} is not an allowed edge`);
      }
      if (!forTests && SANS_IO.includes(pkg.name) && IO.includes(name)) {
        found.push(`${pkg.name} is sans-IO and must not depend on ${name}`);
      }
    }
  }
  return found;
}

function main() {
  const found = violations(cargoMetadata());
  for (const sentence of found) console.error(`edges: ${sentence}`);
  if (found.length > 0) process.exitCode = 1;
  else console.log('edges: every internal dependency is allowed');
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main();
