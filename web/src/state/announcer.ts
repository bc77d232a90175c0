/** What a screen reader says politely: who came and went, gathered for three seconds so that a class arriving is one sentence. */

import type { Message } from './messages';
import type { Clock } from './ports';
import { Store } from './store';

export const BATCH_MS = 3000;
/** More names than this become a number. */
const NAMED = 3;

export class Announcer {
  /** The newest announcement; a new object each time, also for the same words. */
  readonly polite = new Store<Message | null>(null);
  #joined: string[] = [];
  #left: string[] = [];
  #cancel: (() => void) | null = null;

  constructor(private readonly clock: Clock) {}

  say(message: Message): void {
    this.polite.set({ ...message });
  }

  joined(name: string): void {
    // Somebody who left and came back within the batch is no news.
    if (!this.#remove(this.#left, name)) this.#joined.push(name);
    this.#schedule();
  }

  left(name: string): void {
    if (!this.#remove(this.#joined, name)) this.#left.push(name);
    this.#schedule();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #remove(names: string[], name: string): boolean {
    const at = names.indexOf(name);
    if (at >= 0) names.splice(at, 1);
    return at >= 0;
  }

  #schedule(): void {
    this.#cancel ??= this.clock.after(BATCH_MS, () => {
      this.#cancel = null;
      const [joined, left] = [this.#joined.splice(0), this.#left.splice(0)];
      if (joined.length > 0) this.#tell('announce.joined', 'announce.joined-many', joined);
      if (left.length > 0) this.#tell('announce.left', 'announce.left-many', left);
    });
  }

  #tell(
    few: 'announce.joined' | 'announce.left',
    many: 'announce.joined-many' | 'announce.left-many',
    names: string[],
  ): void {
    if (names.length <= NAMED) this.say({ key: few, args: { names: names.join(', '), count: names.length } });
    else this.say({ key: many, args: { count: names.length } });
  }
}
