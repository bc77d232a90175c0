/**
 * Whether a page fits its window: nothing scrolls sideways, no word is cut without an ellipsis that says so, nothing
 * that can be pressed is out of reach or lies under something else that can be pressed.
 */
import type { Page } from '@playwright/test';

/** What does not fit, one line each. */
export function misfits(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    const slack = 1.5;

    const named = (element: Element) => {
      const words = element.getAttribute('aria-label') ?? element.textContent.trim();
      const id =
        element.getAttribute('data-testid') ?? element.className.toString().replace(/ ?svelte-\S+/g, '');
      return `${element.localName}.${id} "${words.slice(0, 40)}"`;
    };
    /** Drawn, and not only there for a screen reader. */
    const drawn = (element: Element) => {
      if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
      if (element.closest('.sr-only')) return false;
      const { width, height } = element.getBoundingClientRect();
      return width > 2 && height > 2;
    };
    const scrolls = (style: string) => style === 'auto' || style === 'scroll';

    const wide = document.documentElement.scrollWidth - innerWidth;
    if (wide > 0) found.push(`the page is ${wide} px wider than the window`);

    /** Whether somebody can scroll to what is outside of the window. */
    const within = (element: Element, axis: 'X' | 'Y') => {
      for (let box = element.parentElement; box && box !== document.body; box = box.parentElement) {
        const style = getComputedStyle(box);
        if (scrolls(axis === 'X' ? style.overflowX : style.overflowY)) return true;
      }
      const page = document.scrollingElement;
      return axis === 'Y' && page !== null && page.scrollHeight > innerHeight;
    };
    /** The part of it that no box around it cuts off. */
    const seen = (element: Element) => {
      let { left, top, right, bottom } = element.getBoundingClientRect();
      for (let box = element.parentElement; box && box !== document.body; box = box.parentElement) {
        const style = getComputedStyle(box);
        if (style.position === 'fixed') break;
        if (style.overflowX === 'visible' && style.overflowY === 'visible') continue;
        const frame = box.getBoundingClientRect();
        [left, top] = [Math.max(left, frame.left), Math.max(top, frame.top)];
        [right, bottom] = [Math.min(right, frame.right), Math.min(bottom, frame.bottom)];
      }
      return { left, top, right, bottom };
    };

    /** The nearest box that cuts off what is beyond it, in that direction; `null` when one scrolls to it. */
    const cutting = (element: Element | null, axis: 'X' | 'Y'): DOMRect | null => {
      for (let box = element; box && box !== document.body; box = box.parentElement) {
        const style = getComputedStyle(box);
        const overflow = axis === 'X' ? style.overflowX : style.overflowY;
        if (scrolls(overflow)) return null;
        if (overflow !== 'visible') return box.getBoundingClientRect();
        // Nothing around it cuts what is fixed to the window.
        if (style.position === 'fixed') break;
      }
      const page = document.scrollingElement;
      const tall = axis === 'Y' && page !== null && page.scrollHeight > innerHeight;
      return tall ? null : new DOMRect(0, 0, innerWidth, innerHeight);
    };

    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
      const element = node.parentElement;
      if (!element || !node.textContent?.trim() || !drawn(element)) continue;
      if (['OPTION', 'SCRIPT', 'STYLE', 'TITLE', 'TEXTAREA'].includes(element.tagName)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const text = range.getBoundingClientRect();
      if (text.width === 0) continue;
      const shortened = (box: Element | null) =>
        box !== null &&
        getComputedStyle(box).textOverflow === 'ellipsis' &&
        getComputedStyle(box).overflowX !== 'visible';
      const sideways = shortened(element) || shortened(element.parentElement) ? null : cutting(element, 'X');
      // Blanks at the end of a line that are kept hang over; nobody sees them.
      const hanging = getComputedStyle(element).whiteSpaceCollapse === 'preserve' ? 8 : slack;
      if (sideways && (text.left < sideways.left - hanging || text.right > sideways.right + hanging))
        found.push(`cut at the side: ${named(element)}`);
      // A text that is folded ends in an ellipsis, too.
      const folded = getComputedStyle(element).webkitLineClamp !== 'none';
      const upright = folded ? null : cutting(element, 'Y');
      // Lines reach beyond their letters: a few pixels more than the box cut nothing that is seen.
      if (upright && (text.top < upright.top - 4 || text.bottom > upright.bottom + 4))
        found.push(`cut above or below: ${named(element)}`);
      const button = element.closest('button, .btn, .input');
      if (button && !shortened(element) && !shortened(element.parentElement)) {
        const box = button.getBoundingClientRect();
        if (text.left < box.left - slack || text.right > box.right + slack || text.bottom > box.bottom + 4)
          found.push(`wider than its button: ${named(button)}`);
      }
    }

    const pressable = [
      ...document.querySelectorAll<HTMLElement>(
        'button, a[href], input, select, textarea, [role="switch"], summary',
      ),
    ].filter((element) => drawn(element) && !element.closest('[inert]') && element.tabIndex >= 0);
    const reached = pressable.filter((element) => {
      const box = element.getBoundingClientRect();
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      if (box.left < -slack || box.right > innerWidth + slack) {
        if (!within(element, 'X')) found.push(`out of the window: ${named(element)}`);
        return false;
      }
      if (y < 0 || y > innerHeight) {
        if (!within(element, 'Y')) found.push(`out of the window: ${named(element)}`);
        return false;
      }
      const hit = document.elementFromPoint(x, y);
      return hit !== null && (element.contains(hit) || hit.contains(element));
    });
    reached.forEach((one, i) => {
      const a = seen(one);
      for (const other of reached.slice(i + 1)) {
        if (one.contains(other) || other.contains(one)) continue;
        const b = seen(other);
        const [x, y] = [
          Math.min(a.right, b.right) - Math.max(a.left, b.left),
          Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
        ];
        if (x > 2 && y > 2) found.push(`overlap: ${named(one)} and ${named(other)}`);
      }
    });
    return [...new Set(found)];
  });
}
