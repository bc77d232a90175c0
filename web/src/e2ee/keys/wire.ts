/**
 * What goes in and out of a session, as JSON: the types of `crates/e2ee/src/session/wire.rs`, and of what stands in them
 * (`message.rs`, `roster.rs`, `rotation.rs`). Bytes are base64.
 */

import type { StreamKind } from '../media/messages';

/** What people say and do. */
export type Content =
  | { type: 'chat'; id: string; text: string }
  | { type: 'reaction'; emoji: string }
  | { type: 'hand'; raised: boolean }
  | { type: 'poll'; id: string; question: string; options: string[] }
  | { type: 'vote'; poll: string; option: number | null };

/** One stream of its sender: the server's id of its track, and what it shows. */
export interface Stream {
  track: string;
  kind: StreamKind;
}

/** A line of the chat so far, in the words of the member who hands it on. */
export interface Line {
  id: string;
  /** The author's identity. */
  from: string;
  name: string;
  text: string;
  /** Milliseconds since the epoch. */
  at: number;
}

/** Who holds the keys of an epoch. */
export interface Roster {
  /** Names what is compared. */
  epoch: number;
  /** Nobody comes in without being admitted by a host. */
  locked: boolean;
  /** By leaf. */
  members: RosterMember[];
  /** Six groups of five digits: the same for all who have these keys. */
  digits: string[];
  /** A hint, easier to say. */
  emoji: string[];
}

export interface RosterMember {
  identity: string;
  /** Names its media keys. */
  leaf: number;
  /** Absent where it does not open under this link. */
  name?: string;
  own: boolean;
  host: boolean;
  /** The server says that it is connected. */
  here: boolean;
  /** Since when nothing was heard of it, in milliseconds since the epoch, if for 30 s and more: "not confirmed". */
  silent_since?: number;
  /** Its key was there when we compared digits. */
  compared: boolean;
  /** It says that it compared digits and found them equal. */
  verified: boolean;
}

/** Why a session is over. */
export type Stop =
  | 'left'
  | 'other-link'
  | 'password'
  | 'locked'
  | 'removed'
  | 'other-meeting'
  | 'out-of-step'
  | 'elsewhere'
  | 'ended'
  | 'refused'
  | 'full';

/** How a session stands. */
export type State =
  /** On the way into the group: nothing can be sealed yet. */
  | { type: 'connecting' }
  /** The server may have lost the meeting; those who were in it restore it. */
  | { type: 'restoring' }
  /** `confirmed`: somebody else showed that they are in the same state, or nobody else is there. */
  | { type: 'member'; confirmed: boolean }
  | { type: 'stopped'; reason: Stop };

/** A host's word that members act on themselves. */
export type HostAction =
  | { type: 'lock' | 'lobby' | 'password' | 'recording'; on: boolean }
  | { type: 'admit' | 'kick' | 'host'; identity: string }
  | { type: 'permissions'; bits: number }
  | { type: 'mute-all' | 'end' };

/** What people are to know. */
export type Event =
  | { type: 'state'; state: State }
  | { type: 'roster'; roster: Roster }
  | { type: 'received'; from: string; content: Content }
  /** No keys yet, or no way to the others. */
  | { type: 'not-sent'; content: Content }
  /** Chat from before we came, oldest first. */
  | { type: 'history'; lines: Line[] }
  | { type: 'compared'; from: string; matches: boolean }
  /** The link has another secret from now on; the fragment comes with its `#`. */
  | { type: 'link-changed'; fragment: string }
  | { type: 'said'; host: string; action: HostAction }
  /** The streams of a member, as it says itself. */
  | { type: 'streams'; from: string; streams: Stream[] };

/** For the frame encryption. */
export type Media =
  | { type: 'own'; leaf: number }
  | { type: 'keys'; epoch: number; base: string }
  | { type: 'send'; epoch: number | null }
  | { type: 'erase'; epoch: number }
  | { type: 'reset' };

/** What a session takes, without what comes from the server. */
export type Input =
  | { type: 'connected' }
  | { type: 'disconnected' }
  | { type: 'message'; data: string }
  | { type: 'path'; open: boolean }
  | { type: 'send'; content: Content }
  | { type: 'streams'; streams: Stream[] }
  | { type: 'compared'; epoch: number; matches: boolean }
  | { type: 'leave' }
  | { type: 'timeout' };

/** What a session gives. */
export type Output =
  /** Goes over the channel as it is. */
  | { type: 'channel'; message: object }
  /** Goes as a data packet to these identities, to everybody if there are none. */
  | { type: 'message'; to: string[]; data: string }
  | { type: 'media'; media: Media }
  | { type: 'event'; event: Event };

/** Characters of a message of the server that are looked at: more than its largest. */
const MOST_CHARACTERS = 4 << 20;

/**
 * The input for a message of the server; `null` for what is none. It is written anew, so that nothing in it can pass for
 * another input.
 */
export function inputOfServer(text: unknown): string | null {
  if (typeof text !== 'string' || text.length > MOST_CHARACTERS) return null;
  try {
    const message: unknown = JSON.parse(text);
    if (typeof message !== 'object' || message === null || Array.isArray(message)) return null;
    return JSON.stringify({ type: 'channel', message });
  } catch {
    return null;
  }
}
