/** The entrance of the encryption: keys in one worker, frames in another, and the page between them with neither. */

import { WorkerKeys } from './meeting-keys';
import { MediaEncryption } from './media/encryption';
import type { PageMessage } from './keys/messages';
import { KeysError, type KeysSource } from './types';

function canEncrypt(): boolean {
  return (
    typeof WebAssembly === 'object' &&
    typeof Worker === 'function' &&
    typeof WebSocket === 'function' &&
    MediaEncryption.isSupported()
  );
}

const start = () => new Worker(new URL('./keys/worker.ts', import.meta.url), { type: 'module' });

export function browserKeys(): KeysSource {
  /** Has loaded what it needs, and waits for a meeting. */
  let spare: Worker | null = null;
  const obstacle = () => (canEncrypt() ? null : 'unsupported');
  return {
    obstacle,
    preload() {
      if (spare || obstacle()) return;
      spare = start();
      spare.postMessage({ type: 'load' } satisfies PageMessage);
    },
    async open(request) {
      const blocked = obstacle();
      if (blocked) throw new KeysError(blocked);
      const worker = spare ?? start();
      spare = null;
      return WorkerKeys.open(worker, MediaEncryption.start(), request);
    },
  };
}
