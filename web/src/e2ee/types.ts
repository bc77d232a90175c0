/** What the rest of the client knows of the keys of a meeting. Neither keys nor workers pass this file. */

import type { MediaEncryption } from './media/encryption';
import type { SessionConfig } from './keys/messages';
import type { Content, Event, Roster, State, Stream } from './keys/wire';

export type { StreamKind } from './media/messages';
export type { Content, HostAction, Line, Roster, RosterMember, State, Stop, Stream } from './keys/wire';

type Unsubscribe = () => void;

/** What happens to the keys of a meeting. */
export type KeysEvent =
  | Event
  /** The encryption does not run, or no longer: nothing is sent and nothing is shown. */
  | { type: 'failed' }
  /** A stream of somebody does not open under the keys, or no longer fails to; `id` is its own, whoever's it is. */
  | { type: 'stream'; id: number; identity: string; opens: boolean };

/** What a connection does for the keys, and they for it. */
export interface ConnectionKeys {
  /** Seals what is sent and opens what is received. */
  readonly media: MediaEncryption;
  /** A data packet on our topic came. */
  packet(payload: Uint8Array): void;
  /** Data packets that are to be sent on our topic, to everybody if nobody is named. */
  onPacket(send: (payload: Uint8Array<ArrayBuffer>, to: string[]) => void): Unsubscribe;
  /** Whether data packets reach the others. */
  path(open: boolean): void;
  /** What the own streams are. */
  streams(streams: Stream[]): void;
  /** The token of the connection is another one from now on. */
  renew(token: string): void;
}

/** The keys of one meeting, from `open` to `leave`. */
export interface MeetingKeys extends ConnectionKeys {
  /** Follows from the signature key. */
  readonly identity: string;
  readonly state: State;
  /** Who holds the keys; `null` before we are among them. */
  readonly roster: Roster | null;
  /** The encryption does not run. */
  readonly failed: boolean;
  on(listener: (event: KeysEvent) => void): Unsubscribe;
  /** Opens the way to the server over which members agree on keys. */
  connect(server: string, room: string, token: string): void;
  /** Says something to everybody; what could not be sealed comes back as `not-sent`. */
  send(content: Content): void;
  /** The person compared the digits of an epoch. */
  compared(epoch: number, matches: boolean): void;
  /** Tells the others, forgets every key, ends the workers. Nothing is heard of it after that. */
  leave(): void;
}

export interface KeysRequest extends SessionConfig {
  /** Seed of the signature key, from which the identity follows: 32 random bytes. */
  seed: Uint8Array;
}

/** The entrance to keys. */
export interface KeysSource {
  /** `null` where this browser can encrypt meetings. */
  obstacle(): 'unsupported' | null;
  /** Loads what it takes, ahead of time. */
  preload(): void;
  /** @throws KeysError */
  open(request: KeysRequest): Promise<MeetingKeys>;
}

/** Why there are no keys. */
export class KeysError extends Error {
  override readonly name = 'KeysError';
  constructor(readonly problem: 'unsupported' | 'failed') {
    super(problem);
  }
}
