/**
 * A meeting in a room that is not end-to-end encrypted, because another program opened it: there are no keys, so names,
 * chat and media are what the server says. The lock says so for as long as it lasts.
 */

import { tidyName } from '../crypto/name';
import type { Content } from '../e2ee/types';
import type { RtcConnection } from '../rtc/types';
import type { KeysListener, KeysView, Protection, Trust } from './keys';
import type { PersonName } from './people';
import type { Clock } from './ports';
import { Store } from './store';

export class NoKeys implements Protection {
  readonly view: Store<KeysView>;
  readonly identity: string;
  /** Nothing that could stop. */
  readonly stopped = null;
  /** Nothing has to be waited for. */
  readonly isMember = true;
  #end: () => void;
  #listener: Pick<KeysListener, 'notSent'>;

  constructor(
    clock: Clock,
    private readonly connection: RtcConnection,
    listener: Pick<KeysListener, 'received' | 'notSent'>,
  ) {
    this.identity = connection.participants().find(({ isLocal }) => isLocal)?.identity ?? '';
    this.#listener = listener;
    this.view = new Store<KeysView>({
      state: { type: 'clear' },
      since: clock.now(),
      roster: null,
      failed: false,
      differs: false,
      unreadable: new Set(),
    });
    this.#end = connection.on('said', (from, id, text) =>
      listener.received(from, { type: 'chat', id, text }),
    );
  }

  /** By the server's word: there is no other. */
  nameOf(_identity: string, told: string): PersonName {
    const name = tidyName(told);
    return name === '' ? { kind: 'unnamed' } : { kind: 'name', name };
  }

  trustIn(): Trust {
    return 'none';
  }

  send(content: Content): void {
    // LiveKit's clients understand chat.
    if (content.type !== 'chat') return;
    this.connection.say(content.text).catch(() => this.#listener.notSent(content));
  }

  compared(): void {
    // There is nothing to compare.
  }

  leave(): void {
    this.#end();
  }
}
