/** The keys of a meeting: what each does, and when it counts. One table for the keyboard and for the list of keys. */

import type { MessageKey } from '../i18n';

export type Action =
  'microphone' | 'camera' | 'share' | 'chat' | 'people' | 'layout' | 'previous' | 'next' | 'talk' | 'list';

export const SHORTCUTS: readonly { key: string; action: Action; words: MessageKey }[] = [
  { key: 'M', action: 'microphone', words: 'shortcuts.microphone' },
  { key: ' ', action: 'talk', words: 'shortcuts.talk' },
  { key: 'V', action: 'camera', words: 'shortcuts.camera' },
  { key: 'D', action: 'share', words: 'shortcuts.share' },
  { key: 'C', action: 'chat', words: 'shortcuts.chat' },
  { key: 'P', action: 'people', words: 'shortcuts.people' },
  { key: 'L', action: 'layout', words: 'shortcuts.layout' },
  { key: 'PageUp', action: 'previous', words: 'stage.previous' },
  { key: 'PageDown', action: 'next', words: 'stage.next' },
  { key: '?', action: 'list', words: 'shortcuts.list' },
];

/** What the place does with the key itself: the space bar presses a button, and a list scrolls. */
const TAKEN: Record<Place, readonly (Action | null)[]> = {
  page: [],
  control: ['talk'],
  list: ['talk', 'previous', 'next'],
  field: SHORTCUTS.map(({ action }) => action),
};

export type KeyPress = Pick<
  KeyboardEvent,
  'key' | 'code' | 'ctrlKey' | 'metaKey' | 'altKey' | 'repeat' | 'isComposing' | 'defaultPrevented'
>;

/** Where the focus is: in something to write in or choose from, on something that the space bar works, in a list that scrolls, or elsewhere. */
export type Place = 'field' | 'control' | 'list' | 'page';

export function placeOf(target: EventTarget | null): Place {
  if (!(target instanceof Element)) return 'page';
  if (target.closest('input, textarea, select, [contenteditable]')) return 'field';
  // What scrolls by itself takes the focus, and so do buttons in it.
  if (target.closest('[tabindex="0"]')) return 'list';
  return target.closest('button, a, summary') ? 'control' : 'page';
}

/** On other alphabets the key counts by its place: what is M on a Latin keyboard. */
function nameOf({ key, code }: KeyPress): string {
  return key.length === 1 && key > '~' ? code.replace(/^Key/, '') : key.toUpperCase();
}

/** What a pressed key asks for; `null` for nothing. */
export function actionOf(press: KeyPress, place: Place): Action | null {
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  if (press.repeat || press.isComposing || press.defaultPrevented) return null;
  const action = SHORTCUTS.find(({ key }) => key.toUpperCase() === nameOf(press))?.action ?? null;
  return TAKEN[place].includes(action) ? null : action;
}
