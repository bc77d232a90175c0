/** Somebody who uses the keyboard alone: where the focus is, whether it can be seen, and how to get somewhere. */
import { expect, type Page } from '@playwright/test';
import { testId } from './person.ts';

/** The parts of a meeting in the order in which the focus goes through them. */
export const PARTS = ['lock', 'top', 'tiles', 'panel', 'bar'] as const;

export interface Focus {
  /** `data-testid`, or the tag's name. */
  on: string;
  part: (typeof PARTS)[number] | null;
  /** It is in view and drawn as focused; headings only begin what is read. */
  visible: boolean;
}

/** More elements than any screen has. */
const FAR = 80;

export class Keyboard {
  constructor(readonly page: Page) {}

  focus(): Promise<Focus> {
    return this.page.evaluate(() => {
      const element = document.activeElement ?? document.body;
      const drawn = (one: Element) => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
        return (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2) || boxShadow !== 'none';
      };
      const { left, top, right, bottom, width, height } = element.getBoundingClientRect();
      const inView =
        width > 0 && height > 0 && right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
      const field = element.closest('.input');
      const part = element.closest('[role="complementary"]')
        ? 'panel'
        : element.matches('[data-testid="encryption-state"]')
          ? 'lock'
          : element.closest('header')
            ? 'top'
            : element.closest('main')
              ? 'tiles'
              : element.closest('footer')
                ? 'bar'
                : null;
      return {
        on: element.getAttribute('data-testid') ?? element.localName,
        part,
        visible:
          /^h\d$/.test(element.localName) || (inView && (drawn(element) || (field !== null && drawn(field)))),
      };
    });
  }

  /** Presses keys one after the other. */
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) await this.page.keyboard.press(key);
  }

  type(text: string): Promise<void> {
    return this.page.keyboard.type(text);
  }

  /** Goes on to something by the tab key; whatever it comes by on the way shows its focus. */
  async to(id: string, key: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
    const way: string[] = [];
    for (let steps = 0; steps < FAR; steps++) {
      const { on, visible } = await this.focus();
      if (on === id) return;
      way.push(on);
      // Behind the last element comes the browser itself.
      if (on !== 'body') expect(visible, `the focus on ${on}`).toBe(true);
      await this.press(key);
    }
    throw new Error(`no way to ${id} by ${key}: ${way.join(', ')}`);
  }

  /** Presses the button of this name: goes there and presses Enter. */
  async use(id: string, key: 'Enter' | 'Space' = 'Enter'): Promise<void> {
    await this.to(id);
    await this.press(key);
  }

  /** Waits until the focus is there. */
  async isOn(id: string): Promise<void> {
    await expect.poll(async () => (await this.focus()).on, { message: `the focus on ${id}` }).toBe(id);
    expect((await this.focus()).visible, `the focus on ${id} is seen`).toBe(true);
  }

  /** From the lock to the bar: what has the focus on the way. */
  async round(): Promise<Focus[]> {
    await this.to('encryption-state');
    const seen: Focus[] = [];
    for (let steps = 0; steps < FAR; steps++) {
      const focus = await this.focus();
      if (focus.on === 'body' || (steps > 0 && focus.on === 'encryption-state')) return seen;
      seen.push(focus);
      await this.press('Tab');
    }
    throw new Error(`no end of: ${seen.map(({ on }) => on).join(', ')}`);
  }

  /** `aria-expanded`, `aria-pressed` or `aria-checked` of the one element of this name. */
  async is(id: string, state: 'expanded' | 'pressed' | 'checked', value: boolean): Promise<void> {
    await expect(this.page.locator(testId(id))).toHaveAttribute(`aria-${state}`, String(value));
  }
}
