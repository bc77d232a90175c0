/** Words: ICU messages of one language, chosen by the browser's languages or by hand. */

import { IntlMessageFormat } from 'intl-messageformat';
import type de from '../../locales/de.json';
import { Store, type Readable } from '../state/store';

export const LANGUAGES = ['de', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

export type Messages = typeof de;
export type MessageKey = keyof Messages;
export type Args = Record<string, string | number>;
export type Translate = (key: MessageKey, args?: Args) => string;

const KEPT = 'konklave.language';

const LOADERS: Record<Language, () => Promise<{ default: Messages }>> = {
  de: () => import('../../locales/de.json'),
  en: () => import('../../locales/en.json'),
};

/** The first of the wanted languages that we speak; English for everybody else. */
export function pickLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const language = LANGUAGES.find((known) => known === tag.toLowerCase().split('-')[0]);
    if (language) return language;
  }
  return 'en';
}

export function translator(language: Language, messages: Messages): Translate {
  const formats = new Map<MessageKey, IntlMessageFormat>();
  return (key, args) => {
    let format = formats.get(key);
    if (!format) {
      format = new IntlMessageFormat(messages[key], language, undefined, { ignoreTag: true });
      formats.set(key, format);
    }
    return String(format.format(args));
  };
}

const language = new Store<Language>('en');
const translate = new Store<Translate>((key) => key);

/** The present language. */
export const locale: Readable<Language> = language;
/** Formats a message; components read it as `$t`. */
export const t: Readable<Translate> = translate;

export async function setLanguage(to: Language, keep = false): Promise<void> {
  const { default: messages } = await LOADERS[to]();
  if (keep) {
    try {
      localStorage.setItem(KEPT, to);
    } catch {
      // Private windows may refuse; the choice then lasts as long as the page.
    }
  }
  speak(to, messages);
}

/** Speaks that language in these words. */
export function speak(to: Language, messages: Messages): void {
  document.documentElement.lang = to;
  language.set(to);
  translate.set(translator(to, messages));
}

/** The language chosen on this device, else by the browser's list. */
export function preferredLanguage(): Language {
  let kept: string | null = null;
  try {
    kept = localStorage.getItem(KEPT);
  } catch {
    // Treated as not chosen.
  }
  return pickLanguage(kept ? [kept] : navigator.languages);
}
