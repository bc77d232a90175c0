/** What a field for a name takes: writing and pasting stop where the sealed name would be full. */

import { fitName } from '../crypto/name';

const fits = (name: string) => fitName(name) === name;

/** Characters as people count them, where the browser can tell: a family of emoji is one. */
function* characters(text: string): Iterable<string> {
  if (!('Segmenter' in Intl)) yield* text;
  else for (const { segment } of new Intl.Segmenter().segment(text)) yield segment;
}

/** Of what was just put into `before`, as much as fits; what stood there stays. */
export function fill(before: string, typed: string): string {
  if (fits(typed)) return typed;
  // By code points, so that no half of one is left behind.
  const [old, now] = [[...before], [...typed]];
  const most = Math.min(old.length, now.length);
  let start = 0;
  while (start < most && old[start] === now[start]) start++;
  let end = 0;
  while (end < most - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const part = (from: number, to: number) => now.slice(from, to).join('');
  const [head, tail] = [part(0, start), part(now.length - end, now.length)];
  const pasted = part(start, now.length - end);
  let put = '';
  for (const character of characters(head === '' ? pasted.trimStart() : pasted)) {
    if (!fits(head + put + character + tail)) break;
    put += character;
  }
  return head + put + tail;
}
