/** A page that sends to itself through the media worker. For browser tests, never part of the product. */

import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  build: {
    emptyOutDir: true,
    target: ['chrome111', 'firefox115', 'safari16.4'],
    // As in the product: the test serves this under the same content security policy.
    assetsDir: '_',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { pluginTimings: false } },
  },
});
