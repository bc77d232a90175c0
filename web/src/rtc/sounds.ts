/** Short, soft sounds, made as they are needed: two tones up, two tones down, one high. */

import type { Chime, Sounds } from './types';

interface Tone {
  frequency: number;
  /** Seconds after the first. */
  at: number;
}

const TONES: Record<Chime, Tone[]> = {
  joined: [
    { frequency: 523.25, at: 0 },
    { frequency: 783.99, at: 0.1 },
  ],
  left: [
    { frequency: 659.25, at: 0 },
    { frequency: 440, at: 0.1 },
  ],
  message: [{ frequency: 987.77, at: 0 }],
};
const LOUDNESS = 0.06;
const ATTACK_S = 0.012;
const TONE_S = 0.32;
/** A sound that comes later than that would say something wrong. */
const LATE_MS = 500;

type Output = AudioContext & { setSinkId?: (id: string) => Promise<void> };

/** Whether the browser lets sound out now; before the first click it may hold it back. */
async function isAudible(output: Output): Promise<boolean> {
  if (output.state !== 'running') {
    const late = new Promise((resolve) => setTimeout(resolve, LATE_MS));
    await Promise.race([output.resume(), late]);
  }
  return output.state === 'running';
}

function play(output: Output, tones: Tone[]): Promise<void> {
  const start = output.currentTime + 0.02;
  const ends = tones.map(({ frequency, at }) => {
    const [tone, volume] = [output.createOscillator(), output.createGain()];
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0, start + at);
    volume.gain.linearRampToValueAtTime(LOUDNESS, start + at + ATTACK_S);
    volume.gain.exponentialRampToValueAtTime(0.0001, start + at + TONE_S);
    tone.connect(volume).connect(output.destination);
    tone.start(start + at);
    tone.stop(start + at + TONE_S);
    return new Promise<void>((resolve) => tone.addEventListener('ended', () => resolve(), { once: true }));
  });
  return Promise.all(ends).then(() => undefined);
}

async function sound(chime: Chime, speaker: string): Promise<void> {
  // One output for each sound: between them nothing keeps the sound card awake.
  const output: Output = new AudioContext();
  try {
    // A speaker that is gone: the system's is as good.
    if (speaker !== '') await output.setSinkId?.(speaker).catch(() => undefined);
    if (await isAudible(output)) await play(output, TONES[chime]);
  } finally {
    await output.close();
  }
}

export function browserSounds(): Sounds {
  return {
    play: (chime, speaker) => void sound(chime, speaker).catch(() => undefined),
  };
}
