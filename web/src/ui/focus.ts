/** Where the keyboard's focus goes. */

/** What has the focus when a box opens: what can be used first, or what is chosen in its group; else the box. */
export function entranceOf(box: HTMLElement): HTMLElement {
  const first = box.querySelector<HTMLElement>('button, input, select');
  return first?.closest('fieldset')?.querySelector<HTMLElement>('input:checked') ?? first ?? box;
}

/** Gives the focus back to where it was, if nothing has it; to the heading, if that place is gone. */
export function returnFocus(before: Element | null): void {
  if (!before || document.activeElement !== document.body) return;
  const place = before.isConnected ? before : document.querySelector('h1');
  if (place instanceof HTMLElement) place.focus();
}

/** Whether the focus moved out of a box; not when the whole page lost it. */
export function leaves(box: HTMLElement, { relatedTarget }: Pick<FocusEvent, 'relatedTarget'>): boolean {
  return relatedTarget !== null && !box.contains(relatedTarget as Node);
}
