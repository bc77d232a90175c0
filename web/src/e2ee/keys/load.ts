/**
 * The session of `crates/e2ee`, compiled to WebAssembly: `scripts/wasm-build` leaves it in `wasm/`. Made for a module
 * worker: nothing of it is needed before somebody joins, and it computes for milliseconds at a time.
 */

import init, { Session } from './wasm/e2ee.js';

export type { Session };

export interface Keys {
  /** Opens sessions; the messages are those of `crates/e2ee/src/session/wire.rs`. */
  Session: typeof Session;
  memory: WebAssembly.Memory;
}

let loading: Promise<Keys> | undefined;

/**
 * Compiles the module while it arrives, once. It comes from this page's own server unless its bytes are given, as
 * tests do. After a failure the next call tries again.
 */
export function load(bytes?: BufferSource): Promise<Keys> {
  loading ??= init({ module_or_path: bytes ?? new URL('./wasm/e2ee_bg.wasm', import.meta.url) }).then(
    ({ memory }) => ({ Session, memory }),
    (error: unknown) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
}
