/** What a screen reader says politely: who came and went, gathered for three seconds so that a class arriving is one sentence. */

import type { Message } from './messages';
import type { Clock } from './ports';
import { Store } from './store';

export const BATCH_MS = 3000;
/** More names than this become a number. */
const NAMED = 3;

export class Announcer {
  /** What is to be said now, together: of two announcements in one turn only the second would be heard. */
  readonly polite = new Store<readonly Message[]>([]);
  #joined: string[] = [];
  #left: string[] = [];
  #cancel: (() => void) | null = null;

  constructor(private readonly clock: Clock) {}

  say(message: Message): void {
    this.polite.set([message]);
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
      const came = told('announce.joined', 'announce.joined-many', joined);
      const went = told('announce.left', 'announce.left-many', left);
      if (came.length + went.length > 0) this.polite.set([...came, ...went]);
    });
  }
}

function told(
  few: 'announce.joined' | 'announce.left',
  many: 'announce.joined-many' | 'announce.left-many',
  names: string[],
): Message[] {
  if (names.length === 0) return [];
  if (names.length > NAMED) return [{ key: many, args: { count: names.length } }];
  return [{ key: few, args: { names: names.join(', '), count: names.length } }];
}
