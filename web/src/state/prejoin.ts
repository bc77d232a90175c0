/**
 * The pre-join screen: own picture and sound, devices, name, and the link's secret. Nothing is sent to the meeting
 * from here; joining asks for admission, connects, and only then hands the open devices over.
 */

import { fragmentOf, newSecret, parseCode, type CodeResult } from '../crypto/link';
import { tidyName } from '../crypto/name';
import {
  DeviceError,
  type CapturedTrack,
  type Device,
  type DeviceKind,
  type VideoHandle,
} from '../rtc/types';
import { admit, leave, NotClearError, OtherLinkError, type Admitted } from './admission';
import type { TabIdentity } from './identity';
import type { Refusal } from './messages';
import type { Ports } from './ports';
import { Preferences } from './preferences';
import { fill } from './name-field';
import { codeRefusal, deviceRefusal, joinRefusal, keysRefusal } from './refusals';
import { normaliseRoom, pathOfRoom } from './room-name';
import { Store } from './store';

/** What is known about the secret of this room. */
export type LinkState =
  /** A bare link: the server is being asked whether the room is running. */
  | { kind: 'asking' }
  | { kind: 'ready'; secret: string }
  /** The code is needed before anything is connected. */
  | { kind: 'code'; why: 'running' | 'other-link' | 'broken-link' }
  /** A bare link to a room that another program opened: whoever goes on is told that it is not end-to-end encrypted. */
  | { kind: 'clear' }
  /** The server did not say. */
  | { kind: 'unknown' };

export interface InputState {
  on: boolean;
  /** Chosen device, `''` for the system's choice. */
  id: string;
  problem: Refusal | null;
}

export interface PreJoinState {
  room: string;
  link: LinkState;
  code: string;
  codeProblem: Refusal | null;
  name: string;
  nameProblem: Refusal | null;
  /** The browser keeps nothing: name and devices last as long as the page. */
  forgetful: boolean;
  microphone: InputState;
  camera: InputState;
  speaker: string;
  devices: Device[];
  video: VideoHandle | null;
  /** The browser's question about camera and microphone may be open. */
  asking: boolean;
  joining: boolean;
  refusal: Refusal | null;
}

/** What joining needs, kept for joining again. */
export interface JoinSettings {
  /** As written in the address. */
  room: string;
  /** `null` for a room that is not end-to-end encrypted. */
  secret: string | null;
  name: string;
  microphone: { on: boolean; id: string };
  camera: { on: boolean; id: string };
  speaker: string;
}

export interface Joined {
  admitted: Admitted;
  settings: JoinSettings;
  tracks: CapturedTrack[];
}

type Input = 'microphone' | 'camera';

/** Ids of the devices to open; `null` for none. */
type Wanted = Record<Input, string | null>;

export class PreJoinModel {
  readonly view: Store<PreJoinState>;
  #preferences: Preferences;
  #tracks: { microphone: CapturedTrack | null; camera: CapturedTrack | null } = {
    microphone: null,
    camera: null,
  };
  /** Counts openings per device, so that a late answer of the browser does not win over a newer choice. */
  #turn = { microphone: 0, camera: 0 };
  #ended: (() => void)[] = [];
  #closed = false;

  constructor(
    private readonly ports: Ports,
    private readonly identities: TabIdentity,
    private readonly onJoined: (joined: Joined) => void,
    target: { room: string; fragment: CodeResult | null; fresh: boolean },
  ) {
    this.#preferences = new Preferences(ports.local);
    const { fragment, room } = target;
    const input = (kind: Input): InputState => ({
      on: true,
      id: this.#preferences.device(kind),
      problem: null,
    });
    this.view = new Store<PreJoinState>({
      room,
      link: fragment?.ok
        ? { kind: 'ready', secret: fragment.secret }
        : fragment
          ? { kind: 'code', why: 'broken-link' }
          : { kind: 'asking' },
      code: '',
      codeProblem: null,
      name: this.#preferences.name(),
      nameProblem: null,
      forgetful: !this.#preferences.kept(),
      microphone: input('microphone'),
      camera: input('camera'),
      speaker: this.#preferences.device('speaker'),
      devices: [],
      video: null,
      asking: true,
      joining: false,
      refusal: this.#obstacle(),
    });
    void this.#preload();
    this.#ended.push(ports.devices.onChange(() => void this.#listDevices()));
    const { microphone, camera } = this.view.get();
    void this.#ask({ microphone: microphone.id, camera: camera.id });
    if (!fragment || target.fresh) void this.askWhetherRunning();
  }

  /** What joining needs, one after the other; whatever fails is tried again, and reported, when joining. */
  async #preload(): Promise<void> {
    await this.ports.rtc.preload();
    this.ports.keys.preload();
    await this.ports.loadMeeting().catch(() => undefined);
  }

  /** Without encryption nobody joins. */
  #obstacle(): Refusal | null {
    const problem = this.ports.keys.obstacle();
    return problem && keysRefusal(problem);
  }

  /**
   * A bare link, or a secret that was made on the start page: if the room is running already, its code is needed;
   * else a secret made here becomes the room's, and stands in the address bar from now on.
   *
   * What the room is otherwise (`mode`) is looked at for a bare link only. Whoever has a secret, whether from a link or
   * from the start page, is promised a meeting that is end-to-end encrypted; no word of the server changes that.
   */
  async askWhetherRunning(): Promise<void> {
    const { room, link } = this.view.get();
    const made = link.kind === 'ready' ? link.secret : null;
    if (!made) this.view.patch({ link: { kind: 'asking' }, refusal: this.#obstacle() });
    try {
      const { running, mode } = await this.ports.api.join(normaliseRoom(room), {});
      // Whoever has pressed "join" meanwhile is answered by the meeting itself.
      if (this.#closed || this.view.get().joining) return;
      if (!made && mode === 'clear') {
        this.view.patch({ link: { kind: 'clear' }, refusal: null });
      } else if (running) {
        this.ports.address.replace(pathOfRoom(room), '');
        this.view.patch({ link: { kind: 'code', why: 'running' } });
      } else {
        this.#setSecret(made ?? newSecret(this.ports.random));
      }
    } catch (error) {
      if (this.#closed || this.view.get().joining) return;
      this.view.patch({ link: made ? link : { kind: 'unknown' }, refusal: joinRefusal(error) });
    }
  }

  #setSecret(secret: string): void {
    this.ports.address.replace(pathOfRoom(this.view.get().room), fragmentOf(secret));
    this.view.patch({ link: { kind: 'ready', secret }, codeProblem: null });
  }

  async #ask(wanted: Wanted): Promise<void> {
    this.view.patch({ asking: true });
    await this.#open(wanted);
    if (!this.#closed) this.view.patch({ asking: false });
  }

  async #open(wanted: Wanted): Promise<void> {
    const turn = { ...this.#turn };
    if (wanted.microphone !== null) turn.microphone = ++this.#turn.microphone;
    if (wanted.camera !== null) turn.camera = ++this.#turn.camera;
    const opened = await this.ports.devices.open(wanted);
    for (const kind of ['microphone', 'camera'] as const) {
      if (wanted[kind] === null) continue;
      const result = opened[kind];
      if (this.#closed || turn[kind] !== this.#turn[kind]) {
        if (result && !(result instanceof DeviceError)) result.stop();
        continue;
      }
      this.#take(kind, result);
    }
    await this.#listDevices();
  }

  #take(kind: Input, result: CapturedTrack | DeviceError | undefined): void {
    const failed = result instanceof DeviceError || !result;
    this.#tracks[kind]?.stop();
    this.#tracks[kind] = failed ? null : result;
    const problem = result instanceof DeviceError ? deviceRefusal(result) : null;
    this.view.patch({ [kind]: { ...this.view.get()[kind], on: !failed, problem } });
    if (kind === 'camera') this.view.patch({ video: failed ? null : result.video });
    if (!failed) {
      this.#ended.push(
        result.onEnded(() => {
          if (this.#tracks[kind] === result) this.#take(kind, new DeviceError(kind, 'missing'));
        }),
      );
    }
  }

  async #listDevices(): Promise<void> {
    const devices = await this.ports.devices.list();
    if (!this.#closed) this.view.patch({ devices });
  }

  /** 0…1, how loud the microphone is at this moment. */
  level(): number {
    return this.#tracks.microphone?.level() ?? 0;
  }

  /** Nothing can be opened at all, so the picture makes room for an explanation. */
  static blocked(state: PreJoinState): 'denied' | 'insecure' | 'unsupported' | null {
    const codes = [state.microphone.problem?.code, state.camera.problem?.code];
    for (const problem of ['insecure', 'unsupported', 'denied'] as const) {
      if (codes.every((code) => code?.endsWith(problem))) return problem;
    }
    return null;
  }

  async toggle(kind: Input): Promise<void> {
    const input = this.view.get()[kind];
    if (input.on) {
      this.#turn[kind]++;
      this.#tracks[kind]?.stop();
      this.#tracks[kind] = null;
      this.view.patch({ [kind]: { ...input, on: false } });
      if (kind === 'camera') this.view.patch({ video: null });
      return;
    }
    this.view.patch({ [kind]: { ...input, on: true, problem: null } });
    await this.#open({
      microphone: kind === 'microphone' ? input.id : null,
      camera: kind === 'camera' ? input.id : null,
    });
  }

  /** Asks the browser once more for what it did not give. */
  async retryDevices(): Promise<void> {
    const { microphone, camera } = this.view.get();
    await this.#ask({
      microphone: microphone.problem && microphone.id,
      camera: camera.problem && camera.id,
    });
  }

  async choose(kind: DeviceKind, id: string): Promise<void> {
    this.#preferences.rememberDevice(kind, id);
    if (kind === 'speaker') {
      this.view.patch({ speaker: id });
      return;
    }
    const input = this.view.get()[kind];
    this.view.patch({ [kind]: { ...input, id } });
    if (input.on || input.problem) {
      await this.#open({
        microphone: kind === 'microphone' ? id : null,
        camera: kind === 'camera' ? id : null,
      });
    }
  }

  /** What does not fit is not taken, and that is said. */
  setName(typed: string): void {
    const name = fill(this.view.get().name, typed);
    const nameProblem: Refusal | null = name === typed ? null : { code: 'name-full', key: 'error.name-full' };
    this.view.patch({ name, nameProblem });
  }

  setCode(code: string): void {
    this.view.patch({ code, codeProblem: null, refusal: null });
  }

  /** Joins, unless the person has to be asked first whether they want that without end-to-end encryption. */
  async join(): Promise<void> {
    if (this.view.get().link.kind !== 'clear') await this.#join();
  }

  /** Joins though the room is not end-to-end encrypted: the person was told, and chose to. */
  async joinAnyway(): Promise<void> {
    if (this.view.get().link.kind === 'clear') await this.#join();
  }

  async #join(): Promise<void> {
    const state = this.view.get();
    if (state.joining) return;
    if (this.ports.devices.obstacle() !== null) return;
    const refusal = state.link.kind === 'clear' ? null : this.#obstacle();
    if (refusal) {
      this.view.patch({ refusal });
      return;
    }
    const name = tidyName(state.name);
    if (name === '') {
      this.view.patch({ nameProblem: { code: 'name-empty', key: 'error.name-empty' } });
      return;
    }
    if (state.link.kind === 'asking') return;
    if (state.link.kind === 'unknown') {
      await this.askWhetherRunning();
      if (this.view.get().link.kind === 'ready') await this.join();
      return;
    }
    let secret: string | null = null;
    if (state.link.kind === 'code') {
      const typed = parseCode(state.code);
      if (!typed.ok) {
        this.view.patch({ codeProblem: codeRefusal(typed.problem) });
        return;
      }
      secret = typed.secret;
    } else if (state.link.kind === 'ready') {
      secret = state.link.secret;
    }
    this.#preferences.rememberName(name);
    this.view.patch({ joining: true, refusal: null, codeProblem: null, nameProblem: null });
    try {
      await this.ports.loadMeeting();
    } catch {
      this.view.patch({ joining: false, refusal: { code: 'not-loaded', key: 'error.not-loaded' } });
      return;
    }
    if (this.#closed) return;
    try {
      const admitted = await admit(this.ports, this.identities, {
        room: normaliseRoom(state.room),
        secret,
        name,
        speaker: state.speaker || null,
      });
      if (this.#closed) {
        await leave(admitted);
      } else {
        if (secret !== null) this.#setSecret(secret);
        this.#handOver(admitted, name, secret);
      }
    } catch (error) {
      if (error instanceof OtherLinkError && !this.#closed) {
        this.ports.address.replace(pathOfRoom(state.room), '');
        this.view.patch({ joining: false, code: '', link: { kind: 'code', why: 'other-link' } });
      } else if (error instanceof NotClearError && !this.#closed) {
        // It has ended meanwhile, and is what everybody makes of it who comes now.
        this.view.patch({ joining: false });
        await this.askWhetherRunning();
      } else {
        this.view.patch({ joining: false, refusal: joinRefusal(error) });
      }
    }
  }

  #handOver(admitted: Admitted, name: string, secret: string | null): void {
    const { room, microphone, camera, speaker } = this.view.get();
    const tracks = [this.#tracks.microphone, this.#tracks.camera].filter((track) => track !== null);
    this.#tracks = { microphone: null, camera: null };
    this.close();
    this.onJoined({
      admitted,
      tracks,
      settings: {
        room,
        secret,
        name,
        microphone: { on: microphone.on, id: microphone.id },
        camera: { on: camera.on, id: camera.id },
        speaker,
      },
    });
  }

  /** Switches everything off that is still open. */
  close(): void {
    this.#closed = true;
    for (const end of this.#ended.splice(0)) end();
    this.#tracks.microphone?.stop();
    this.#tracks.camera?.stop();
    this.#tracks = { microphone: null, camera: null };
  }
}
