/** Everything the view models need from outside, injected so that tests run without DOM, network and real time. */

import type { Api } from '../api/client';
import type { RandomBytes } from '../crypto/link';
import type { NameSealer } from '../crypto/name';
import type { KeysSource } from '../e2ee/types';
import type { Message } from './messages';
import type { Devices, Rtc, Sounds } from '../rtc/types';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Returns the function that cancels it. */
  after(ms: number, run: () => void): () => void;
}

/** Text that outlives this page or this tab. Absent or refused storage behaves as empty. */
export interface Memory {
  get(key: string): string | null;
  set(key: string, value: string | null): void;
}

/** The address bar. */
export interface Address {
  readonly origin: string;
  path(): string;
  fragment(): string;
  /** A new entry in the history. */
  push(path: string, fragment: string): void;
  /** Changes the present entry. */
  replace(path: string, fragment: string): void;
  onChange(listener: () => void): void;
}

export interface Ports {
  api: Api;
  rtc: Rtc;
  keys: KeysSource;
  devices: Devices;
  sounds: Sounds;
  /** Loads what shows a meeting; rejects if it cannot be had. */
  loadMeeting(): Promise<unknown>;
  clock: Clock;
  random: RandomBytes;
  address: Address;
  /** Lives as long as the tab. */
  tab: Memory;
  /** Lives on this device. */
  local: Memory;
  sealer(secret: string, room: string): Promise<NameSealer>;
  /** Claims an identity for this tab, by a name of it; false when another tab holds it. */
  claimIdentity(claim: string): Promise<boolean>;
  /** Puts text on the clipboard; false when the browser does not allow it. */
  copy(text: string): Promise<boolean>;
  /** A message in the person's language. */
  words(message: Message): string;
}
