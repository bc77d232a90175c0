import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

/** One direction only: api ← rtc ← state ← ui. Types may cross where the layer above says so in its own words. */
const forbid = (files, patterns) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns }] },
});

const livekit = {
  group: ['livekit-client', 'livekit-client/*', '@livekit/*'],
  message: 'Only src/rtc knows the media library.',
};
const svelteLib = { group: ['svelte', 'svelte/*'], message: 'View models are plain TypeScript.' };
const layer = (name, message) => ({ group: [`**/${name}`, `**/${name}/*`], message });

export default ts.config(
  { ignores: ['dist/', 'gallery-dist/', 'src/api/schema.d.ts', 'src/e2ee/keys/wasm/'] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    rules: {
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'], svelteConfig } },
    rules: {
      // The page is one document: addresses are changed through the port of the view models.
      'svelte/no-navigation-without-resolve': 'off',
      'svelte/no-at-html-tags': 'error',
      // The policy of the page forbids style attributes; style: directives go through the CSSOM.
      'no-restricted-syntax': [
        'error',
        { selector: 'SvelteAttribute[key.name="style"]', message: 'Use style: directives or classes.' },
      ],
    },
  },
  { files: ['scripts/**', '*.config.*'], rules: { 'no-console': 'off' } },
  forbid(
    ['src/api/**'],
    [livekit, svelteLib, ...['rtc', 'state', 'ui', 'i18n'].map((n) => layer(n, 'api stands below.'))],
  ),
  forbid(
    ['src/rtc/**'],
    [svelteLib, ...['api', 'state', 'ui', 'i18n'].map((n) => layer(n, 'rtc stands below.'))],
  ),
  forbid(
    ['src/crypto/**'],
    [
      livekit,
      svelteLib,
      ...['api', 'rtc', 'state', 'ui', 'i18n'].map((n) => layer(n, 'crypto stands alone.')),
    ],
  ),
  forbid(
    ['src/state/**'],
    [
      livekit,
      svelteLib,
      layer('ui', 'state never draws.'),
      { group: ['**/i18n', '**/i18n/*'], message: 'View models speak in message keys.' },
      {
        regex: '/rtc(/(?!types$)|$)',
        message: 'State sees only the interface of rtc, injected.',
      },
    ],
  ),
  forbid(
    ['src/ui/**'],
    [
      livekit,
      layer('rtc', 'ui draws what state says; it never sees media.'),
      layer('api', 'ui draws what state says.'),
    ],
  ),
);
