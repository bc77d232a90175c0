/** The identity of this tab: random, kept over a reload, never used by two tabs at once. */

import { isIdentity, newIdentity } from '../crypto/identity';
import type { Ports } from './ports';

const KEY = 'konklave.identity';

export class TabIdentity {
  #current: string | null = null;

  constructor(private readonly ports: Pick<Ports, 'tab' | 'random' | 'claimIdentity'>) {}

  async get(): Promise<string> {
    if (this.#current) return this.#current;
    const kept = this.ports.tab.get(KEY);
    // A duplicated tab inherits the storage, but not the claim.
    if (kept && isIdentity(kept) && (await this.ports.claimIdentity(kept))) {
      this.#current = kept;
      return kept;
    }
    return this.renew();
  }

  /** Takes a fresh one, for example because the server says that the old one is still present. */
  async renew(): Promise<string> {
    const fresh = newIdentity(this.ports.random);
    await this.ports.claimIdentity(fresh);
    this.ports.tab.set(KEY, fresh);
    this.#current = fresh;
    return fresh;
  }
}
