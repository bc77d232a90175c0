/** A person with our session, compiled to WebAssembly. */

import type { Session } from '../../../src/e2ee/keys/load';
import type { Content, Output, Roster, State } from '../../../src/e2ee/keys/wire';
import { ORIGIN, type Room, type Said, type View } from './room';

export class Ours {
  readonly #session: Session;
  readonly identity: string;
  /** Gets the log. */
  isFollowing = false;
  roster: Roster | null = null;
  state: State = { type: 'connecting' };
  /** Of the link, once it has changed. */
  fragment: string | null = null;
  /** Entries that it skipped. */
  readonly refused: number[] = [];
  /** Entries after which it calls its state something else than ts-mls does. */
  readonly apart: number[] = [];
  readonly said: { from: string; content: Content }[] = [];
  readonly #bases = new Map<number, string>();

  constructor(
    readonly room: Room,
    name: string,
    number: number,
  ) {
    const config = { origin: ORIGIN, room: room.link.room, fragment: room.link.fragment, name };
    const seed = (byte: number) => new Uint8Array(32).fill(byte);
    this.#session = room.keys.Session.open(JSON.stringify(config), seed(number), seed(number + 100));
    this.identity = this.#session.identity();
  }

  get timeout(): number | undefined {
    return this.#session.timeout();
  }

  get view(): View | null {
    if (!this.roster) return null;
    const { epoch, digits } = this.roster;
    return { epoch, base: this.#bases.get(epoch) ?? '', digits };
  }

  leafOf(identity: string): number {
    return this.roster?.members.find((member) => member.identity === identity)?.leaf ?? -1;
  }

  say(text: string): void {
    this.give({ type: 'send', content: { type: 'chat', id: text, text } });
  }

  leave(): void {
    this.give({ type: 'leave' });
  }

  hear(message: object): void {
    this.room.later(() => this.give({ type: 'channel', message }));
  }

  give(input: object): void {
    this.#session.handle(this.room.now, JSON.stringify(input));
    for (let json = this.#session.poll(); json !== undefined; json = this.#session.poll()) {
      this.#take(JSON.parse(json) as Output);
    }
  }

  #take(output: Output): void {
    if (output.type === 'channel') {
      this.room.received(this, output.message as Said);
    } else if (output.type === 'message') {
      this.room.carry(this, output.data, output.to);
    } else if (output.type === 'media') {
      if (output.media.type === 'keys') this.#bases.set(output.media.epoch, output.media.base);
    } else if (output.event.type === 'roster') {
      this.roster = output.event.roster;
    } else if (output.event.type === 'state') {
      this.state = output.event.state;
    } else if (output.event.type === 'link-changed') {
      this.fragment = output.event.fragment;
    } else if (output.event.type === 'received') {
      const { from, content } = output.event;
      this.said.push({ from, content });
    }
  }

  free(): void {
    this.#session.free();
  }
}
