/**
 * Pages that seal and open media: one sends to itself, one takes part in a meeting, one measures what keys and frames cost.
 * For browser tests, never part of the product.
 */

import { join } from 'node:path';
import { defineConfig } from 'vite';

const page = (name: string) => join(import.meta.dirname, name);

export default defineConfig({
  root: import.meta.dirname,
  build: {
    emptyOutDir: true,
    target: ['chrome111', 'firefox115', 'safari16.4'],
    // As in the product: the test serves this under the same content security policy.
    assetsDir: '_',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      checks: { pluginTimings: false },
      input: ['index.html', 'meeting.html', 'costs.html'].map(page),
    },
  },
});
