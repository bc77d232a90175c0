/**
 * What the rest of the client knows about real-time media. No type of `livekit-client` or of the browser's media API
 * passes this file; whoever shows a picture gets a handle that attaches itself to a video element. What people say to
 * each other goes past it, between the connection and the keys.
 */

import type { ConnectionKeys } from '../e2ee/types';

export type Unsubscribe = () => void;

/** A picture that can be shown. The same handle object stands for the same track as long as it lives. */
export interface VideoHandle {
  /** Shows the track in the element. Returns the function that takes it away again. */
  attach(element: HTMLVideoElement): Unsubscribe;
}

export interface RtcTrack {
  muted: boolean;
  /** There while a picture can be shown: subscribed (or one's own) and not muted. */
  video: VideoHandle | null;
  /** The server sends nothing of it at the moment, because there is no room for it on the way here. */
  paused?: boolean;
  /** Encrypted under keys that are not this meeting's: nothing of it can be seen or heard. */
  foreign?: boolean;
}

export interface RtcParticipant {
  identity: string;
  isLocal: boolean;
  /** What they are called by the server's word: nobody's, where names are sealed. */
  name: string;
  metadata: string;
  /** Milliseconds since the epoch by the server's clock; 0 if unknown. */
  joinedAt: number;
  /** Louder than the speaker threshold at this moment. */
  speaking: boolean;
  /** The server judges their connection as poor, or hears nothing of them. */
  weak: boolean;
  microphone: RtcTrack | null;
  camera: RtcTrack | null;
  screen: RtcTrack | null;
}

export type DeviceKind = 'microphone' | 'camera' | 'speaker';

export interface Device {
  id: string;
  kind: DeviceKind;
  /** Empty until the browser allows to read it. */
  label: string;
}

/** Why a device cannot be used. */
export type DeviceProblem =
  /** The browser or the person said no. */
  | 'denied'
  /** There is no such device. */
  | 'missing'
  /** Another program uses it, or the system cannot open it. */
  | 'busy'
  /** The page is not on a secure origin, so the browser hides all devices. */
  | 'insecure'
  /** The browser cannot do it. */
  | 'unsupported';

export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  constructor(
    readonly kind: DeviceKind | 'screen',
    readonly problem: DeviceProblem | 'cancelled',
  ) {
    super(`${kind}: ${problem}`);
  }
}

/** A microphone or camera that is open before joining, and handed over when joining. */
export interface CapturedTrack {
  deviceId: string;
  video: VideoHandle | null;
  /** 0…1, how loud it is now; 0 for pictures. */
  level(): number;
  stop(): void;
  /** Called when the device disappears or the browser takes it away. */
  onEnded(listener: () => void): Unsubscribe;
}

/** What is heard when something happens that one might not see. */
export type Chime = 'joined' | 'left' | 'message';

export interface Sounds {
  /** On the speaker of that id, `''` for the system's. Where the browser holds sound back, nothing is heard. */
  play(chime: Chime, speaker: string): void;
}

/** Devices outside of a meeting. */
export interface Devices {
  /** `null` when the browser and the page's origin allow media at all. */
  obstacle(): 'insecure' | 'unsupported' | null;
  canShareScreen(): boolean;
  canChooseSpeaker(): boolean;
  list(): Promise<Device[]>;
  onChange(listener: () => void): Unsubscribe;
  /** Asks for both in one question where both are wanted. A problem with one does not take the other. */
  open(wanted: {
    microphone: string | null;
    camera: string | null;
  }): Promise<{ microphone?: CapturedTrack | DeviceError; camera?: CapturedTrack | DeviceError }>;
}

export type DisconnectCause =
  /** `leave()` was called. */
  | 'left'
  /** The connection broke and did not come back. */
  | 'lost'
  /** The same identity connected elsewhere. */
  | 'elsewhere'
  | 'removed'
  | 'room-closed'
  | 'server-stopped';

/** Why connecting did not work. */
export type ConnectProblem =
  /** The server refused the token. */
  | 'refused'
  /** No answer from the server. */
  | 'unreachable'
  /** Signalling works, but no media path was found. */
  | 'no-media-path'
  | 'failed';

export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  constructor(readonly problem: ConnectProblem) {
    super(problem);
  }
}

/** How a connection stands. `attempt` counts from 1. */
export type RtcState =
  | { phase: 'connected' }
  | { phase: 'reconnecting'; attempt: number }
  | { phase: 'ended'; cause: DisconnectCause };

export interface RtcEvents {
  /** Anything about `participants()` changed. */
  participants(): void;
  /** `attempt` counts from 1. */
  reconnecting(attempt: number): void;
  reconnected(): void;
  disconnected(cause: DisconnectCause): void;
  /** The browser holds sound back until the person does something. */
  soundBlocked(blocked: boolean): void;
  /** A device in use was switched to another one, by the person or by the system. */
  deviceChanged(kind: DeviceKind, id: string): void;
  /** Somebody wrote, in a meeting without keys. `id` is theirs to choose. */
  said(from: string, id: string, text: string): void;
}

/** A connection to one meeting, from `connect` to `disconnected`. */
export interface RtcConnection {
  on<E extends keyof RtcEvents>(event: E, listener: RtcEvents[E]): Unsubscribe;
  /** At this moment: events tell of changes only. */
  readonly state: RtcState;
  /** Oneself first, then the others in the order in which they came. */
  participants(): RtcParticipant[];
  /** Hands an open track over to the meeting; the connection stops it, at once where publishing fails. */
  publish(track: CapturedTrack): Promise<void>;
  /** @throws DeviceError when it is the device, another error when it did not reach the server */
  setMicrophone(on: boolean, deviceId: string | null): Promise<void>;
  /** As `setMicrophone`. */
  setCamera(on: boolean, deviceId: string | null): Promise<void>;
  /** With sound where the browser offers it. @throws DeviceError ('cancelled' when the person chose nothing) */
  setScreen(on: boolean): Promise<void>;
  /** @throws DeviceError */
  switchDevice(kind: DeviceKind, id: string): Promise<void>;
  /** To be called from a click, after `soundBlocked(true)`. */
  unblockSound(): Promise<void>;
  /** Writes to everybody, in a meeting without keys, as LiveKit's own clients do. */
  say(text: string): Promise<void>;
  /** Tells the server what it tells everybody of oneself. */
  setMetadata(metadata: string): Promise<void>;
  leave(): Promise<void>;
}

export interface ConnectOptions {
  speaker: string | null;
  /**
   * Seal what is sent and open what is received. `null` in a room that is not end-to-end encrypted, where everything goes
   * as it is.
   */
  keys: ConnectionKeys | null;
}

export interface Rtc {
  /** Loads the media library ahead of time. */
  preload(): Promise<void>;
  /** Connects without publishing anything. @throws ConnectError */
  connect(url: string, token: string, options: ConnectOptions): Promise<RtcConnection>;
}
