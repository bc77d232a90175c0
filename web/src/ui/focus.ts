/** Where the keyboard's focus goes. */

/** What has the focus when a box opens: the chosen one, else the first that can be used, else the box. */
export function entranceOf(box: HTMLElement): HTMLElement {
  return (
    box.querySelector<HTMLElement>('input:checked') ??
    box.querySelector<HTMLElement>('button, input, select') ??
    box
  );
}

/** Whether the focus moved out of a box; not when the whole page lost it. */
export function leaves(box: HTMLElement, { relatedTarget }: Pick<FocusEvent, 'relatedTarget'>): boolean {
  return relatedTarget !== null && !box.contains(relatedTarget as Node);
}
