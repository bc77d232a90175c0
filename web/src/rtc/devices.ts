/** Microphones, cameras and speakers before a meeting, over the browser's own API. */

import {
  DeviceError,
  type CapturedTrack,
  type Device,
  type DeviceKind,
  type DeviceProblem,
  type Devices,
  type Unsubscribe,
} from './types';

const KINDS: Partial<Record<MediaDeviceKind, DeviceKind>> = {
  audioinput: 'microphone',
  videoinput: 'camera',
  audiooutput: 'speaker',
};

export const AUDIO_CONSTRAINTS = {
  autoGainControl: true,
  echoCancellation: true,
  noiseSuppression: true,
} satisfies MediaTrackConstraints;

export const VIDEO_CONSTRAINTS: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30, max: 30 },
};

/** What an exception of getUserMedia or getDisplayMedia means for the person. */
export function problemOf(error: unknown): DeviceProblem {
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  switch (name) {
    case 'NotAllowedError':
    case 'PermissionDeniedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'DevicesNotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotSupportedError':
    case 'DeviceUnsupportedError':
    case 'TypeError':
      return 'unsupported';
    default:
      return 'busy';
  }
}

/** A captured track that the media library can take over. */
export class BrowserTrack implements CapturedTrack {
  readonly video;
  #context: AudioContext | null = null;
  #analyser: AnalyserNode | null = null;
  #samples = new Float32Array(512);

  constructor(readonly track: MediaStreamTrack) {
    this.video = track.kind === 'video' ? { attach: (el: HTMLVideoElement) => this.#attach(el) } : null;
  }

  get deviceId(): string {
    return this.track.getSettings().deviceId ?? '';
  }

  #attach(element: HTMLVideoElement): Unsubscribe {
    const stream = new MediaStream([this.track]);
    element.srcObject = stream;
    void element.play().catch(() => undefined);
    return () => {
      if (element.srcObject === stream) element.srcObject = null;
    };
  }

  level(): number {
    if (this.track.kind !== 'audio' || this.track.readyState !== 'live') return 0;
    if (!this.#analyser) {
      this.#context = new AudioContext();
      this.#analyser = this.#context.createAnalyser();
      this.#analyser.fftSize = this.#samples.length;
      this.#context.createMediaStreamSource(new MediaStream([this.track])).connect(this.#analyser);
    }
    // Until the first click the browser may hold the context; the meter then stays still.
    if (this.#context?.state === 'suspended') void this.#context.resume().catch(() => undefined);
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const decibel = 10 * Math.log10(sum / this.#samples.length + 1e-12);
    // Speech lies between about -55 dB (quiet) and -10 dB (loud).
    return Math.min(1, Math.max(0, (decibel + 55) / 45));
  }

  /** Frees the meter; the track itself goes on. */
  release(): void {
    void this.#context?.close().catch(() => undefined);
    this.#context = null;
    this.#analyser = null;
  }

  stop(): void {
    this.release();
    this.track.stop();
  }

  onEnded(listener: () => void): Unsubscribe {
    this.track.addEventListener('ended', listener);
    return () => this.track.removeEventListener('ended', listener);
  }
}

function withDevice(constraints: MediaTrackConstraints, id: string): MediaTrackConstraints {
  return id === '' ? constraints : { ...constraints, deviceId: { ideal: id } };
}

/** The result for one kind; asked for alone, so that the answer is about this device only. */
async function openOne(kind: 'microphone' | 'camera', id: string): Promise<BrowserTrack | DeviceError> {
  try {
    const stream = await navigator.mediaDevices.getUserMedia(
      kind === 'microphone'
        ? { audio: withDevice(AUDIO_CONSTRAINTS, id) }
        : { video: withDevice(VIDEO_CONSTRAINTS, id) },
    );
    const track = stream.getTracks()[0];
    return track ? new BrowserTrack(track) : new DeviceError(kind, 'missing');
  } catch (error) {
    return new DeviceError(kind, problemOf(error));
  }
}

/** Whether this device alone would be given without a question. */
async function isGranted(kind: 'microphone' | 'camera'): Promise<boolean> {
  try {
    const { state } = await navigator.permissions.query({ name: kind });
    return state === 'granted';
  } catch {
    // A browser that does not tell.
    return false;
  }
}

export function browserDevices(): Devices {
  const obstacle: Devices['obstacle'] = () => {
    if (!window.isSecureContext) return 'insecure';
    if (!navigator.mediaDevices?.getUserMedia || typeof RTCPeerConnection === 'undefined')
      return 'unsupported';
    return null;
  };
  return {
    obstacle,
    canShareScreen: () => typeof navigator.mediaDevices?.getDisplayMedia === 'function',
    canChooseSpeaker: () => 'setSinkId' in HTMLMediaElement.prototype,
    async list() {
      if (!navigator.mediaDevices?.enumerateDevices) return [];
      const found: Device[] = [];
      for (const device of await navigator.mediaDevices.enumerateDevices()) {
        const kind = KINDS[device.kind];
        // Before permission browsers list nameless entries without an id.
        if (kind && device.deviceId !== '') found.push({ id: device.deviceId, kind, label: device.label });
      }
      return found;
    },
    onChange(listener) {
      const devices = navigator.mediaDevices;
      devices?.addEventListener?.('devicechange', listener);
      return () => devices?.removeEventListener?.('devicechange', listener);
    },
    async open({ microphone, camera }) {
      const blocked = obstacle();
      if (blocked) {
        return {
          microphone: microphone === null ? undefined : new DeviceError('microphone', blocked),
          camera: camera === null ? undefined : new DeviceError('camera', blocked),
        };
      }
      if (microphone !== null && camera !== null) {
        try {
          const stream = await navigator.mediaDevices.getUserMedia({
            audio: withDevice(AUDIO_CONSTRAINTS, microphone),
            video: withDevice(VIDEO_CONSTRAINTS, camera),
          });
          const [audio] = stream.getAudioTracks();
          const [video] = stream.getVideoTracks();
          return {
            microphone: audio ? new BrowserTrack(audio) : new DeviceError('microphone', 'missing'),
            camera: video ? new BrowserTrack(video) : new DeviceError('camera', 'missing'),
          };
        } catch (error) {
          // Nobody is asked again after a no; what was granted before is opened by itself.
          if (problemOf(error) === 'denied') {
            const open = async (kind: 'microphone' | 'camera', id: string) =>
              (await isGranted(kind)) ? openOne(kind, id) : new DeviceError(kind, 'denied');
            return { microphone: await open('microphone', microphone), camera: await open('camera', camera) };
          }
          // One of them is the trouble: the two questions below find out which.
        }
      }
      return {
        microphone: microphone === null ? undefined : await openOne('microphone', microphone),
        camera: camera === null ? undefined : await openOne('camera', camera),
      };
    },
  };
}
