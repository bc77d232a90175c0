/** What people say waits here until it can be sealed and sent. */

import type { Content } from '../e2ee/types';
import type { Clock } from './ports';

/** What could not be sealed at this moment can be in the next. */
const RETRY_MS = 500;
/** So much is kept while there is no way. */
const MOST = 100;

export class Outbox {
  #waiting: Content[] = [];
  #open = false;
  #cancel: () => void = () => undefined;

  constructor(
    private readonly clock: Clock,
    private readonly send: (content: Content) => void,
    /** Whether something waits or not has changed. */
    private readonly changed: (content: Content, waits: boolean) => void,
  ) {}

  /** False when too much waits already. */
  say(content: Content): boolean {
    if (this.#waiting.length >= MOST) return false;
    this.#waiting.push(content);
    this.#flush();
    return true;
  }

  /** Whether there are keys and a way to the others. */
  open(open: boolean): void {
    if (open === this.#open) return;
    this.#open = open;
    this.#flush();
  }

  /** It came back unsent. */
  returned(content: Content): void {
    this.#waiting.push(content);
    this.changed(content, true);
    this.#cancel();
    this.#cancel = this.clock.after(RETRY_MS, () => this.#flush());
  }

  stop(): void {
    this.#cancel();
    this.#open = false;
    this.#waiting = [];
  }

  #flush(): void {
    if (!this.#open) return;
    for (const content of this.#waiting.splice(0)) {
      this.changed(content, false);
      this.send(content);
    }
  }
}
