import test from 'node:test';
import assert from 'node:assert/strict';
import { violations } from './edges.mjs';

const metadata = (crates) => ({
  packages: Object.entries(crates).map(([name, dependencies]) => ({
    name,
    dependencies: dependencies.map((text) => {
      const [dependency, kind] = text.split(' ');
      return { name: dependency, kind: kind ?? null };
    }),
  })),
});

test('the edges of the architecture pass', () => {
  const crates = {
    pii: [],
    protocol: ['pii', 'prost'],
    rtp: ['pii', 'proptest dev'],
    net: ['quinn-udp'],
    sfu: ['protocol', 'rtp', 'sim dev', 'rand dev', 'sfu dev'],
    client: ['protocol', 'rtp'],
    server: ['protocol', 'rtp', 'sfu', 'net', 'tokio', 'client dev'],
    e2ee: ['pii'],
    'e2ee-wasm': ['e2ee', 'wasm-bindgen'],
    sim: ['sfu'],
  };
  assert.deepEqual(violations(metadata(crates)), []);
});

test('a forbidden edge fails', () => {
  assert.deepEqual(violations(metadata({ net: [], rtp: ['net'] })), ['rtp → net is not an allowed edge']);
  assert.deepEqual(violations(metadata({ client: [], sfu: ['client dev'] })), [
    'sfu → client (dev) is not an allowed edge',
  ]);
});

test('what is made for browsers is a leaf', () => {
  assert.deepEqual(violations(metadata({ 'e2ee-wasm': [], client: ['e2ee-wasm'] })), [
    'client → e2ee-wasm is not an allowed edge',
  ]);
});

test('sim is for tests only', () => {
  assert.deepEqual(violations(metadata({ sim: [], sfu: ['sim'] })), ['sfu → sim is not an allowed edge']);
});

test('a crate that nobody decided on fails', () => {
  assert.equal(violations(metadata({ surprise: [] })).length, 1);
});

test('a sans-IO crate gets no runtime, socket, clock or random source', () => {
  for (const name of ['tokio', 'mio', 'rand', 'chrono']) {
    assert.deepEqual(violations(metadata({ sfu: [name] })), [
      `sfu is sans-IO and must not depend on ${name}`,
    ]);
  }
  assert.deepEqual(violations(metadata({ server: ['tokio'] })), []);
});
