/**
 * Who this tab is: the seed of a signature key, from which its identity follows. Kept over a reload, never used by two
 * tabs at once.
 */

import { claimOf, newSeed, readSeed, writeSeed } from '../crypto/identity';
import type { Ports } from './ports';

const KEY = 'konklave.key';

export class TabIdentity {
  #current: Uint8Array | null = null;
  /** It may have been in the meeting before, in this page or before it was loaded. */
  isKept = false;

  constructor(private readonly ports: Pick<Ports, 'tab' | 'random' | 'claimIdentity'>) {}

  async seed(): Promise<Uint8Array> {
    if (this.#current) {
      this.isKept = true;
      return this.#current;
    }
    const kept = readSeed(this.ports.tab.get(KEY) ?? '');
    // A duplicated tab inherits the storage, but not the claim.
    if (kept && (await this.ports.claimIdentity(await claimOf(kept)))) {
      this.#current = kept;
      this.isKept = true;
      return kept;
    }
    return this.renew();
  }

  /** Takes a fresh one, for example because the server says that the old one is still present. */
  async renew(): Promise<Uint8Array> {
    const fresh = newSeed(this.ports.random);
    await this.ports.claimIdentity(await claimOf(fresh));
    this.ports.tab.set(KEY, writeSeed(fresh));
    this.#current = fresh;
    this.isKept = false;
    return fresh;
  }
}
