/** What the worker of the keys is told and tells. */

import type { Content, Event, Stream } from './wire';

/** What a session is for. */
export interface SessionConfig {
  origin: string;
  /** Normalised. */
  room: string;
  /** Of the link. */
  fragment: string;
  /** Tidied. */
  name: string;
}

/** From the page. */
export type PageMessage =
  /** Loads the session's code ahead of time. */
  | { type: 'load' }
  /** Opens the session; only the first one counts. */
  | {
      type: 'open';
      config: SessionConfig;
      /** Seed of the signature key. */
      key: Uint8Array<ArrayBuffer>;
      /** Takes the media worker's `KeyMessage`s. */
      media: MessagePort;
    }
  /** Opens the channel at this address. */
  | { type: 'connect'; url: string; token: string }
  /** The token is another one from now on. */
  | { type: 'token'; token: string }
  /** A data packet on our topic came. */
  | { type: 'packet'; payload: Uint8Array }
  /** Whether data packets reach the others. */
  | { type: 'path'; open: boolean }
  | { type: 'send'; content: Content }
  | { type: 'streams'; streams: Stream[] }
  | { type: 'compared'; epoch: number; matches: boolean }
  | { type: 'leave' };

/** To the page. */
export type WorkerMessage =
  | { type: 'opened'; identity: string }
  /** There is no session, or none any longer: nothing is sealed or opened from now on. */
  | { type: 'failed' }
  | { type: 'event'; event: Event }
  /** To be sent as a data packet on our topic; to everybody if nobody is named. */
  | { type: 'packet'; to: string[]; payload: Uint8Array<ArrayBuffer> }
  /** The session has stopped, and the server has been told. */
  | { type: 'closed' };
