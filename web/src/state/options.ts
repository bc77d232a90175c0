/** How this person wants the page to be: theme, sounds, keyboard. Lasts as long as the page, and on this device if it may. */

import type { Memory } from './ports';
import { Store } from './store';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

export interface OptionsState {
  theme: Theme;
  /** Whether one hears who comes and goes, and messages. */
  sounds: boolean;
  /** Whether single keys do something in the meeting. */
  shortcuts: boolean;
}

const THEME = 'konklave.theme';
const SOUNDS = 'konklave.sounds';
const SHORTCUTS = 'konklave.shortcuts';
const OFF = 'off';

export class Options {
  readonly view: Store<OptionsState>;

  constructor(private readonly local: Memory) {
    const theme = local.get(THEME);
    this.view = new Store<OptionsState>({
      theme: THEMES.find((known) => known === theme) ?? 'system',
      sounds: local.get(SOUNDS) !== OFF,
      shortcuts: local.get(SHORTCUTS) !== OFF,
    });
  }

  setTheme(theme: Theme): void {
    this.local.set(THEME, theme === 'system' ? null : theme);
    this.view.patch({ theme });
  }

  setSounds(sounds: boolean): void {
    this.local.set(SOUNDS, sounds ? null : OFF);
    this.view.patch({ sounds });
  }

  setShortcuts(shortcuts: boolean): void {
    this.local.set(SHORTCUTS, shortcuts ? null : OFF);
    this.view.patch({ shortcuts });
  }
}
