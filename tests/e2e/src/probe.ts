/**
 * What runs inside the page under test, installed before the page's own scripts. It only looks: at frames through a
 * canvas, at sound through an AnalyserNode, at `getStats`. It is one self-contained function, because it is sent to
 * the browser as text.
 */

/** What one frame shows. `counter` is null when the bars cannot be read as a frame of ours. */
export interface Picture {
  width: number;
  height: number;
  counter: number | null;
  rgb: [number, number, number];
}

/** Loudest frequency in Hz and its level in dB (full scale 0). */
export interface Tone {
  hz: number;
  db: number;
}

/** Picked from the `inbound-rtp` statistics of every connection of the page, summed over the tracks of a kind. */
export interface Received {
  framesDecoded: number;
  keyFramesDecoded: number;
  packetsReceived: number;
  packetsLost: number;
  nackCount: number;
  pliCount: number;
  retransmittedPacketsReceived: number;
  freezeCount: number;
}

/** When flashes and beeps began, in milliseconds of `performance.now()`. */
export interface Onsets {
  flashes: number[];
  beeps: number[];
}

export interface Probe {
  picture(video: string): Picture | null;
  tone(audio: string): Promise<Tone | null>;
  received(kind: 'audio' | 'video'): Promise<Received>;
  /** Video packets that have arrived, by the id of their track. */
  videoPackets(): Promise<Record<string, number>>;
  /** Messages that have come over data channels. */
  dataMessages(): Promise<number>;
  /** Difference of the estimated playout times of sound and picture in ms, as the browser's own lip sync sees it. */
  playoutSkew(): Promise<number | null>;
  /** Begins to note flashes and beeps under a name; sound null is one's own microphone. */
  watch(name: string, video: string, audio: string | null): Promise<void>;
  onsets(name: string): Onsets;
  /** Longest time in ms without a new frame since the last call for this picture, which begins to watch. */
  longestFreeze(video: string): number;
  violations: string[];
  connections: RTCPeerConnection[];
  captured: MediaStream[];
}

declare global {
  interface Window {
    probe: Probe;
  }
}

export function installProbe(): void {
  const connections: RTCPeerConnection[] = [];
  const captured: MediaStream[] = [];
  const violations: string[] = [];

  document.addEventListener('securitypolicyviolation', (event) => {
    violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
  });

  if (window.RTCPeerConnection) {
    window.RTCPeerConnection = class extends window.RTCPeerConnection {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        connections.push(this);
      }
    };
  }

  const devices = navigator.mediaDevices;
  if (devices) {
    for (const method of ['getUserMedia', 'getDisplayMedia'] as const) {
      const original = devices[method].bind(devices);
      devices[method] = async (constraints?: MediaStreamConstraints) => {
        const stream = await original(constraints);
        captured.push(stream);
        return stream;
      };
    }
  }

  const canvas = document.createElement('canvas');
  const pixels = (video: HTMLVideoElement, width: number, height: number) => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d', { willReadFrequently: true })!;
    context.drawImage(video, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  };

  const picture = (selector: string): Picture | null => {
    const video = document.querySelector<HTMLVideoElement>(selector);
    if (!video || video.readyState < 2 || video.videoWidth === 0) return null;
    const width = 320;
    const height = 180;
    const data = pixels(video, width, height);
    const at = (x: number, y: number) => {
      const sum = [0, 0, 0];
      for (let dx = -2; dx <= 2; dx++) {
        for (let dy = -2; dy <= 2; dy++) {
          for (let c = 0; c < 3; c++) sum[c]! += data[((y + dy) * width + x + dx) * 4 + c]!;
        }
      }
      return sum.map((value) => Math.round(value / 25)) as [number, number, number];
    };
    const bars = Array.from({ length: 16 }, (_, bar) => at(bar * 20 + 10, 30)[1] > 125);
    const bits = bars.slice(2, 14);
    const parity = bits.filter(Boolean).length % 2 === 1;
    const readable = bars[0] && !bars[1] && bars[14] === parity && bars[15] === !parity;
    return {
      width: video.videoWidth,
      height: video.videoHeight,
      counter: readable ? bits.reduce((sum, bit, index) => sum + (bit ? 1 << index : 0), 0) : null,
      rgb: at(160, 120),
    };
  };

  let audioContext: AudioContext | undefined;
  const analysers = new WeakMap<MediaStreamTrack, AnalyserNode>();
  const analyse = async (track: MediaStreamTrack) => {
    audioContext ??= new AudioContext();
    if (audioContext.state !== 'running') await audioContext.resume();
    let analyser = analysers.get(track);
    if (!analyser) {
      analyser = audioContext.createAnalyser();
      analyser.fftSize = 16_384;
      analyser.smoothingTimeConstant = 0;
      audioContext.createMediaStreamSource(new MediaStream([track])).connect(analyser);
      analysers.set(track, analyser);
    }
    return { analyser, context: audioContext };
  };

  const audioTrackOf = (selector: string) => {
    const element = document.querySelector<HTMLMediaElement>(selector);
    return element?.srcObject instanceof MediaStream ? element.srcObject.getAudioTracks()[0] : undefined;
  };

  const tone = async (selector: string): Promise<Tone | null> => {
    const track = audioTrackOf(selector);
    if (!track) return null;
    const { analyser, context } = await analyse(track);
    const spectrum = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(spectrum);
    let loudest = 0;
    spectrum.forEach((db, bin) => {
      if (db > spectrum[loudest]!) loudest = bin;
    });
    return { hz: Math.round((loudest * context.sampleRate) / analyser.fftSize), db: spectrum[loudest]! };
  };

  type Stat = Record<string, unknown> & { type: string; kind?: string };
  const stats = async (type: string) => {
    const found: Stat[] = [];
    for (const connection of connections) {
      if (connection.connectionState === 'closed') continue;
      const report = await connection.getStats();
      report.forEach((stat: Stat) => {
        if (stat.type === type) found.push(stat);
      });
    }
    return found;
  };
  const inbound = () => stats('inbound-rtp');

  const dataMessages = async () =>
    (await stats('data-channel')).reduce((sum, stat) => sum + Number(stat.messagesReceived ?? 0), 0);

  const received = async (kind: 'audio' | 'video'): Promise<Received> => {
    const total: Received = {
      framesDecoded: 0,
      keyFramesDecoded: 0,
      packetsReceived: 0,
      packetsLost: 0,
      nackCount: 0,
      pliCount: 0,
      retransmittedPacketsReceived: 0,
      freezeCount: 0,
    };
    for (const stat of await inbound()) {
      if (stat.kind !== kind) continue;
      for (const key of Object.keys(total) as (keyof Received)[]) total[key] += Number(stat[key] ?? 0);
    }
    return total;
  };

  const videoPackets = async () =>
    Object.fromEntries(
      (await inbound())
        .filter(({ kind }) => kind === 'video')
        .map((stat) => [String(stat.trackIdentifier), Number(stat.packetsReceived ?? 0)]),
    );

  const playoutSkew = async () => {
    const time = new Map<string, number>();
    for (const stat of await inbound()) {
      if (stat.kind && typeof stat.estimatedPlayoutTimestamp === 'number') {
        time.set(stat.kind, stat.estimatedPlayoutTimestamp);
      }
    }
    const audio = time.get('audio');
    const video = time.get('video');
    return audio !== undefined && video !== undefined ? audio - video : null;
  };

  const watched = new Map<string, Onsets>();

  const watch = async (name: string, videoSelector: string, audioSelector: string | null) => {
    const onsets: Onsets = { flashes: [], beeps: [] };
    watched.set(name, onsets);
    const video = document.querySelector<HTMLVideoElement>(videoSelector);
    const microphone = captured.findLast((stream) =>
      stream.getAudioTracks().some((t) => t.readyState === 'live'),
    );
    const track = audioSelector === null ? microphone?.getAudioTracks()[0] : audioTrackOf(audioSelector);
    if (!video || !track)
      throw new Error(`nothing to watch: ${videoSelector}, ${audioSelector ?? 'microphone'}`);

    let bright = true;
    const onFrame: VideoFrameRequestCallback = (_, metadata) => {
      const data = pixels(video, 16, 9);
      let sum = 0;
      for (let index = 1; index < data.length; index += 4) sum += data[index]!;
      const now = sum / (data.length / 4) > 100;
      if (now && !bright) onsets.flashes.push(metadata.expectedDisplayTime);
      bright = now;
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);

    // The analyser holds the last 341 ms; a beep's first loud sample after 100 ms of quiet is its onset. The offset
    // between the two clocks is the smallest of the last second: a late poll makes one larger, and a starved audio
    // thread lets its clock fall behind for good.
    const { analyser, context } = await analyse(track);
    const samples = new Float32Array(analyser.fftSize);
    const quiet = context.sampleRate / 10;
    const clocks: number[] = [];
    let last = -Infinity;
    setInterval(() => {
      const end = context.currentTime;
      clocks.push(performance.now() - end * 1000);
      if (clocks.length > 40) clocks.shift();
      const clock = Math.min(...clocks);
      analyser.getFloatTimeDomainData(samples);
      let silence = 0;
      for (let index = 0; index < samples.length; index++) {
        if (Math.abs(samples[index]!) < 0.05) {
          silence++;
          continue;
        }
        if (silence >= quiet) {
          const onset = end - (samples.length - index) / context.sampleRate;
          if (onset > last + 0.3) {
            last = onset;
            onsets.beeps.push(onset * 1000 + clock);
          }
        }
        silence = 0;
      }
    }, 25);
  };

  const freezes = new Map<string, { frames: number; since: number; longest: number }>();

  const longestFreeze = (selector: string): number => {
    const known = freezes.get(selector);
    const freeze = known ?? { frames: -1, since: performance.now(), longest: 0 };
    const { longest } = freeze;
    freeze.longest = 0;
    if (known) return longest;
    freezes.set(selector, freeze);
    // The element may be another one after a reconnection: it is looked for each time.
    setInterval(() => {
      const video = document.querySelector<HTMLVideoElement>(selector);
      const frames = video?.getVideoPlaybackQuality().totalVideoFrames ?? freeze.frames;
      const now = performance.now();
      freeze.longest = Math.max(freeze.longest, now - freeze.since);
      if (frames === freeze.frames) return;
      freeze.frames = frames;
      freeze.since = now;
    }, 50);
    return longest;
  };

  window.probe = {
    picture,
    tone,
    received,
    videoPackets,
    dataMessages,
    playoutSkew,
    watch,
    longestFreeze,
    onsets: (name) => watched.get(name) ?? { flashes: [], beeps: [] },
    violations,
    connections,
    captured,
  };
}
