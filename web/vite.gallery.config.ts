/** The gallery: every screen and component over scripted ports. For development and tests, never part of the product. */

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  root: 'gallery',
  plugins: [svelte({ configFile: '../svelte.config.js' })],
  build: {
    outDir: '../gallery-dist',
    emptyOutDir: true,
    target: 'chrome111',
    assetsDir: '_',
    // As in the product: the tests serve this under the same content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  server: { port: 5174, strictPort: true, fs: { allow: ['..'] } },
});
