/** The keys of a meeting as people see them: who has them, who can be relied on, and what was found when comparing. */

import type { Content, Line, MeetingKeys, Roster, RosterMember, State, Stop } from '../e2ee/types';
import { nameIn, type PersonName } from './people';
import type { Clock } from './ports';
import { Store } from './store';

/** Keys may come a moment after the first frames that are sealed with them. */
const UNREADABLE_AFTER_MS = 3000;

/** How far somebody's keys can be relied on. */
export type Trust =
  /** There are no keys in this meeting. */
  | 'none'
  /** Not among those who have the keys yet. */
  | 'joining'
  /** Not among them, and for longer than it takes: nothing of them is shown, and nothing said reaches them. */
  | 'keyless'
  | 'keys'
  /** Their key was there when we compared. */
  | 'verified'
  /** They came after we compared. */
  | 'new'
  /** Nothing was heard of their keys for a while. */
  | 'unconfirmed';

export interface KeysView {
  /** `clear` from the beginning to the end where the meeting is not end-to-end encrypted; else never. */
  state: State | { type: 'clear' };
  /** When that began, in milliseconds since the epoch. */
  since: number;
  roster: Roster | null;
  /** The encryption does not run. */
  failed: boolean;
  /** Somebody found other digits than we have, or we did. */
  differs: boolean;
  /** Whose streams do not open, though they have the keys. */
  unreadable: ReadonlySet<string>;
}

/** What a meeting wants to hear of. */
export interface KeysListener {
  received(from: string, content: Content): void;
  notSent(content: Content): void;
  history(lines: Line[]): void;
  linkChanged(fragment: string): void;
  stopped(reason: Stop | 'failed'): void;
}

/** What a meeting asks of its keys, or of the lack of them. */
export interface Protection {
  readonly view: Store<KeysView>;
  /** One's own. */
  readonly identity: string;
  /** What has stopped before anybody listened; `null` if it goes on. */
  readonly stopped: Stop | 'failed' | null;
  /** Something can be said, and nobody doubts it. */
  readonly isMember: boolean;
  /** What somebody is called; `told` is the server's word. */
  nameOf(identity: string, told: string): PersonName;
  trustIn(identity: string): Trust;
  send(content: Content): void;
  /** The person compared the digits of this epoch with others. */
  compared(epoch: number, matches: boolean): void;
  /** Leaves the keys to themselves and forgets them. */
  leave(): void;
}

interface Index {
  members: Map<string, RosterMember>;
  own: RosterMember | undefined;
}

/** Everybody is looked up for every picture of the meeting, so each roster is gone through once. */
const indexes = new WeakMap<Roster, Index>();

function indexOf(roster: Roster): Index {
  let index = indexes.get(roster);
  if (!index) {
    const members = new Map(roster.members.map((member) => [member.identity, member]));
    index = { members, own: roster.members.find(({ own }) => own) };
    indexes.set(roster, index);
  }
  return index;
}

export const memberOf = (roster: Roster | null, identity: string): RosterMember | undefined =>
  roster ? indexOf(roster).members.get(identity) : undefined;

/** Whether we compared digits with some of those who have the keys now. */
export const hasCompared = (roster: Roster | null): boolean =>
  roster ? (indexOf(roster).own?.compared ?? false) : false;

export function trustIn(roster: Roster | null, identity: string): Trust {
  const member = memberOf(roster, identity);
  if (!member) return 'joining';
  if (member.silent_since !== undefined) return 'unconfirmed';
  if (!hasCompared(roster)) return 'keys';
  return member.compared ? 'verified' : 'new';
}

export class KeysModel implements Protection {
  readonly view: Store<KeysView>;
  #end: () => void;
  /** Cancel the marks that are about to be set, by stream. */
  #doubts = new Map<number, () => void>();
  /** Whose stream it is, by stream that does not open. */
  #unreadable = new Map<number, string>();

  constructor(
    private readonly clock: Clock,
    private readonly keys: MeetingKeys,
    listener: KeysListener,
  ) {
    this.view = new Store<KeysView>({
      state: keys.state,
      since: clock.now(),
      roster: keys.roster,
      failed: keys.failed,
      differs: false,
      unreadable: new Set(),
    });
    this.#end = keys.on((event) => {
      switch (event.type) {
        case 'state':
          this.view.patch({ state: event.state, since: clock.now() });
          if (event.state.type === 'stopped') listener.stopped(event.state.reason);
          return;
        case 'roster':
          return this.view.patch({ roster: event.roster });
        case 'received':
          return listener.received(event.from, event.content);
        case 'not-sent':
          return listener.notSent(event.content);
        case 'history':
          return listener.history(event.lines);
        case 'compared':
          if (!event.matches) this.view.patch({ differs: true });
          return;
        case 'link-changed':
          return listener.linkChanged(event.fragment);
        case 'failed':
          this.view.patch({ failed: true });
          return listener.stopped('failed');
        case 'stream':
          return this.#stream(event.id, event.identity, event.opens);
      }
    });
  }

  get identity(): string {
    return this.keys.identity;
  }

  get stopped(): Stop | 'failed' | null {
    const { state, failed } = this.view.get();
    if (failed) return 'failed';
    return state.type === 'stopped' ? state.reason : null;
  }

  get isMember(): boolean {
    return this.view.get().state.type === 'member';
  }

  /** Names are the group's: the server has no say in who is who. */
  nameOf(identity: string): PersonName {
    return nameIn(memberOf(this.view.get().roster, identity));
  }

  trustIn(identity: string): Trust {
    return trustIn(this.view.get().roster, identity);
  }

  send(content: Content): void {
    this.keys.send(content);
  }

  compared(epoch: number, matches: boolean): void {
    this.view.patch({ differs: !matches });
    this.keys.compared(epoch, matches);
  }

  #stream(stream: number, identity: string, opens: boolean): void {
    this.#doubts.get(stream)?.();
    this.#doubts.delete(stream);
    if (opens) {
      if (this.#unreadable.delete(stream)) this.#mark();
      return;
    }
    const doubt = this.clock.after(UNREADABLE_AFTER_MS, () => {
      this.#unreadable.set(stream, identity);
      this.#mark();
    });
    this.#doubts.set(stream, doubt);
  }

  #mark(): void {
    this.view.patch({ unreadable: new Set(this.#unreadable.values()) });
  }

  leave(): void {
    this.#end();
    for (const cancel of this.#doubts.values()) cancel();
    this.#doubts.clear();
    this.keys.leave();
  }
}
