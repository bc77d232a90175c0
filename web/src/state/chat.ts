/** Chat: the messages of a meeting as a list. They come and go sealed; what others wrote is bounded and tidied. */

import type { Line } from '../e2ee/types';
import { nameIn, type PersonName } from './people';

/** Longest message, in characters. */
export const TEXT_MAX = 4000;
/** Messages kept; the oldest go first. Bounds the memory that a flood can take. */
export const KEPT = 5000;
/** Messages are drawn in pages of so many: the last one or two, older ones when somebody goes back to them. */
export const PAGE = 200;
/** Messages of one person that follow each other so closely stand under one name. */
const GROUP_MS = 60_000;
/** Longer texts are folded. */
const LONG = { characters: 1000, lines: 15 };

export interface ChatMessage {
  /** Unique within the list. */
  key: string;
  from: string;
  /** The sender's name when the message came; they may be gone by now. */
  author: PersonName;
  own: boolean;
  text: string;
  /** When it arrived (or was sent) by this browser's clock, milliseconds. */
  at: number;
  /** Waits for keys, or for the way to the others. */
  pending?: boolean;
  /** From before we came: somebody handed it on, and nobody else vouches for its author. */
  handedOn?: boolean;
  /** Stands under the same name as the one before. */
  continues: boolean;
}

type Written = Omit<ChatMessage, 'continues'>;

/** Unique within the list: ids are chosen by those who write. */
export const keyOf = (from: string, id: string): string => `${from} ${id}`;

/** A piece of a message: plain text, or an address that can be opened. */
export type TextPart = { kind: 'text'; text: string } | { kind: 'link'; text: string; href: string };

/** A message as it is sent and shown: line breaks kept, other control characters gone, bounded. */
export function tidyText(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n\t]/gu, '')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
    .slice(0, TEXT_MAX);
}

/** How many more characters a message that is being written may have; below 0, how many it has too many. */
export function charactersLeft(draft: string): number {
  return TEXT_MAX - draft.trim().length;
}

export function isLong(text: string): boolean {
  return text.length > LONG.characters || text.split('\n', LONG.lines + 1).length > LONG.lines;
}

/** Messages as text to be copied; the lines of one message cannot pass for another. */
export function transcript(messages: ChatMessage[], headOf: (message: ChatMessage) => string): string {
  return messages
    .map((message) => `${headOf(message)}: ${message.text.replaceAll('\n', '\n    ')}`)
    .join('\n');
}

/** Stands after an address more often than in it. */
const TRAILING = '.,;:!?)]}';

/** An address ends at blanks, quotes and whatever would turn its letters round. */
const ADDRESS = /https?:\/\/[^\s<>"'„“”«»\p{Bidi_Control}]+/giu;

function withoutTrailing(address: string): string {
  let end = address.length;
  while (end > 0 && TRAILING.includes(address.charAt(end - 1))) end--;
  return address.slice(0, end);
}

/** Splits a message into text and web addresses. Only http and https become links, and they show what they open. */
export function textParts(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let at = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const url = withoutTrailing(match[0]);
    let href: string;
    try {
      href = new URL(url).href;
    } catch {
      continue;
    }
    if (match.index > at) parts.push({ kind: 'text', text: text.slice(at, match.index) });
    parts.push({ kind: 'link', text: url, href });
    at = match.index + url.length;
  }
  if (at < text.length) parts.push({ kind: 'text', text: text.slice(at) });
  return parts;
}

/** The messages of a meeting and which of them were seen. */
export interface ChatLog {
  messages: ChatMessage[];
  unread: number;
  /** Key of the first message that came while the chat was closed; the divider stands above it. */
  firstNew: string | null;
}

export const EMPTY_CHAT: ChatLog = { messages: [], unread: 0, firstNew: null };

/** Adds a message; a repeated one (same sender and id) changes nothing. `open` = the chat is being looked at. */
export function addMessage(log: ChatLog, message: Written, open: boolean): ChatLog {
  if (log.messages.some((known) => known.key === message.key)) return log;
  const messages = log.messages.slice(log.messages.length < KEPT ? 0 : 1);
  messages.push(following(log.messages.at(-1), message));
  if (message.own) return { messages, unread: log.unread, firstNew: open ? null : log.firstNew };
  if (open) return { ...log, messages };
  return { messages, unread: log.unread + 1, firstNew: log.firstNew ?? message.key };
}

function following(before: ChatMessage | undefined, message: Written): ChatMessage {
  const continues =
    before?.from === message.from &&
    before.handedOn === message.handedOn &&
    message.at - before.at < GROUP_MS;
  return { ...message, continues };
}

/** Adds what was written before we came, in its place; nothing of it is news. `own` is one's own identity. */
export function addHistory(log: ChatLog, lines: readonly Line[], own: string): ChatLog {
  const known = new Set(log.messages.map(({ key }) => key));
  const older: Written[] = [];
  for (const { id, from, name, text, at } of lines) {
    const [key, clean] = [keyOf(from, id), tidyText(text)];
    if (clean === '' || known.has(key)) continue;
    known.add(key);
    older.push({ key, from, author: nameIn({ name }), own: from === own, text: clean, at, handedOn: true });
  }
  if (older.length === 0) return log;
  const all: Written[] = [...older, ...log.messages].toSorted((a, b) => a.at - b.at).slice(-KEPT);
  const messages: ChatMessage[] = [];
  for (const message of all) messages.push(following(messages.at(-1), message));
  return { ...log, messages };
}

/** A message of one's own waits, or waits no longer. */
export function setPending(log: ChatLog, key: string, pending: boolean): ChatLog {
  const at = log.messages.findIndex((message) => message.key === key);
  const message = log.messages[at];
  if (!message || (message.pending ?? false) === pending) return log;
  return { ...log, messages: log.messages.with(at, { ...message, pending }) };
}

/** The chat was opened: everything counts as read, the divider stays until it is closed. */
export function markRead(log: ChatLog): ChatLog {
  return log.unread === 0 ? log : { ...log, unread: 0 };
}

/** The chat was closed: the divider goes. */
export function closeChat(log: ChatLog): ChatLog {
  return log.firstNew === null || log.unread > 0 ? log : { ...log, firstNew: null };
}

/** The first message to draw, of so many; moves by whole pages, so that what is drawn stays drawn for a while. */
export function firstDrawn(count: number): number {
  return Math.max(0, Math.floor(count / PAGE) - 1) * PAGE;
}
