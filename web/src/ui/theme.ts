/** Puts the chosen theme on the page; the tokens of `styles/tokens.css` follow `data-theme`, or else the system. */

import type { Theme } from '../state/options';

/** `--bg` of both themes, for the bars that a browser draws round the page. */
const BACKGROUND = { light: '#eef1f1', dark: '#0e1314' };

export function showTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')) {
    const system = meta.media.includes('dark') ? 'dark' : 'light';
    meta.content = BACKGROUND[theme === 'system' ? system : theme];
  }
}
