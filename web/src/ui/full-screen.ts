/** Full screen, where the browser can do it; an iPhone cannot. */

import { createSubscriber } from 'svelte/reactivity';

const watch = createSubscriber((changed) => {
  document.addEventListener('fullscreenchange', changed);
  return () => document.removeEventListener('fullscreenchange', changed);
});

export const fullScreen = {
  get possible(): boolean {
    return document.fullscreenEnabled === true;
  },
  /** What fills the screen now. */
  get element(): Element | null {
    watch();
    return document.fullscreenElement ?? null;
  },
  /** Whether one picture hides the rest of the page. */
  get hidesPage(): boolean {
    return this.element !== null && this.element !== document.documentElement;
  },
  /** Shows the element, or the whole page, on the full screen, or takes it away from there. */
  async toggle(element: Element = document.documentElement): Promise<void> {
    if (!this.possible) return;
    try {
      if (document.fullscreenElement === element) await document.exitFullscreen();
      else await element.requestFullscreen();
    } catch {
      // The browser says no, for example because nobody pressed anything: everything stays as it is.
    }
  },
  /** Shows the page again, at its former size. */
  async showPage(): Promise<void> {
    if (this.hidesPage) await document.exitFullscreen();
  },
};
