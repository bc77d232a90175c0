/** The keys of a meeting as something a test or a scene of the gallery can steer: everybody it names has them. */

import { digitsFrom } from '../src/crypto/base32';
import type { MediaEncryption } from '../src/e2ee/media/encryption';
import type { Content, KeysEvent, MeetingKeys, Roster, RosterMember, State, Stop } from '../src/e2ee/types';

const IDENTITY_LENGTH = 26;

/** Not as in the product, where it takes a key: an identity that follows from a seed. */
export const identityOf = (seed: Uint8Array): string =>
  digitsFrom(seed.subarray(0, IDENTITY_LENGTH)).toLowerCase();

export function member(identity: string, leaf: number, change: Partial<RosterMember> = {}): RosterMember {
  return {
    identity,
    leaf,
    own: false,
    host: false,
    here: true,
    compared: false,
    verified: false,
    ...change,
  };
}

export class FakeKeys implements MeetingKeys {
  readonly media = undefined as unknown as MediaEncryption;
  state: State = { type: 'connecting' };
  roster: Roster | null = null;
  failed = false;
  left = false;
  /** Where the channel was opened. */
  channel: { server: string; room: string; token: string } | null = null;
  sent: Content[] = [];
  comparisons: { epoch: number; matches: boolean }[] = [];
  /** Nothing can be sealed at the moment. */
  sealing = true;
  #listeners = new Set<(event: KeysEvent) => void>();
  #epoch = 0;

  constructor(
    readonly identity: string,
    private readonly name: string,
    /** The others in the group, at any time. */
    private readonly others: () => RosterMember[],
    /** What becomes of it once the channel is open. */
    private readonly entered: State = { type: 'member', confirmed: true },
  ) {}

  on(listener: (event: KeysEvent) => void) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: KeysEvent): void {
    if (event.type === 'state') this.state = event.state;
    if (event.type === 'roster') this.roster = event.roster;
    if (event.type === 'failed') this.failed = true;
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** Somebody came, went, or is seen otherwise. */
  update(own: Partial<RosterMember> = {}): void {
    if (this.state.type !== 'member') return;
    const before = this.roster?.members.find((one) => one.own);
    const others = this.others();
    const me = { ...before, ...member(this.identity, others.length, { own: true, name: this.name }) };
    this.emit({
      type: 'roster',
      roster: {
        epoch: ++this.#epoch,
        locked: false,
        members: [...others, { ...me, compared: before?.compared ?? false, ...own }],
        digits: ['48213', '90577', '16624', '73051', '28849', '60392'],
        emoji: ['🐢', '🌵', '⚽', '🎸'],
      },
    });
  }

  /** The group is entered, or left for a while. */
  become(state: State): void {
    this.emit({ type: 'state', state });
    this.update();
  }

  stop(reason: Stop): void {
    this.emit({ type: 'state', state: { type: 'stopped', reason } });
  }

  /** Somebody writes. */
  chat(from: string, id: string, text: string): void {
    this.emit({ type: 'received', from, content: { type: 'chat', id, text } });
  }

  connect(server: string, room: string, token: string): void {
    this.channel = { server, room, token };
    this.become(this.entered);
  }

  send(content: Content): void {
    if (this.sealing) this.sent.push(content);
    else this.emit({ type: 'not-sent', content });
  }

  compared(epoch: number, matches: boolean): void {
    this.comparisons.push({ epoch, matches });
  }

  leave(): void {
    this.left = true;
    this.#listeners.clear();
  }

  packet() {
    // Scenes and view models see no packets.
  }

  onPacket() {
    return () => undefined;
  }

  path() {
    // There is always a way.
  }

  streams() {
    // Nobody asks.
  }

  renew() {
    // No token runs out.
  }
}
