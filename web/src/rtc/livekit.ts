/**
 * The connection over `livekit-client`: the one file that knows the library. Loaded as a chunk of its own while the
 * visitor looks at the pre-join screen.
 */

import {
  AudioPresets,
  ConnectionError,
  ConnectionErrorReason,
  ConnectionQuality,
  ConnectionState,
  DeviceUnsupportedError,
  DisconnectReason,
  LivekitError,
  LocalAudioTrack,
  LocalVideoTrack,
  Room,
  RoomEvent,
  setLogLevel,
  Track,
  type LocalTrack,
  type Participant,
  type ReconnectPolicy,
  type TrackPublication,
} from 'livekit-client';
import { AUDIO_CONSTRAINTS, BrowserTrack, problemOf, VIDEO_CONSTRAINTS } from './devices';
import type { ConnectionKeys, Stream } from '../e2ee/types';
import { kindOf, RoomEncryption } from './encryption';
import { PlainChat } from './plain';
import { publishOrStop } from './publishing';
import { retryDelay } from './retries';
import {
  ConnectError,
  DeviceError,
  type CapturedTrack,
  type ConnectOptions,
  type DeviceKind,
  type DisconnectCause,
  type RtcConnection,
  type RtcEvents,
  type RtcParticipant,
  type RtcState,
  type RtcTrack,
  type Unsubscribe,
  type VideoHandle,
} from './types';

setLogLevel('warn');

const CAUSES: Partial<Record<DisconnectReason, DisconnectCause>> = {
  [DisconnectReason.CLIENT_INITIATED]: 'left',
  [DisconnectReason.DUPLICATE_IDENTITY]: 'elsewhere',
  [DisconnectReason.PARTICIPANT_REMOVED]: 'removed',
  [DisconnectReason.ROOM_DELETED]: 'room-closed',
  [DisconnectReason.ROOM_CLOSED]: 'room-closed',
  [DisconnectReason.SERVER_SHUTDOWN]: 'server-stopped',
};

const DEVICE_KINDS: Partial<Record<MediaDeviceKind, DeviceKind>> = {
  audioinput: 'microphone',
  videoinput: 'camera',
  audiooutput: 'speaker',
};

const LIVEKIT_KINDS: Record<DeviceKind, MediaDeviceKind> = {
  microphone: 'audioinput',
  camera: 'videoinput',
  speaker: 'audiooutput',
};

const WEAK = [ConnectionQuality.Poor, ConnectionQuality.Lost];

type Input = 'microphone' | 'camera';

const SOURCES: Record<Input, Track.Source> = {
  microphone: Track.Source.Microphone,
  camera: Track.Source.Camera,
};

/** Also tells how many tries a reconnection took; the library itself does not. */
class QuickReconnectPolicy implements ReconnectPolicy {
  onAttempt: (attempt: number) => void = () => undefined;

  nextRetryDelayInMs({ retryCount }: { retryCount: number }): number | null {
    this.onAttempt(retryCount + 1);
    return retryDelay(retryCount, Math.random);
  }
}

function connectProblem(error: unknown): ConnectError {
  if (error instanceof ConnectionError) {
    switch (error.reason) {
      case ConnectionErrorReason.NotAllowed:
        return new ConnectError('refused');
      case ConnectionErrorReason.ServerUnreachable:
      case ConnectionErrorReason.ServiceNotFound:
      case ConnectionErrorReason.WebSocket:
      case ConnectionErrorReason.Timeout:
        return new ConnectError('unreachable');
      case ConnectionErrorReason.InternalError:
        return new ConnectError(/pc connection/i.test(error.message) ? 'no-media-path' : 'failed');
    }
  }
  return new ConnectError('failed');
}

/** Whether the library itself failed, and not the browser that was asked for a device. */
function ofConnection(error: unknown): boolean {
  if (error instanceof LivekitError) return !(error instanceof DeviceUnsupportedError);
  return error instanceof Error && error.name === 'Error';
}

/** Turns failures of a device into `DeviceError`. */
async function ofDevice<T>(kind: DeviceKind, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw ofConnection(error) ? error : new DeviceError(kind, problemOf(error));
  }
}

/** Data packets of the keys. Whatever has another topic is not looked at. */
const TOPIC = 'k';

/**
 * Also where the driver of a microphone has two channels: the library takes those for music. Shared sound may be music,
 * and is left to the library.
 */
const SPEECH = { audioPreset: AudioPresets.speech };

/** Sealed sound cannot be taken apart on its way, and a backup codec would need a second sender for one stream. */
const SEALED = { red: false, backupCodec: false } as const;

class LiveKitConnection implements RtcConnection {
  #listeners: { [E in keyof RtcEvents]?: Set<RtcEvents[E]> } = {};
  #handles = new WeakMap<Track, VideoHandle>();
  /** Holds the hidden audio elements of the others, one per track. */
  #sound = document.createElement('div');
  #soundOf = new Map<Track, HTMLMediaElement>();
  /** Tracks of others that have been dealt with. */
  #taken = new WeakSet<Track>();
  #attempt = 1;
  #ended: DisconnectCause | null = null;
  /**
   * The library resumes, or restarts where it cannot. It says "connected" before it is done, up to two seconds when it
   * restarts, and until then keeps what it is given to send for a resume that may not come.
   */
  #returning = false;
  #queued = false;
  #unsend: Unsubscribe = () => undefined;
  /** Where nothing is sealed. */
  readonly #plain: PlainChat | null = null;

  constructor(
    readonly room: Room,
    policy: QuickReconnectPolicy,
    /** `null` where nothing is sealed. */
    readonly keys: ConnectionKeys | null,
  ) {
    this.#sound.hidden = true;
    document.body.append(this.#sound);
    policy.onAttempt = (attempt) => {
      this.#attempt = attempt;
      if (room.state !== ConnectionState.Connected) this.#emit('reconnecting', attempt);
    };
    const changed = () => this.#participantsChanged();
    room
      .on(RoomEvent.ParticipantConnected, changed)
      .on(RoomEvent.ParticipantDisconnected, changed)
      .on(RoomEvent.ParticipantMetadataChanged, changed)
      .on(RoomEvent.ParticipantNameChanged, changed)
      .on(RoomEvent.TrackPublished, changed)
      .on(RoomEvent.TrackUnpublished, changed)
      .on(RoomEvent.TrackMuted, changed)
      .on(RoomEvent.TrackUnmuted, changed)
      .on(RoomEvent.TrackSubscriptionStatusChanged, changed)
      .on(RoomEvent.LocalTrackPublished, () => this.#ownTracksChanged())
      .on(RoomEvent.LocalTrackUnpublished, () => this.#ownTracksChanged())
      .on(RoomEvent.ActiveSpeakersChanged, changed)
      .on(RoomEvent.ConnectionQualityChanged, changed)
      .on(RoomEvent.TrackStreamStateChanged, changed)
      .on(RoomEvent.TrackSubscribed, changed)
      .on(RoomEvent.TrackUnsubscribed, (track) => {
        // The library has detached the element by now, so the track no longer knows it.
        this.#soundOf.get(track)?.remove();
        this.#soundOf.delete(track);
        if (track.receiver) this.keys?.media.receives(track.receiver, null);
        changed();
      })
      .on(RoomEvent.ConnectionStateChanged, (state) => this.#stateChanged(state))
      .on(RoomEvent.Disconnected, (reason) => {
        this.#sound.remove();
        this.#unsend();
        keys?.path(false);
        keys?.media.unwatch();
        this.#ended = (reason !== undefined && CAUSES[reason]) || 'lost';
        this.#emit('disconnected', this.#ended);
      })
      .on(RoomEvent.DataReceived, (payload, _participant, _kind, topic) => {
        // Whom it is from says the keys, not the server.
        if (topic === TOPIC) keys?.packet(payload);
      })
      .on(RoomEvent.AudioPlaybackStatusChanged, () => this.#emit('soundBlocked', !room.canPlaybackAudio))
      .on(RoomEvent.ActiveDeviceChanged, (kind, id) => {
        const known = DEVICE_KINDS[kind];
        if (known) this.#emit('deviceChanged', known, id);
      });
    if (keys) {
      this.#unsend = keys.onPacket((payload, to) => void this.#send(payload, to));
    } else {
      this.#plain = new PlainChat(room, (...said) => this.#emit('said', ...said));
    }
  }

  /** To be called once the room is connected: only then it has an engine, which it keeps from then on. */
  follow(): void {
    const away = () => {
      this.#returning = true;
      this.keys?.path(false);
    };
    // One turn later: then the attempt is over, and what is sent is sent.
    const back = () =>
      setTimeout(() => {
        this.#returning = false;
        this.#stateChanged(this.room.state);
      });
    this.room.engine
      .on('resuming', away)
      .on('restarting', away)
      .on('resumed', back)
      .on('restarted', back)
      .on('tokenRefreshed', (token) => this.keys?.renew(token));
    this.keys?.path(this.#connected);
  }

  get #connected(): boolean {
    return this.room.state === ConnectionState.Connected && !this.#returning;
  }

  get state(): RtcState {
    if (this.#ended) return { phase: 'ended', cause: this.#ended };
    return this.#connected ? { phase: 'connected' } : { phase: 'reconnecting', attempt: this.#attempt };
  }

  on<E extends keyof RtcEvents>(event: E, listener: RtcEvents[E]): Unsubscribe {
    const listeners = (this.#listeners[event] ??= new Set() as never) as Set<RtcEvents[E]>;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  #emit<E extends keyof RtcEvents>(event: E, ...args: Parameters<RtcEvents[E]>): void {
    const listeners = this.#listeners[event] as Set<(...args: Parameters<RtcEvents[E]>) => void> | undefined;
    for (const listener of [...(listeners ?? [])]) listener(...args);
  }

  /** Many events of the library come in bursts: one notice per turn of the event loop is enough. */
  #participantsChanged(): void {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      this.#takeTracks();
      this.#emit('participants');
    });
  }

  #stateChanged(state: ConnectionState): void {
    this.keys?.path(this.#connected);
    if (state === ConnectionState.Reconnecting || state === ConnectionState.SignalReconnecting) {
      this.#emit('reconnecting', this.#attempt);
    } else if (this.#connected) {
      this.#attempt = 1;
      this.#emit('reconnected');
      this.#participantsChanged();
    }
  }

  /** The others are told by name which of one's streams is which. */
  #ownTracksChanged(): void {
    const streams: Stream[] = [];
    for (const { trackSid, source } of this.room.localParticipant.trackPublications.values()) {
      const kind = kindOf(source);
      if (kind) streams.push({ track: trackSid, kind });
    }
    this.keys?.streams(streams);
    this.#participantsChanged();
  }

  /** What is lost is not missed for long: keys are asked for again. */
  async #send(payload: Uint8Array<ArrayBuffer>, to: string[]): Promise<void> {
    const { localParticipant: me } = this.room;
    const options = { reliable: true, topic: TOPIC, destinationIdentities: to };
    await me.publishData(payload, options).catch(() => undefined);
  }

  /**
   * What is subscribed is opened and heard. Events may be lost while the library reconnects, so they do not say what is
   * new.
   */
  #takeTracks(): void {
    for (const { identity, trackPublications } of this.room.remoteParticipants.values()) {
      for (const publication of trackPublications.values()) {
        const { track, source } = publication;
        if (!track || this.#taken.has(track) || this.#isForeign(publication)) continue;
        this.#taken.add(track);
        const kind = kindOf(source);
        // By the server's word, which is not believed: what that person did not seal as that stream does not open.
        if (track.receiver) this.keys?.media.receives(track.receiver, kind && { identity, kind });
        if (track.kind === Track.Kind.Audio) this.#hear(track, source, identity);
        else setTimeout(() => this.#restIfUnseen(track));
      }
    }
  }

  #hear(track: Track, source: Track.Source, identity: string): void {
    const element = track.attach();
    element.dataset.testid = 'remote-audio';
    element.dataset.identity = identity;
    element.dataset.source = source;
    this.#soundOf.set(track, element);
    this.#sound.append(element);
  }

  /**
   * Asks the server to send nothing of a picture that nobody looks at. The library asks so only for a picture that was
   * shown before, so it is shown to nobody for a moment.
   */
  #restIfUnseen(track: Track): void {
    if (track.attachedElements.length > 0) return;
    track.detach(track.attach(document.createElement('video')));
  }

  #handle(track: Track): VideoHandle {
    let handle = this.#handles.get(track);
    if (!handle) {
      handle = {
        attach: (element) => {
          track.attach(element);
          return () => track.detach(element);
        },
      };
      this.#handles.set(track, handle);
    }
    return handle;
  }

  /** Of LiveKit's own encryption, or of somebody with keys, where we have none: it would be noise. */
  #isForeign(publication: TrackPublication): boolean {
    return this.keys === null && publication.isEncrypted;
  }

  #track(publication: TrackPublication | undefined): RtcTrack | null {
    if (!publication) return null;
    const foreign = this.#isForeign(publication);
    const shown =
      publication.kind === Track.Kind.Video && !publication.isMuted && !foreign
        ? publication.track
        : undefined;
    return {
      foreign,
      muted: publication.isMuted,
      video: shown ? this.#handle(shown) : null,
      paused: shown?.streamState === Track.StreamState.Paused,
    };
  }

  #participant(participant: Participant): RtcParticipant {
    return {
      identity: participant.identity,
      isLocal: participant.isLocal,
      name: participant.name ?? '',
      metadata: participant.metadata ?? '',
      joinedAt: participant.joinedAt?.getTime() ?? 0,
      speaking: participant.isSpeaking,
      weak: WEAK.includes(participant.connectionQuality),
      microphone: this.#track(participant.getTrackPublication(Track.Source.Microphone)),
      camera: this.#track(participant.getTrackPublication(Track.Source.Camera)),
      screen: this.#track(participant.getTrackPublication(Track.Source.ScreenShare)),
    };
  }

  participants(): RtcParticipant[] {
    const others = [...this.room.remoteParticipants.values()].map((other) => this.#participant(other));
    others.sort((a, b) => a.joinedAt - b.joinedAt);
    return [this.#participant(this.room.localParticipant), ...others];
  }

  async publish(captured: CapturedTrack): Promise<void> {
    if (!(captured instanceof BrowserTrack)) throw new TypeError('not a track of this browser');
    captured.release();
    const { track } = captured;
    const deviceId = captured.deviceId === '' ? {} : { deviceId: captured.deviceId };
    // `false`: the library owns the device from here on, so muting the camera switches its light off.
    if (track.kind === 'audio') {
      const local = new LocalAudioTrack(track, { ...AUDIO_CONSTRAINTS, ...deviceId }, false);
      await this.#publish(local, SOURCES.microphone);
    } else {
      const local = new LocalVideoTrack(track, { ...VIDEO_CONSTRAINTS, ...deviceId }, false);
      await this.#publish(local, SOURCES.camera);
    }
  }

  #publish(track: LocalTrack, source: Track.Source): Promise<void> {
    return publishOrStop(
      track,
      () =>
        this.room.localParticipant.publishTrack(track, { source, ...SPEECH, ...(this.keys ? SEALED : {}) }),
      () => this.#ended !== null,
    );
  }

  setMicrophone(on: boolean, deviceId: string | null): Promise<void> {
    return this.#setInput('microphone', on, deviceId);
  }

  setCamera(on: boolean, deviceId: string | null): Promise<void> {
    return this.#setInput('camera', on, deviceId);
  }

  async #setInput(kind: Input, on: boolean, deviceId: string | null): Promise<void> {
    const { state, localParticipant: me } = this.room;
    const options = deviceId ? { deviceId } : undefined;
    // While the connection is away, what is published moves to the next one: the library then knows better.
    if (on && state === ConnectionState.Connected && !me.getTrackPublication(SOURCES[kind])) {
      // In two steps, so that a device that opens after the end of the meeting is closed at once.
      const wanted = options ?? true;
      const opening = me.createTracks(kind === 'microphone' ? { audio: wanted } : { video: wanted });
      const [track] = await ofDevice(kind, opening);
      if (!track) throw new DeviceError(kind, 'missing');
      await this.#publish(track, SOURCES[kind]);
    } else if (kind === 'microphone') {
      await ofDevice(kind, me.setMicrophoneEnabled(on, options, SPEECH));
    } else {
      await ofDevice(kind, me.setCameraEnabled(on, options));
    }
  }

  async setScreen(on: boolean): Promise<void> {
    try {
      await this.room.localParticipant.setScreenShareEnabled(on, {
        audio: true,
        contentHint: 'detail',
        selfBrowserSurface: 'exclude',
        surfaceSwitching: 'include',
        systemAudio: 'include',
      });
    } catch (error) {
      const problem = problemOf(error);
      // The browser gives the same error for "refused" and for closing its dialog; the latter is the usual case.
      throw new DeviceError('screen', problem === 'denied' ? 'cancelled' : problem);
    }
  }

  async switchDevice(kind: DeviceKind, id: string): Promise<void> {
    try {
      await this.room.switchActiveDevice(LIVEKIT_KINDS[kind], id);
    } catch (error) {
      throw new DeviceError(kind, problemOf(error));
    }
  }

  async unblockSound(): Promise<void> {
    await this.room.startAudio();
  }

  async say(text: string): Promise<void> {
    if (!this.#plain) throw new TypeError('what is said in this meeting is sealed');
    await this.#plain.say(text);
  }

  setMetadata(metadata: string): Promise<void> {
    return this.room.localParticipant.setMetadata(metadata);
  }

  async leave(): Promise<void> {
    try {
      await this.room.disconnect(true);
    } finally {
      this.#unsend();
      this.keys?.media.unwatch();
      this.#sound.remove();
      for (const { track } of this.room.localParticipant.trackPublications.values()) track?.stop();
    }
  }
}

export async function connect(
  url: string,
  token: string,
  { speaker, keys }: ConnectOptions,
): Promise<RtcConnection> {
  const policy = new QuickReconnectPolicy();
  const room = new Room({
    // Only what is shown is sent, at the size at which it is shown, in pixels of the screen. The library tells the
    // server by `UpdateTrackSettings`: `width` and `height` 100 ms after a video element was attached or changed its
    // size (the layout's, not a transform's), `disabled` when the last element is taken away or out of sight, and for
    // all of them while the page is in the background.
    adaptiveStream: { pixelDensity: 'screen' },
    dynacast: true,
    singlePeerConnection: true,
    reconnectPolicy: policy,
    audioCaptureDefaults: AUDIO_CONSTRAINTS,
    audioOutput: speaker ? { deviceId: speaker } : undefined,
    publishDefaults: { videoCodec: 'vp8', simulcast: true, ...(keys ? SEALED : {}) },
    encryption: keys ? { e2eeManager: new RoomEncryption(keys.media) } : undefined,
  });
  const connection = new LiveKitConnection(room, policy, keys);
  try {
    // Before connecting: from then on the library makes senders and receivers.
    if (keys) {
      keys.media.watch();
      await room.setE2EEEnabled(true);
    }
    await room.connect(url, token);
  } catch (error) {
    await connection.leave();
    throw connectProblem(error);
  }
  connection.follow();
  return connection;
}
