/**
 * A world without DOM, network and real time: every port of the view models as something a test or a scene of the
 * gallery can steer.
 */

import type { ApiError } from '../src/api/errors';
import type { JoinRequest, JoinResponse } from '../src/api/client';
import { nameSealer } from '../src/crypto/name';
import type { RosterMember, State } from '../src/e2ee/types';
import type {
  CapturedTrack,
  ConnectOptions,
  Device,
  DeviceError,
  DisconnectCause,
  RtcConnection,
  RtcEvents,
  RtcParticipant,
  RtcState,
  VideoHandle,
} from '../src/rtc/types';
import type { Ports } from '../src/state/ports';
import { FakeKeys, identityOf, member } from './keys';

export class FakeClock {
  time = 1_000_000;
  #timers: { at: number; run: () => void }[] = [];

  now = () => this.time;

  after = (ms: number, run: () => void) => {
    const timer = { at: this.time + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  get timers(): number {
    return this.#timers.length;
  }

  /** Lets virtual time pass; timers run at their time, in order. */
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.time = next.at;
      next.run();
    }
    this.time = end;
  }
}

/** A picture that nobody looks at. */
const UNSEEN: VideoHandle = { attach: () => () => undefined };

export function random(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}

export function participant(identity: string, change: Partial<RtcParticipant> = {}): RtcParticipant {
  return {
    identity,
    isLocal: false,
    name: '',
    metadata: '',
    joinedAt: 0,
    speaking: false,
    weak: false,
    microphone: null,
    camera: null,
    screen: null,
    ...change,
  };
}

export class FakeConnection implements RtcConnection {
  others: RtcParticipant[] = [];
  published: CapturedTrack[] = [];
  left = false;
  failWith: Error | null = null;
  /** What was written without keys. */
  said: string[] = [];
  state: RtcState = { phase: 'connected' };
  local: RtcParticipant;
  #listeners: { event: string; listener: (...args: never[]) => void }[] = [];

  constructor(
    identity: string,
    private readonly pictures: { camera: VideoHandle | null; screen: VideoHandle } = {
      camera: null,
      screen: UNSEEN,
    },
  ) {
    this.local = participant(identity, { isLocal: true });
  }

  on<E extends keyof RtcEvents>(event: E, listener: RtcEvents[E]) {
    const entry = { event, listener: listener as (...args: never[]) => void };
    this.#listeners.push(entry);
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== entry);
    };
  }

  /** The connection breaks, and the library forgets everybody else. */
  break(attempt = 1): void {
    this.state = { phase: 'reconnecting', attempt };
    this.emit('reconnecting', attempt);
    this.now();
  }

  /** The connection is back, with those who are still there. */
  mend(...others: RtcParticipant[]): void {
    this.state = { phase: 'connected' };
    this.others = others;
    this.emit('reconnected');
    this.emit('participants');
  }

  end(cause: DisconnectCause): void {
    this.state = { phase: 'ended', cause };
    this.emit('disconnected', cause);
  }

  emit<E extends keyof RtcEvents>(event: E, ...args: Parameters<RtcEvents[E]>): void {
    for (const entry of [...this.#listeners]) if (entry.event === event) entry.listener(...(args as never[]));
  }

  /** Replaces the others and tells about it. */
  now(...others: RtcParticipant[]): void {
    this.others = others;
    this.emit('participants');
  }

  participants() {
    return [this.local, ...this.others];
  }

  async publish(track: CapturedTrack) {
    this.published.push(track);
    if (this.failWith) throw this.failWith;
    const open = { muted: false, video: track.video };
    this.local = { ...this.local, [track.video ? 'camera' : 'microphone']: open };
    this.emit('participants');
  }

  async setMicrophone(on: boolean) {
    if (this.failWith) throw this.failWith;
    this.local = { ...this.local, microphone: { muted: !on, video: null } };
    this.emit('participants');
  }

  async setCamera(on: boolean) {
    if (this.failWith) throw this.failWith;
    this.local = { ...this.local, camera: { muted: !on, video: on ? this.pictures.camera : null } };
    this.emit('participants');
  }

  async setScreen(on: boolean) {
    if (this.failWith) throw this.failWith;
    this.local = {
      ...this.local,
      screen: on ? { muted: false, video: this.pictures.screen } : null,
    };
    this.emit('participants');
  }

  async switchDevice() {
    if (this.failWith) throw this.failWith;
  }

  async unblockSound() {
    // Nothing holds sound back here.
  }

  async say(text: string) {
    if (this.failWith) throw this.failWith;
    this.said.push(text);
  }

  async setMetadata(metadata: string) {
    this.local = { ...this.local, metadata };
  }

  async leave() {
    this.left = true;
    if (this.failWith) throw this.failWith;
    this.end('left');
  }
}

export class FakeTrack implements CapturedTrack {
  stopped = false;
  #ended: (() => void)[] = [];

  constructor(
    readonly deviceId: string,
    kind: 'microphone' | 'camera',
    picture: VideoHandle = UNSEEN,
  ) {
    this.video = kind === 'camera' ? picture : null;
  }

  readonly video: CapturedTrack['video'];

  level() {
    return 0.5;
  }

  stop() {
    this.stopped = true;
  }

  onEnded(listener: () => void) {
    this.#ended.push(listener);
    return () => undefined;
  }

  unplug() {
    for (const listener of this.#ended) listener();
  }
}

export class World {
  clock = new FakeClock();
  /** What the server knows. */
  running = false;
  mode: JoinResponse['mode'] = 'mls';
  /** Who is in the room when one connects. */
  present: RtcParticipant[] = [];
  joins: { room: string; request: JoinRequest }[] = [];
  /** Whom the connection takes one for who asked for this identity. */
  connectedAs: (identity: string) => string = (identity) => identity;
  refuse: ((request: JoinRequest) => ApiError | null) | null = null;
  answer: (answer: JoinResponse) => JoinResponse = (answer) => answer;
  /** Holds the answer to a request without identity back. */
  probe: Promise<void> = Promise.resolve();
  connections: FakeConnection[] = [];
  /** With what each of them was made. */
  connectedWith: ConnectOptions[] = [];
  connectError: Error | null = null;
  /** How a connection stands by the time somebody looks at it. */
  connectionState: RtcState = { phase: 'connected' };

  /** The secret of the meeting: those of its people who have it have the keys. */
  secret = 'K7F3Q9XM2B8DW5TZ6C4N';
  members: RosterMember[] = [];
  keysOpened: FakeKeys[] = [];
  keysObstacle: 'unsupported' | null = null;
  keysError: Error | null = null;
  /** How keys stand once the channel is open. */
  keysState: State = { type: 'member', confirmed: true };

  obstacle: 'insecure' | 'unsupported' | null = null;
  devices: Device[] = [];
  opened: FakeTrack[] = [];
  /** What one's own camera and screen show. */
  pictures: { camera: VideoHandle; screen: VideoHandle } = { camera: UNSEEN, screen: UNSEEN };
  deviceErrors: { microphone?: DeviceError; camera?: DeviceError } = {};

  /** Sounds that were heard, with the speaker where one was chosen. */
  heard: string[] = [];

  path = '/';
  fragment = '';
  claimed = new Set<string>();
  tab = new Map<string, string>();
  local = new Map<string, string>();
  clipboard: string | null = null;
  clipboardAllowed = true;
  /** Whether the page's parts can be loaded. */
  complete = true;
  /** Whether this device keeps anything. */
  storage = true;
  #addressListeners: (() => void)[] = [];
  #deviceListeners: (() => void)[] = [];

  get connection(): FakeConnection {
    const last = this.connections.at(-1);
    if (!last) throw new Error('nobody connected');
    return last;
  }

  get keys(): FakeKeys {
    const last = this.keysOpened.at(-1);
    if (!last) throw new Error('nobody has keys');
    return last;
  }

  openKeys(identity: string, name: string): FakeKeys {
    const keys = new FakeKeys(identity, name, () => this.members, this.keysState);
    this.keysOpened.push(keys);
    return keys;
  }

  /** Somebody's keys are seen otherwise from now on. */
  see(identity: string, change: Partial<RosterMember>): void {
    this.members = this.members.map((one) => (one.identity === identity ? { ...one, ...change } : one));
    for (const keys of this.keysOpened) keys.update();
  }

  /** Devices are plugged in or out: these are there now. */
  plug(...devices: Device[]): void {
    this.devices = devices;
    for (const listener of this.#deviceListeners) listener();
  }

  /** The person types an address, or goes back. */
  visit(path: string, fragment = ''): void {
    this.path = path;
    this.fragment = fragment;
    for (const listener of this.#addressListeners) listener();
  }

  /** Somebody else in the room whose name is sealed under the secret; if it is the meeting's, they have the keys. */
  async person(
    secret: string,
    room: string,
    identity: string,
    name: string,
    change: Partial<RtcParticipant> = {},
  ) {
    if (secret === this.secret) {
      const known = this.members.find((one) => one.identity === identity);
      if (!known) this.members = [...this.members, member(identity, this.members.length, { name })];
      this.see(identity, { name });
    }
    const sealer = await nameSealer(secret, room, random);
    return participant(identity, { metadata: await sealer.seal(name, identity), ...change });
  }

  readonly ports: Ports = {
    api: {
      join: async (room, request) => {
        this.joins.push({ room, request });
        if (!request.identity) await this.probe;
        const refused = this.refuse?.(request);
        if (refused) throw refused;
        return this.answer({
          url: 'ws://server',
          token: 'token',
          identity: request.identity ?? 'made-by-the-server',
          room,
          running: this.running,
          mode: this.mode,
        });
      },
    },
    rtc: {
      preload: async () => undefined,
      connect: async (_url, _token, options) => {
        if (this.connectError) throw this.connectError;
        const asked = this.joins.at(-1)?.request.identity ?? 'made-by-the-server';
        this.connectedWith.push(options);
        const connection = new FakeConnection(this.connectedAs(asked), this.pictures);
        connection.others = this.present;
        connection.state = this.connectionState;
        this.connections.push(connection);
        return connection;
      },
    },
    keys: {
      obstacle: () => this.keysObstacle,
      preload: () => undefined,
      open: async ({ seed, name }) => {
        if (this.keysError) throw this.keysError;
        return this.openKeys(identityOf(seed), name);
      },
    },
    devices: {
      obstacle: () => this.obstacle,
      canShareScreen: () => true,
      canChooseSpeaker: () => true,
      list: async () => this.devices,
      onChange: (listener) => {
        this.#deviceListeners.push(listener);
        return () => {
          this.#deviceListeners = this.#deviceListeners.filter((other) => other !== listener);
        };
      },
      open: async ({ microphone, camera }) => {
        const open = (kind: 'microphone' | 'camera', id: string | null) => {
          if (id === null) return undefined;
          const error = this.deviceErrors[kind];
          if (error) return error;
          const track = new FakeTrack(id, kind, this.pictures.camera);
          this.opened.push(track);
          return track;
        };
        return { microphone: open('microphone', microphone), camera: open('camera', camera) };
      },
    },
    loadMeeting: async () => {
      if (!this.complete) throw new TypeError('Failed to fetch');
    },
    sounds: { play: (chime, speaker) => void this.heard.push(speaker ? `${chime} ${speaker}` : chime) },
    clock: this.clock,
    random,
    address: {
      origin: 'https://meet.example',
      path: () => this.path,
      fragment: () => this.fragment,
      push: (path, fragment) => {
        this.path = path;
        this.fragment = fragment;
      },
      replace: (path, fragment) => {
        this.path = path;
        this.fragment = fragment;
      },
      onChange: (listener) => this.#addressListeners.push(listener),
    },
    tab: {
      get: (key) => this.tab.get(key) ?? null,
      set: (key, value) => void (value === null ? this.tab.delete(key) : this.tab.set(key, value)),
    },
    local: {
      get: (key) => this.local.get(key) ?? null,
      set: (key, value) => {
        if (this.storage) void (value === null ? this.local.delete(key) : this.local.set(key, value));
      },
    },
    sealer: (secret, room) => nameSealer(secret, room, random),
    claimIdentity: async (claim) => {
      if (this.claimed.has(claim)) return false;
      this.claimed.add(claim);
      return true;
    },
    copy: async (text) => {
      if (this.clipboardAllowed) this.clipboard = text;
      return this.clipboardAllowed;
    },
    words: ({ key }) => (key.startsWith('start.words') ? 'one two three' : key),
  };
}

/** Waits until a condition holds; sealing and opening names takes turns of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000; turn++) {
    if (condition()) return;
    await new Promise<void>((resolve) => setTimeout(resolve));
  }
  throw new Error('the condition never came true');
}
