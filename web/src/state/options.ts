/** How this person wants the page to be: theme, sounds, keyboard, layout. Lasts as long as the page, and on this device if it may. */

import { VIEWS, type View } from './layout';
import { CORNERS, type Corner } from './own-view';
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
  /** How the people of a meeting are laid out while no screen is shared. */
  layout: View;
  /** Where one's own picture floats. */
  ownCorner: Corner;
}

const THEME = 'konklave.theme';
const SOUNDS = 'konklave.sounds';
const SHORTCUTS = 'konklave.shortcuts';
const LAYOUT = 'konklave.layout';
const OWN_CORNER = 'konklave.own-corner';
const USUAL_CORNER: Corner = 'bottom-right';
const OFF = 'off';

export class Options {
  readonly view: Store<OptionsState>;

  constructor(private readonly local: Memory) {
    const known = <T extends string>(values: readonly T[], key: string, usual: T): T =>
      values.find((value) => value === local.get(key)) ?? usual;
    this.view = new Store<OptionsState>({
      theme: known(THEMES, THEME, 'system'),
      sounds: local.get(SOUNDS) !== OFF,
      shortcuts: local.get(SHORTCUTS) !== OFF,
      layout: known(VIEWS, LAYOUT, 'equal'),
      ownCorner: known(CORNERS, OWN_CORNER, USUAL_CORNER),
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

  setLayout(layout: View): void {
    this.local.set(LAYOUT, layout === 'equal' ? null : layout);
    this.view.patch({ layout });
  }

  setOwnCorner(ownCorner: Corner): void {
    this.local.set(OWN_CORNER, ownCorner === USUAL_CORNER ? null : ownCorner);
    this.view.patch({ ownCorner });
  }
}
