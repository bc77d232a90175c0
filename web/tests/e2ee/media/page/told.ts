/** Key messages as a test writes them. */

import type { KeyMessage } from '../../../../src/e2ee/media/messages';

/** A base key is told as the byte that it is filled with. */
export type Told = { type: 'keys'; epoch: number; seed: number } | Exclude<KeyMessage, { type: 'keys' }>;

export function post(port: MessagePort, message: Told): void {
  if (message.type !== 'keys') {
    port.postMessage(message);
    return;
  }
  const base = new Uint8Array(32).fill(message.seed).buffer;
  port.postMessage({ type: 'keys', epoch: message.epoch, base }, [base]);
}
