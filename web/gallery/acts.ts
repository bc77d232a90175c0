/** What a scene does to the page, as a person would: press, type, use a key. */

import { until } from '../scripted/world';

function find<E extends HTMLElement>(selector: string): E {
  const element = document.querySelector<E>(selector);
  if (!element) throw new Error(`no ${selector}`);
  return element;
}

export async function there(selector: string): Promise<void> {
  await until(() => document.querySelector(selector) !== null);
}

const testid = (id: string) => `[data-testid="${id}"]`;

export async function press(id: string): Promise<void> {
  await there(testid(id));
  find(testid(id)).click();
}

export async function type(id: string, text: string): Promise<void> {
  await there(testid(id));
  const field = find<HTMLInputElement>(testid(id));
  field.value = text;
  field.dispatchEvent(new Event('input', { bubbles: true }));
}

export async function key(name: string): Promise<void> {
  await there(testid('meeting'));
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true }));
}
