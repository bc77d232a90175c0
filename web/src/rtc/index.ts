/** The entrance of this layer: keeps the media library out of the first load. */

import type { Rtc } from './types';

export { browserDevices } from './devices';
export { browserSounds } from './sounds';

export function liveKitRtc(): Rtc {
  const start = () => import('./livekit');
  let library: ReturnType<typeof start> | null = null;
  const load = () => (library ??= start());
  return {
    async preload() {
      try {
        await load();
      } catch {
        // Tried again when connecting, which reports the failure.
        library = null;
      }
    },
    async connect(url, token, options) {
      return (await load()).connect(url, token, options);
    },
  };
}
