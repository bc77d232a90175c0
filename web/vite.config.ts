import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

const server = 'http://localhost:7880';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: ['chrome111', 'firefox115', 'safari16.4'],
    // Rooms own every path that does not begin with an underscore.
    assetsDir: '_',
    // A data: URL would need an exception in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The media library is one chunk of its own, loaded while the visitor looks at the pre-join screen.
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      checks: { pluginTimings: false },
      output: {
        codeSplitting: {
          groups: [{ name: 'livekit', test: /node_modules[\\/](livekit-client|@livekit)/ }],
        },
      },
    },
  },
  // Workers load WebAssembly beside them.
  worker: {
    // What is drawn thousands of times over takes its time on a busy machine; only what hangs is to fail.
    testTimeout: 60_000,
    format: 'es',
  },
  server: {
    port: 5173,
    strictPort: true,
    proxy: {
      '/api': { target: server, ws: true },
      '/rtc': { target: server, ws: true },
    },
  },
  test: {
    include: ['tests/**/*.test.ts'],
    environment: 'node',
  },
});
