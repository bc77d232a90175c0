import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['test-results/**', 'eslint.config.js'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // A forgotten await makes a test that cannot fail.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      // Tests wait for conditions, never for time to pass.
      'no-restricted-properties': [
        'error',
        { property: 'waitForTimeout', message: 'wait for a condition' },
        { property: 'only', message: 'for a moment at the desk, not for the repository' },
        { property: 'skip', message: 'a test that does not run shows nothing' },
      ],
    },
  },
);
