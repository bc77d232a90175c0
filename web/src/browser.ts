/** The browser's side of the ports: clock, storage, address bar, clipboard, random bytes. */

import { t } from './i18n';
import { nameSealer } from './crypto/name';
import type { RandomBytes } from './crypto/link';
import type { Address, Memory, Ports } from './state/ports';

const random: RandomBytes = (count) => crypto.getRandomValues(new Uint8Array(count));

/** Storage that may be refused (private windows, blocked site data) and then simply forgets. */
function memory(storage: () => Storage): Memory {
  return {
    get(key) {
      try {
        return storage().getItem(key);
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, value);
      } catch {
        // Forgotten.
      }
    },
  };
}

const address: Address = {
  origin: location.origin,
  path: () => location.pathname,
  fragment: () => location.hash,
  push: (path, fragment) => history.pushState(null, '', path + fragment),
  replace: (path, fragment) => history.replaceState(null, '', path + fragment),
  onChange(listener) {
    addEventListener('popstate', listener);
    addEventListener('hashchange', listener);
  },
};

/** Holds a lock on the identity as long as this page lives; another tab with the same one does not get it. */
async function claimIdentity(claim: string): Promise<boolean> {
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    void navigator.locks
      .request(`konklave-identity-${claim}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise<never>(() => undefined);
      })
      .catch(() => resolve(true));
  });
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function browserPorts(
  parts: Pick<Ports, 'api' | 'rtc' | 'keys' | 'devices' | 'sounds' | 'loadMeeting'>,
): Ports {
  return {
    ...parts,
    clock: {
      now: () => Date.now(),
      after(ms, run) {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
    random,
    address,
    tab: memory(() => sessionStorage),
    local: memory(() => localStorage),
    sealer: (secret, room) => nameSealer(secret, room, random),
    claimIdentity,
    copy,
    words: ({ key, args }) => t.get()(key, args),
  };
}
