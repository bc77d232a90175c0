/**
 * The keys of the epochs that are in use, and the one that frames are sealed with. Base keys are imported on arrival and
 * cannot be exported from then on; keys of leaves are derived when the first frame of theirs is expected.
 *
 * No key seals twice under one counter: each epoch can be switched to once, only forwards, and its key holds the counter
 * of all streams. A group that one comes into anew has new base keys, and so counters of its own.
 */

import { epochByteOf, kidOf, leafOf } from './header';
import type { KeyMessage } from './messages';
import { ReplayWindow } from './replay';
import { deriveKey, importBase, type FrameKey } from './suite';

/** Frames that one key may seal: far more than a meeting has, and as few as any bound on GCM asks for. */
const MOST_FRAMES = 2 ** 32;

/** Opens frames of one leaf in one epoch. */
export interface ReadKey extends FrameKey {
  readonly epoch: number;
  readonly window: ReplayWindow;
}

/** Seals one's own frames in one epoch. */
export class SendKey {
  #next = 0;

  constructor(readonly frame: FrameKey) {}

  /** A counter that no other frame has had; `null` when there are no more. */
  count(): number | null {
    return this.#next < MOST_FRAMES ? this.#next++ : null;
  }
}

class Epoch {
  readonly readers = new Map<number, Promise<ReadKey>>();
  constructor(
    readonly number: number,
    readonly base: Promise<CryptoKey>,
  ) {}
}

export class Keyring {
  /** By the low byte of the epoch, which is all that a frame says of it. */
  readonly #epochs = new Map<number, Epoch>();
  readonly #erased = new Set<number>();
  #leaf: number | null = null;
  /** The newest key that was switched to. It is kept over a pause, since its counter must go on. */
  #sending: { epoch: number; key: Promise<SendKey | null> } | null = null;
  #paused = false;
  #lastSent = -1;
  #groups = 0;

  /** Takes a message of whoever holds the keys. */
  handle(message: KeyMessage): void {
    switch (message.type) {
      case 'keys':
        return this.#add(message.epoch, message.base);
      case 'own':
        return this.#own(message.leaf);
      case 'send':
        return this.#send(message.epoch);
      case 'erase':
        return this.#erase(message.epoch);
      case 'reset':
        return this.#reset();
    }
  }

  /** The key to seal with; `null` while nothing may be sent. */
  get sending(): Promise<SendKey | null> | null {
    return this.#paused ? null : (this.#sending?.key ?? null);
  }

  /** How often a group was come into anew: frames of one are neither earlier nor later than those of another. */
  get groups(): number {
    return this.#groups;
  }

  /** The key that opens frames of a key id; `null` if its epoch is unknown or erased. */
  reading(kid: number): Promise<ReadKey> | null {
    const epoch = this.#epochs.get(epochByteOf(kid));
    if (!epoch) return null;
    const leaf = leafOf(kid);
    let key = epoch.readers.get(leaf);
    if (!key) {
      key = readKey(epoch, kidOf(leaf, epoch.number));
      epoch.readers.set(leaf, key);
    }
    return key;
  }

  /** Whether frames of a key may still be shown: it may have been erased while one was being opened. */
  isLive(key: ReadKey): boolean {
    return this.#epochs.get(epochByteOf(key.kid))?.number === key.epoch;
  }

  #add(number: number, base: ArrayBuffer): void {
    const before = this.#epochs.get(number % 256);
    if (this.#erased.has(number) || (before && before.number >= number)) {
      new Uint8Array(base).fill(0);
      return;
    }
    if (before) this.#erase(before.number);
    const epoch = new Epoch(number, importBase(base));
    // Whoever needs it finds out; without this it would count as unhandled until then.
    epoch.base.catch(() => undefined);
    this.#epochs.set(number % 256, epoch);
  }

  #own(leaf: number): void {
    if (leaf === this.#leaf) return;
    this.#leaf = leaf;
    this.#sending = null;
  }

  #send(number: number | null): void {
    this.#paused = number === null;
    if (number === null || this.#sending?.epoch === number) return;
    this.#sending = null;
    const epoch = this.#epochs.get(number % 256);
    if (this.#leaf === null || epoch?.number !== number || number <= this.#lastSent) return;
    this.#lastSent = number;
    this.#sending = { epoch: number, key: sendKey(epoch, kidOf(this.#leaf, number)) };
  }

  #reset(): void {
    for (const { number } of [...this.#epochs.values()]) this.#erase(number);
    this.#erased.clear();
    this.#leaf = null;
    this.#sending = null;
    this.#lastSent = -1;
    this.#groups++;
  }

  #erase(number: number): void {
    this.#erased.add(number);
    if (this.#sending?.epoch === number) this.#sending = null;
    const epoch = this.#epochs.get(number % 256);
    if (epoch?.number !== number) return;
    this.#epochs.delete(number % 256);
    for (const reader of epoch.readers.values())
      void reader.then(({ salt }) => salt.fill(0)).catch(() => undefined);
  }
}

async function readKey(epoch: Epoch, kid: number): Promise<ReadKey> {
  const key = await deriveKey(await epoch.base, kid, 'decrypt');
  return { ...key, epoch: epoch.number, window: new ReplayWindow() };
}

async function sendKey(epoch: Epoch, kid: number): Promise<SendKey | null> {
  try {
    return new SendKey(await deriveKey(await epoch.base, kid, 'encrypt'));
  } catch {
    return null;
  }
}
