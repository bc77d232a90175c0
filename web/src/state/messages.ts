/** View models speak in keys of the locale files; the interface turns them into words. */

import type de from '../../locales/de.json';

export type MessageKey = keyof typeof de;

export interface Message {
  key: MessageKey;
  args?: Record<string, string | number>;
}

/** A refusal in words, with the code that stands behind it. */
export interface Refusal extends Message {
  code: string;
}
