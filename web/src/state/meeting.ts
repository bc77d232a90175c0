/**
 * A meeting from the first connection to its end: people, own devices, chat, panels, connection. Reads the connection
 * and turns it into one immutable snapshot; the interface only draws that and calls the methods.
 */

import { fragmentOf } from '../crypto/link';
import {
  DeviceError,
  type CapturedTrack,
  type Device,
  type DeviceKind,
  type DisconnectCause,
  type RtcConnection,
  type RtcParticipant,
  type Unsubscribe,
} from '../rtc/types';
import type { Admitted } from './admission';
import { Announcer } from './announcer';
import {
  addMessage,
  closeChat,
  decodeChat,
  EMPTY_CHAT,
  encodeChat,
  markRead,
  TEXT_MAX,
  tidyText,
  TOPIC,
  type ChatLog,
} from './chat';
import type { Message, Refusal } from './messages';
import { initialsOf, NameBook, ordinals, tintOf, type Person, type PersonName } from './people';
import type { Ports } from './ports';
import { Preferences } from './preferences';
import type { JoinSettings } from './prejoin';
import { deviceRefusal } from './refusals';
import { pathOfRoom } from './room-name';
import { SpeakerMarks } from './speakers';
import { Store } from './store';

export type Panel = 'chat' | 'people' | 'encryption';

export interface ControlState {
  on: boolean;
  /** The browser or the library is busy with it. */
  pending: boolean;
}

export interface Toast {
  message: Message;
  tone: 'info' | 'warn';
}

export interface MeetingState {
  room: string;
  startedAt: number;
  connection: { phase: 'connected' } | { phase: 'reconnecting'; attempt: number; since: number };
  /** The others in the order in which they came, oneself last. */
  people: Person[];
  /** Whose screen is the large picture; one's own is never. */
  sharer: string | null;
  /** How many people use another link; `all` when nobody's name opens. */
  otherLink: 'none' | 'some' | 'all';
  microphone: ControlState;
  camera: ControlState;
  share: ControlState;
  canShare: boolean;
  canChooseSpeaker: boolean;
  devices: Device[];
  selected: Record<DeviceKind, string>;
  panel: Panel | null;
  chat: ChatLog;
  soundBlocked: boolean;
  toast: Toast | null;
}

const TOAST_MS = 5000;
type Input = 'microphone' | 'camera';

export class MeetingModel {
  readonly view: Store<MeetingState>;
  readonly announcer: Announcer;
  /** The complete invitation: address with the secret behind `#`. */
  readonly invitation: string;
  readonly settings: JoinSettings;

  #connection: RtcConnection;
  #names: NameBook;
  #speakers = new SpeakerMarks();
  #preferences: Preferences;
  /** Who is known to be here, with the name to announce when they leave; `null` until it is opened. */
  #present = new Map<string, string | null>();
  /** Order in which screens were first seen. */
  #screens: string[] = [];
  #ends: Unsubscribe[] = [];
  #cancelSpeakers: (() => void) | null = null;
  #cancelToast: (() => void) | null = null;
  #sent = 0;
  #closed = false;

  constructor(
    private readonly ports: Ports,
    admitted: Admitted,
    settings: JoinSettings,
    private readonly onEnd: (cause: DisconnectCause) => void,
  ) {
    this.settings = settings;
    this.#connection = admitted.connection;
    this.#names = new NameBook(admitted.sealer, () => this.#sync());
    this.#preferences = new Preferences(ports.local);
    this.announcer = new Announcer(ports.clock);
    this.invitation = ports.address.origin + pathOfRoom(settings.room) + fragmentOf(settings.secret);
    this.view = new Store<MeetingState>({
      room: settings.room,
      startedAt: ports.clock.now(),
      connection: { phase: 'connected' },
      people: [],
      sharer: null,
      otherLink: 'none',
      microphone: { on: false, pending: false },
      camera: { on: false, pending: false },
      share: { on: false, pending: false },
      canShare: ports.devices.canShareScreen(),
      canChooseSpeaker: ports.devices.canChooseSpeaker(),
      devices: [],
      selected: { microphone: settings.microphone.id, camera: settings.camera.id, speaker: settings.speaker },
      panel: null,
      chat: EMPTY_CHAT,
      soundBlocked: false,
      toast: null,
    });
    const on = this.#connection.on.bind(this.#connection);
    this.#ends.push(
      on('participants', () => this.#sync()),
      on('reconnecting', (attempt) => this.#reconnecting(attempt)),
      on('reconnected', () => this.#reconnected()),
      on('disconnected', (cause) => this.#end(cause)),
      on('data', (payload, from, topic) => void this.#data(payload, from, topic)),
      on('soundBlocked', (soundBlocked) => this.view.patch({ soundBlocked })),
      on('deviceChanged', (kind, id) => this.#selected(kind, id)),
      on('deviceProblem', (error) => this.#problem(error)),
      ports.devices.onChange(() => void this.#listDevices()),
    );
    for (const participant of this.#connection.participants()) {
      if (!participant.isLocal) this.#present.set(participant.identity, null);
    }
    this.#sync();
    void this.#listDevices();
  }

  /** Hands the devices that were open before joining to the meeting. */
  async publish(tracks: CapturedTrack[]): Promise<void> {
    const { microphone, camera } = this.settings;
    const [video, audio] = [tracks.find((track) => track.video), tracks.find((track) => !track.video)];
    await Promise.all([
      audio
        ? this.#busy('microphone', () => this.#connection.publish(audio))
        : microphone.on
          ? this.#switch('microphone', true)
          : undefined,
      video
        ? this.#busy('camera', () => this.#connection.publish(video))
        : camera.on
          ? this.#switch('camera', true)
          : undefined,
    ]);
    await this.#listDevices();
  }

  // ---- people -------------------------------------------------------------------------------------------------

  #sync(): void {
    if (this.#closed) return;
    const all = this.#connection.participants();
    const others = all.filter((participant) => !participant.isLocal);
    const local = all.find((participant) => participant.isLocal);
    const ordered = local ? [...others, local] : others;
    const names = ordered.map((participant) => this.#nameOf(participant));
    const numbers = ordinals(names);
    const now = this.ports.clock.now();

    this.#cancelSpeakers?.();
    const due = this.#speakers.update(new Map(ordered.map((p) => [p.identity, p.speaking])), now);
    this.#cancelSpeakers =
      due === null ? null : this.ports.clock.after(Math.max(0, due - now), () => this.#sync());

    const people = ordered.map((participant, i): Person => {
      const name = names[i] ?? { kind: 'opening' };
      return {
        identity: participant.identity,
        isLocal: participant.isLocal,
        name,
        ordinal: numbers[i] ?? 1,
        initials: name.kind === 'name' ? initialsOf(name.name) : name.kind === 'opening' ? '' : '?',
        tint: tintOf(participant.identity),
        muted: participant.microphone === null || participant.microphone.muted,
        speaking: this.#speakers.marked(participant.identity),
        spokeAt: this.#speakers.spokeAt(participant.identity),
        video: participant.camera?.video ?? null,
        screen: participant.screen?.video ?? null,
      };
    });
    this.#arrivals(people);
    const state = this.view.get();
    this.view.patch({
      people,
      sharer: this.#sharer(people),
      otherLink: otherLink(people),
      microphone: { ...state.microphone, on: isOn(local?.microphone) },
      camera: { ...state.camera, on: isOn(local?.camera) },
      share: { ...state.share, on: local?.screen != null },
    });
  }

  #nameOf(participant: RtcParticipant): PersonName {
    return participant.isLocal ? { kind: 'name', name: this.settings.name } : this.#names.get(participant);
  }

  /** Announces who came and who left; those who were here first are not announced. */
  #arrivals(people: Person[]): void {
    const here = new Set(people.map((person) => person.identity));
    this.#names.keep(here);
    for (const [identity, name] of [...this.#present]) {
      if (here.has(identity)) continue;
      this.#present.delete(identity);
      this.announcer.left(name ?? this.ports.words({ key: 'person.unnamed' }));
    }
    for (const person of people) {
      if (person.isLocal || person.name.kind === 'opening') continue;
      const label =
        person.name.kind === 'name' ? person.name.name : this.ports.words({ key: 'person.unnamed' });
      if (!this.#present.has(person.identity)) this.announcer.joined(label);
      this.#present.set(person.identity, label);
    }
  }

  /** The newest shared screen of somebody else. */
  #sharer(people: Person[]): string | null {
    const sharing = people
      .filter((person) => person.screen && !person.isLocal)
      .map((person) => person.identity);
    this.#screens = [
      ...this.#screens.filter((identity) => sharing.includes(identity)),
      ...sharing.filter((identity) => !this.#screens.includes(identity)),
    ];
    return this.#screens.at(-1) ?? null;
  }

  // ---- own devices --------------------------------------------------------------------------------------------

  toggleMicrophone(): Promise<void> {
    return this.#toggle('microphone');
  }

  toggleCamera(): Promise<void> {
    return this.#toggle('camera');
  }

  async #toggle(kind: Input): Promise<void> {
    const state = this.view.get()[kind];
    if (!state.pending) await this.#switch(kind, !state.on);
  }

  async #switch(kind: Input, on: boolean): Promise<void> {
    const id = this.view.get().selected[kind] || null;
    await this.#busy(kind, () =>
      kind === 'microphone' ? this.#connection.setMicrophone(on, id) : this.#connection.setCamera(on, id),
    );
    this.settings[kind].on = this.view.get()[kind].on;
    if (on) await this.#listDevices();
  }

  async toggleShare(): Promise<void> {
    const { share, canShare } = this.view.get();
    if (share.pending || (!share.on && !canShare)) return;
    await this.#busy('share', () => this.#connection.setScreen(!share.on));
  }

  async #busy(control: Input | 'share', work: () => Promise<void>): Promise<void> {
    this.view.patch({ [control]: { ...this.view.get()[control], pending: true } });
    try {
      await work();
    } catch (error) {
      if (error instanceof DeviceError) this.#problem(error);
      else this.#toast({ message: { key: 'device.publish-failed' }, tone: 'warn' });
    } finally {
      if (!this.#closed) {
        this.view.patch({ [control]: { ...this.view.get()[control], pending: false } });
        this.#sync();
      }
    }
  }

  #problem(error: DeviceError): void {
    const refusal: Refusal | null = deviceRefusal(error);
    if (refusal) this.#toast({ message: refusal, tone: 'warn' });
  }

  async #listDevices(): Promise<void> {
    const devices = await this.ports.devices.list();
    if (!this.#closed) this.view.patch({ devices });
  }

  #selected(kind: DeviceKind, id: string): void {
    this.view.patch({ selected: { ...this.view.get().selected, [kind]: id } });
  }

  async choose(kind: DeviceKind, id: string): Promise<void> {
    this.#preferences.rememberDevice(kind, id);
    if (kind === 'speaker') this.settings.speaker = id;
    else this.settings[kind].id = id;
    try {
      await this.#connection.switchDevice(kind, id);
      this.#selected(kind, id);
    } catch (error) {
      if (error instanceof DeviceError) this.#problem(error);
    }
  }

  async unblockSound(): Promise<void> {
    await this.#connection.unblockSound();
    this.view.patch({ soundBlocked: false });
  }

  // ---- chat ---------------------------------------------------------------------------------------------------

  async #data(payload: Uint8Array, from: string, topic: string): Promise<void> {
    if (topic !== TOPIC) return;
    const packet = decodeChat(payload);
    if (!packet) return;
    const author = await this.#names.opened(from);
    if (this.#closed) return;
    const { chat, panel } = this.view.get();
    const open = panel === 'chat';
    const key = `${from} ${packet.id}`;
    const next = addMessage(
      chat,
      { key, from, author, own: false, text: packet.text, at: this.ports.clock.now() },
      open,
    );
    if (next === chat) return;
    this.view.patch({ chat: next });
    if (!open) {
      const name = author.kind === 'name' ? author.name : this.ports.words({ key: 'person.unnamed' });
      this.announcer.say({ key: 'announce.chat', args: { name } });
    }
  }

  /** Sends a message to everybody. False when nothing was sent; the text should then stay in the field. */
  async sendChat(typed: string): Promise<boolean> {
    const text = tidyText(typed);
    if (text === '' || typed.length > TEXT_MAX) return false;
    const at = this.ports.clock.now();
    const id = `${at.toString(36)}-${(this.#sent++).toString(36)}`;
    try {
      await this.#connection.send(encodeChat(id, text, at), TOPIC);
    } catch {
      this.#toast({ message: { key: 'chat.not-sent' }, tone: 'warn' });
      return false;
    }
    const own = this.view.get().people.find((person) => person.isLocal)?.identity ?? '';
    const author = { kind: 'name', name: this.settings.name } as const;
    const message = { key: `${own} ${id}`, from: own, author, own: true, text, at };
    this.view.patch({ chat: addMessage(this.view.get().chat, message, this.view.get().panel === 'chat') });
    return true;
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
    const copied = await this.ports.copy(this.invitation);
    this.#toast(
      copied
        ? { message: { key: 'invite.copied' }, tone: 'info' }
        : { message: { key: 'invite.not-copied' }, tone: 'warn' },
    );
  }

  async copyCode(code: string): Promise<void> {
    const copied = await this.ports.copy(code);
    this.#toast({
      message: { key: copied ? 'invite.code-copied' : 'invite.not-copied' },
      tone: copied ? 'info' : 'warn',
    });
  }

  #toast(toast: Toast): void {
    this.#cancelToast?.();
    this.view.patch({ toast });
    this.announcer.say(toast.message);
    this.#cancelToast = this.ports.clock.after(TOAST_MS, () => this.dismissToast());
  }

  dismissToast(): void {
    this.#cancelToast?.();
    this.#cancelToast = null;
    if (!this.#closed) this.view.patch({ toast: null });
  }

  // ---- connection ---------------------------------------------------------------------------------------------

  #reconnecting(attempt: number): void {
    const { connection } = this.view.get();
    const since = connection.phase === 'reconnecting' ? connection.since : this.ports.clock.now();
    this.view.patch({ connection: { phase: 'reconnecting', attempt, since } });
  }

  #reconnected(): void {
    if (this.view.get().connection.phase === 'connected') return;
    this.view.patch({ connection: { phase: 'connected' } });
    this.announcer.say({ key: 'connection.back' });
  }

  async leave(): Promise<void> {
    await this.#connection.leave();
    this.#end('left');
  }

  #end(cause: DisconnectCause): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#ends.splice(0)) end();
    this.#cancelSpeakers?.();
    this.#cancelToast?.();
    this.announcer.stop();
    this.onEnd(cause);
  }
}

function isOn(track: { muted: boolean } | null | undefined): boolean {
  return track != null && !track.muted;
}

function otherLink(people: Person[]): MeetingState['otherLink'] {
  const others = people.filter((person) => !person.isLocal);
  const foreign = others.filter((person) => person.name.kind === 'other-link').length;
  if (foreign === 0) return 'none';
  return others.some((person) => person.name.kind === 'name') ? 'some' : 'all';
}
