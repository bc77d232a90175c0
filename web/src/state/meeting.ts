/**
 * A meeting from the first connection to its end: people, own devices, chat, panels, connection. Reads the connection
 * and turns it into one immutable snapshot; the interface only draws that and calls the methods.
 */

import { fragmentOf, parseFragment } from '../crypto/link';
import type { Content, Line, Stop } from '../e2ee/types';
import type { CapturedTrack, Chime, RtcConnection, RtcParticipant, Unsubscribe } from '../rtc/types';
import { leave, type Admitted } from './admission';
import { Announcer } from './announcer';
import {
  addHistory,
  addMessage,
  charactersLeft,
  closeChat,
  EMPTY_CHAT,
  keyOf,
  markRead,
  setPending,
  tidyText,
  type ChatLog,
} from './chat';
import { Chimes } from './chimes';
import { NoKeys } from './clear';
import { KeysModel, memberOf, type KeysListener, type KeysView, type Protection } from './keys';
import { Lines } from './line';
import { lockOf, type Lock, type LockKind } from './lock';
import { Marks } from './marks';
import type { Message, MessageKey } from './messages';
import { Options } from './options';
import { Outbox } from './outbox';
import { OwnDevices, type OwnDevicesState } from './own-devices';
import {
  initialsOf,
  keepUnchangedPeople,
  ordinals,
  spokenName,
  tintOf,
  type Person,
  type PersonName,
} from './people';
import type { Ports } from './ports';
import type { JoinSettings } from './prejoin';
import type { EndCause } from './refusals';
import { pathOfRoom } from './room-name';
import { SpeakerMarks } from './speakers';
import { StageModel } from './stage';
import { Store } from './store';

export type Panel = 'chat' | 'people' | 'encryption';

/** What the browser did not put on the clipboard, for the person to copy. */
export interface ToCopy {
  title: MessageKey;
  text: string;
}

export interface Toast {
  message: Message;
  /** An alarm interrupts whoever listens to a screen reader. */
  tone: 'info' | 'warn' | 'alarm';
}

export interface MeetingState extends OwnDevicesState {
  room: string;
  startedAt: number;
  connection: { phase: 'connected' } | { phase: 'reconnecting'; attempt: number; since: number };
  /** The others in the order in which they came, oneself last. */
  people: Person[];
  /** What the lock is made of. */
  keys: KeysView;
  /** Of the link; another one once somebody was removed. `null` where the meeting is not end-to-end encrypted. */
  secret: string | null;
  /** The complete invitation: address with the secret behind `#`. */
  invitation: string;
  panel: Panel | null;
  chat: ChatLog;
  /** What stands in the field of the chat. */
  draft: string;
  soundBlocked: boolean;
  toast: Toast | null;
  toCopy: ToCopy | null;
}

const TOAST_MS = 5000;
/** After a reconnection, until everybody else's pictures are back as well. */
const SETTLING_MS = 10_000;
/** Getting keys takes seconds; whoever has none after this is worth a mark. */
const KEYLESS_AFTER_MS = 10_000;
/** The connection says more precisely why the room is over, if it says so within this time. */
const ENDING_MS = 3000;
/** The page has changed by then, so that a screen reader notices what is said. */
const WELCOME_MS = 1000;
type Timer = 'speakers' | 'toast' | 'welcome' | 'ending';

/** What is told at once when the lock comes to it. */
const WORSE: readonly LockKind[] = ['unconfirmed', 'unreadable', 'differs'];

export class MeetingModel {
  readonly view: Store<MeetingState>;
  readonly announcer: Announcer;
  readonly stage: StageModel;
  readonly devices: OwnDevices;
  readonly settings: JoinSettings;

  #admitted: Admitted;
  #connection: RtcConnection;
  #keys: Protection;
  #outbox: Outbox;
  #speakers = new SpeakerMarks();
  #lines = new Lines();
  #keyless = new Marks(KEYLESS_AFTER_MS, 0);
  #chimes: Chimes;
  /** Who is known to be here, with the name to announce when they leave; `null` until they have the keys. */
  #present = new Map<string, string | null>();
  /** The server has one's name as it was sealed for an earlier link. */
  #nameIsOld = false;
  /** Those seen last while connected, oneself included. */
  #seen: RtcParticipant[] = [];
  #ends: Unsubscribe[] = [];
  /** Cancel the timers that are set. */
  #timers: Partial<Record<Timer, () => void>> = {};
  #sent = 0;
  /** When the connection was found again. */
  #cameBack = -Infinity;
  #closed = false;

  constructor(
    private readonly ports: Ports,
    admitted: Admitted,
    settings: JoinSettings,
    private readonly onEnd: (cause: EndCause) => void,
    readonly options: Options = new Options(ports.local),
  ) {
    this.settings = settings;
    this.#admitted = admitted;
    this.#connection = admitted.connection;
    const listener: KeysListener = {
      received: (from, content) => this.#received(from, content),
      notSent: (content) => this.#outbox.returned(content),
      history: (lines) => this.#history(lines),
      linkChanged: (fragment) => this.#linkChanged(fragment),
      stopped: (reason) => this.#keysStopped(reason),
    };
    this.#keys = admitted.keys
      ? new KeysModel(ports.clock, admitted.keys, listener)
      : new NoKeys(ports.clock, admitted.connection, listener);
    this.#outbox = new Outbox(
      ports.clock,
      (content) => this.#keys.send(content),
      (content, waits) => this.#waits(content, waits),
    );
    this.announcer = new Announcer(ports.clock);
    this.stage = new StageModel(options, this.announcer, (message) => this.#toast({ message, tone: 'info' }));
    this.devices = new OwnDevices(ports, this.#connection, settings, {
      switched: () => this.#sync(),
      trouble: (message) => this.#toast({ message, tone: 'warn' }),
      news: (message) => this.#news(message),
    });
    this.#chimes = new Chimes(ports.clock, ports.sounds, () => options.view.get().sounds);
    this.view = new Store<MeetingState>({
      room: settings.room,
      startedAt: ports.clock.now(),
      connection: { phase: 'connected' },
      people: [],
      keys: this.#keys.view.get(),
      secret: settings.secret,
      invitation: this.#link(),
      ...this.devices.view.get(),
      panel: null,
      chat: EMPTY_CHAT,
      draft: '',
      soundBlocked: false,
      toast: null,
      toCopy: null,
    });
    const on = this.#connection.on.bind(this.#connection);
    this.#ends.push(
      on('participants', () => this.#sync()),
      on('reconnecting', (attempt) => this.#reconnecting(attempt)),
      on('reconnected', () => this.#reconnected()),
      on('disconnected', (cause) => this.#end(cause)),
      on('soundBlocked', (soundBlocked) => this.view.patch({ soundBlocked })),
      this.stage.follow(),
      this.devices.view.subscribe((own) => this.view.patch(own)),
    );
    this.#seen = this.#connection.participants();
    for (const participant of this.#seen) {
      if (!participant.isLocal) this.#present.set(participant.identity, null);
    }
    if (this.#connection.state.phase === 'reconnecting') this.#reconnecting(this.#connection.state.attempt);
    this.#ends.push(this.#keys.view.subscribe((keys) => this.#keysChanged(keys)));
    this.devices.begin();
  }

  /** By the clock that the times of the snapshot come from. */
  now(): number {
    return this.ports.clock.now();
  }

  /** Hands the devices that were open before joining to the meeting, if it did not end before it was shown. */
  async enter(tracks: CapturedTrack[]): Promise<void> {
    const { state } = this.#connection;
    const cause = state.phase === 'ended' ? state.cause : this.#keys.stopped;
    if (cause !== null) {
      for (const track of tracks) track.stop();
      this.#end(cause);
      return;
    }
    this.#after('welcome', WELCOME_MS, () => {
      if (this.#connected) this.announcer.say({ key: 'connection.connected' });
    });
    await this.devices.publish(tracks);
  }

  // ---- people -------------------------------------------------------------------------------------------------

  get #connected(): boolean {
    return this.view.get().connection.phase === 'connected';
  }

  /** While the connection is away it may know nobody: whoever was here stays, without picture and sound. */
  #participants(): RtcParticipant[] {
    const known = this.#connection.participants();
    if (this.#connected) {
      this.#seen = known;
      return known;
    }
    return this.#seen.map((one) => known.find(({ identity }) => identity === one.identity) ?? silent(one));
  }

  #sync(): void {
    if (this.#closed) return;
    const all = this.#participants();
    const others = all.filter((participant) => !participant.isLocal);
    const local = all.find((participant) => participant.isLocal);
    // The server may take one in as somebody else when the connection comes back.
    if (local && local.identity !== this.#own) return this.#abandon('identity-changed');
    const ordered = local ? [...others, local] : others;
    const names = ordered.map((participant) => this.#nameOf(participant));
    const numbers = ordinals(names);
    const now = this.ports.clock.now();
    const { roster, unreadable } = this.#keys.view.get();

    this.#timers.speakers?.();
    const due = this.#speakers.update(new Map(ordered.map((p) => [p.identity, p.speaking])), now);
    const lineDue = this.#lines.update(ordered, this.#connected, now);
    const lacks = (identity: string) => roster !== null && !memberOf(roster, identity);
    const keylessDue = this.#keyless.update(
      new Map(ordered.map(({ identity }) => [identity, lacks(identity)])),
      now,
    );

    const drawn = ordered.map((participant, i): Person => {
      const name = names[i] ?? { kind: 'keyless' };
      const { identity } = participant;
      return {
        identity,
        isLocal: participant.isLocal,
        name,
        trust: this.#keyless.marked(identity) ? 'keyless' : this.#keys.trustIn(identity),
        silentSince: memberOf(roster, identity)?.silent_since ?? 0,
        unreadable: unreadable.has(identity) || isForeign(participant),
        ordinal: numbers[i] ?? 1,
        initials: name.kind === 'name' ? initialsOf(name.name) : '?',
        tint: tintOf(participant.identity),
        muted: participant.microphone === null || participant.microphone.muted,
        speaking: this.#speakers.marked(participant.identity),
        spokeAt: this.#speakers.spokeAt(participant.identity),
        weak: this.#lines.isWeak(participant.identity),
        videoPaused: this.#lines.isCameraPaused(participant.identity),
        screenPaused: this.#lines.isScreenPaused(participant.identity),
        video: participant.camera?.video ?? null,
        screen: participant.screen?.video ?? null,
      };
    });
    const before = this.view.get().people;
    const people = keepUnchangedPeople(before, drawn);
    const settled = this.#connected && now - this.#cameBack >= SETTLING_MS;
    const stageDue = this.stage.update(people, now, settled);
    const next = Math.min(...[due, lineDue, keylessDue, stageDue].map((at) => at ?? Infinity));
    if (next < Infinity) this.#after('speakers', Math.max(0, next - now), () => this.#sync());
    this.#arrivals(people);
    this.view.patch({ people });
    this.devices.published(local, this.#connected);
    this.#tellWeak(before, people, now);
  }

  /** In a word: what it means is seen on the tiles. Trouble that somebody has to act on stays. */
  #tellWeak(before: Person[], people: Person[], now: number): void {
    const isWeak = (all: Person[]) => all.some((person) => person.isLocal && person.weak);
    if (this.view.get().toast?.tone === 'warn') return;
    if (this.#lines.isNews(isWeak(before), isWeak(people), now))
      this.#toast({ message: { key: 'connection.weak' }, tone: 'warn' });
  }

  #nameOf(participant: RtcParticipant): PersonName {
    if (participant.isLocal) return { kind: 'name', name: this.settings.name };
    return this.#keys.nameOf(participant.identity, participant.name);
  }

  #nameOfMember(identity: string): PersonName {
    const seen = this.#seen.find((one) => one.identity === identity);
    return this.#keys.nameOf(identity, seen?.name ?? '');
  }

  #spoken(name: PersonName, ordinal = 1): string {
    return spokenName(this.ports.words, name, ordinal);
  }

  /** Announces who came and who left, once they have the keys; those who were here first are not announced. */
  #arrivals(people: Person[]): void {
    const here = new Set(people.map((person) => person.identity));
    for (const [identity, name] of [...this.#present]) {
      if (here.has(identity)) continue;
      this.#present.delete(identity);
      this.announcer.left(name ?? this.#spoken({ kind: 'keyless' }));
      this.#ring('left');
    }
    for (const person of people) {
      if (person.isLocal || person.name.kind === 'keyless') continue;
      const label = this.#spoken(person.name, person.ordinal);
      if (!this.#present.has(person.identity)) {
        this.announcer.joined(label);
        this.#ring('joined');
      }
      this.#present.set(person.identity, label);
    }
  }

  #ring(chime: Chime): void {
    this.#chimes.ring(chime, this.view.get().selected.speaker);
  }

  // ---- sound --------------------------------------------------------------------------------------------------

  async unblockSound(): Promise<void> {
    await this.#connection.unblockSound();
    this.view.patch({ soundBlocked: false });
  }

  // ---- chat ---------------------------------------------------------------------------------------------------

  #received(from: string, content: Content): void {
    if (content.type !== 'chat') return;
    const text = tidyText(content.text);
    if (text === '') return;
    const author = this.#nameOfMember(from);
    const { chat, panel } = this.view.get();
    const open = panel === 'chat';
    const message = {
      key: keyOf(from, content.id),
      from,
      author,
      own: false,
      text,
      at: this.ports.clock.now(),
    };
    const next = addMessage(chat, message, open);
    if (next === chat) return;
    this.view.patch({ chat: next });
    if (!open) {
      const person = this.view.get().people.find((one) => one.identity === from);
      const name = person ? this.#spoken(person.name, person.ordinal) : this.#spoken(author);
      this.announcer.say({ key: 'announce.chat', args: { name } });
      this.#ring('message');
    }
  }

  #history(lines: Line[]): void {
    this.view.patch({ chat: addHistory(this.view.get().chat, lines, this.#own) });
  }

  #waits(content: Content, waits: boolean): void {
    if (content.type !== 'chat') return;
    const { chat } = this.view.get();
    this.view.patch({ chat: setPending(chat, keyOf(this.#own, content.id), waits) });
  }

  get #own(): string {
    return this.#keys.identity;
  }

  setDraft(draft: string): void {
    this.view.patch({ draft });
  }

  /** Says the draft to everybody, as soon as there are keys and a way. */
  sendDraft(): void {
    const { draft, chat, panel } = this.view.get();
    const text = tidyText(draft);
    if (this.#closed || text === '' || charactersLeft(draft) < 0) return;
    const at = this.ports.clock.now();
    const id = `${at.toString(36)}-${(this.#sent++).toString(36)}`;
    const author = { kind: 'name', name: this.settings.name } as const;
    const message = {
      key: keyOf(this.#own, id),
      from: this.#own,
      author,
      own: true,
      text,
      at,
      pending: true,
    };
    this.view.patch({ chat: addMessage(chat, message, panel === 'chat') });
    if (this.#outbox.say({ type: 'chat', id, text })) {
      this.setDraft('');
    } else {
      this.view.patch({ chat });
      this.#toast({ message: { key: 'chat.not-sent' }, tone: 'warn' });
    }
  }

  // ---- keys ---------------------------------------------------------------------------------------------------

  #keysChanged(keys: KeysView): void {
    const before = this.lock().kind;
    this.view.patch({ keys });
    this.#outbox.open(this.#canSay);
    this.#sync();
    const lock = this.lock();
    if (lock.kind !== before && WORSE.includes(lock.kind)) this.#alarm(lock);
  }

  get #canSay(): boolean {
    return this.#keys.isMember && this.#connected;
  }

  /** What the lock says at this moment. */
  lock(): Lock {
    const { keys, people } = this.view.get();
    return lockOf(keys, {
      people,
      nameOf: (identity) => this.nameOf(identity),
      now: this.ports.clock.now(),
    });
  }

  /** How somebody is called who has the keys, or is here. */
  nameOf(identity: string): string {
    const person = this.view.get().people.find((one) => one.identity === identity);
    return person ? this.#spoken(person.name, person.ordinal) : this.#spoken(this.#nameOfMember(identity));
  }

  /** The digits of this epoch were the same for all who were asked, or not. */
  compared(epoch: number, matches: boolean): void {
    this.#keys.compared(epoch, matches);
  }

  #alarm({ title }: Lock): void {
    this.#toast({ message: title, tone: 'alarm' });
  }

  #link(): string {
    const { room, secret } = this.settings;
    return this.ports.address.origin + pathOfRoom(room) + (secret === null ? '' : fragmentOf(secret));
  }

  /** Somebody was removed: the old link leads nowhere. The address is how people invite, so it changes with the link. */
  #linkChanged(fragment: string): void {
    const read = parseFragment(fragment);
    if (!read?.ok) return;
    this.settings.secret = read.secret;
    this.ports.address.replace(pathOfRoom(this.settings.room), fragmentOf(read.secret));
    this.view.patch({ secret: read.secret, invitation: this.#link() });
    void this.#sealName();
  }

  /** Who comes by a link finds out by the names of those present whether it is theirs. */
  async #sealName(): Promise<void> {
    const { secret } = this.settings;
    if (secret === null) return;
    this.#nameIsOld = true;
    try {
      const sealer = await this.ports.sealer(secret, this.#admitted.room);
      await this.#connection.setMetadata(await sealer.seal(this.settings.name, this.#own));
      this.#nameIsOld = secret !== this.settings.secret;
    } catch {
      // Once the connection is back.
    }
  }

  /** Without keys there is no meeting. */
  #keysStopped(reason: Stop | 'failed'): void {
    if (reason === 'ended') this.#after('ending', ENDING_MS, () => this.#abandon(reason));
    else this.#abandon(reason);
  }

  // ---- panels, invitation, toasts -----------------------------------------------------------------------------

  togglePanel(panel: Panel): void {
    this.openPanel(this.view.get().panel === panel ? null : panel);
  }

  openPanel(panel: Panel | null): void {
    const { chat } = this.view.get();
    this.view.patch({ panel, chat: panel === 'chat' ? markRead(chat) : closeChat(chat) });
  }

  async copyInvitation(): Promise<void> {
    await this.#copy(this.view.get().invitation, 'invite.copied', 'invite.copy');
  }

  async copyCode(code: string): Promise<void> {
    await this.#copy(code, 'invite.code-copied', 'invite.copy-code');
  }

  /** The chat as text, in the words of the interface. */
  async copyChat(text: string): Promise<void> {
    await this.#copy(text, 'chat.copied', 'chat.copy');
  }

  async #copy(text: string, done: MessageKey, title: MessageKey): Promise<void> {
    if (await this.ports.copy(text)) this.#toast({ message: { key: done }, tone: 'info' });
    else if (!this.#closed) this.view.patch({ toCopy: { title, text } });
  }

  endCopying(): void {
    this.view.patch({ toCopy: null });
  }

  #toast(toast: Toast): void {
    if (this.#closed) return;
    this.view.patch({ toast });
    if (toast.tone !== 'alarm') this.announcer.say(toast.message);
    this.#after('toast', TOAST_MS, () => this.dismissToast());
  }

  /** A toast stays while somebody is at it. */
  holdToast(): void {
    this.#timers.toast?.();
  }

  releaseToast(): void {
    if (this.view.get().toast) this.#after('toast', TOAST_MS, () => this.dismissToast());
  }

  /** News of devices; never in the place of a trouble. */
  #news(message: Message): void {
    if (this.view.get().toast?.tone !== 'warn') this.#toast({ message, tone: 'info' });
  }

  dismissToast(): void {
    this.#timers.toast?.();
    this.view.patch({ toast: null });
  }

  /** Sets a timer anew; none outlives the meeting. */
  #after(timer: Timer, ms: number, run: () => void): void {
    if (this.#closed) return;
    this.#timers[timer]?.();
    this.#timers[timer] = this.ports.clock.after(ms, run);
  }

  // ---- connection ---------------------------------------------------------------------------------------------

  #reconnecting(attempt: number): void {
    const { connection } = this.view.get();
    const since = connection.phase === 'reconnecting' ? connection.since : this.ports.clock.now();
    this.view.patch({ connection: { phase: 'reconnecting', attempt, since } });
    this.#outbox.open(false);
  }

  #reconnected(): void {
    if (this.view.get().connection.phase === 'connected') return;
    this.#cameBack = this.ports.clock.now();
    this.view.patch({ connection: { phase: 'connected' } });
    this.#outbox.open(this.#canSay);
    this.announcer.say({ key: 'connection.back' });
    if (this.#nameIsOld) void this.#sealName();
    this.#sync();
  }

  async leave(): Promise<void> {
    try {
      await leave(this.#admitted);
    } catch {
      // Left all the same: the server notices by itself.
    } finally {
      this.#end('left');
    }
  }

  /** Ends the meeting though the connection stands. */
  #abandon(cause: EndCause): void {
    this.#end(cause);
    this.#connection.leave().catch(() => undefined);
  }

  #end(cause: EndCause): void {
    if (this.#closed) return;
    this.#closed = true;
    this.devices.end();
    for (const end of this.#ends.splice(0)) end();
    for (const cancel of Object.values(this.#timers)) cancel();
    this.announcer.stop();
    this.#outbox.stop();
    this.#keys.leave();
    this.onEnd(cause);
  }
}

/** Somebody of whom nothing arrives at the moment. */
function silent(participant: RtcParticipant): RtcParticipant {
  const { microphone, camera } = participant;
  return {
    ...participant,
    speaking: false,
    weak: false,
    microphone: microphone && { ...microphone, video: null },
    camera: camera && { ...camera, video: null },
    screen: null,
  };
}

/** Something of them is encrypted under other keys than this meeting's. */
function isForeign({ microphone, camera, screen }: RtcParticipant): boolean {
  return [microphone, camera, screen].some((track) => track?.foreign);
}
