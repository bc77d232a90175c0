/** How this person wants the page to be: theme, sounds, keyboard. Lasts as long as the page, and on this device if it may. */

import type { Memory } from './ports';
import { Store } from './store';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

export interface OptionsState {
  theme: Theme;
}

const THEME = 'konklave.theme';

export class Options {
  readonly view: Store<OptionsState>;

  constructor(private readonly local: Memory) {
    const theme = local.get(THEME);
    this.view = new Store<OptionsState>({ theme: THEMES.find((known) => known === theme) ?? 'system' });
  }

  setTheme(theme: Theme): void {
    this.local.set(THEME, theme === 'system' ? null : theme);
    this.view.patch({ theme });
  }
}
