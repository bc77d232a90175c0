/**
 * The pictures and sounds that fake devices play. Each person has a colour and a tone of their own, and each frame
 * carries its number as bars, so that a receiver can tell whose media arrived, whole, and in which order.
 */
import { existsSync, mkdirSync, openSync, closeSync, writeSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** RGB of what is drawn; the receiver names the nearest. */
export const COLOURS = {
  red: [200, 40, 40],
  green: [40, 180, 60],
  blue: [50, 70, 210],
  yellow: [220, 210, 50],
} as const;
export type Colour = keyof typeof COLOURS;

/** What one person shows and sounds like. `tone` in Hz. */
export interface Look {
  colour: Colour;
  tone: number;
}

/** Files for Chromium's fake devices. */
export interface MediaFiles {
  video: string;
  audio: string;
}

/** 12 counter bits between a white and a black marker and two check bars: 16 bars across the picture. */
const BARS = 16;
const COUNTER_BITS = 12;
export const FRAMES = 120;

// Raise it when the files' content changes: they are kept between runs.
const VERSION = 1;
const folder = join(tmpdir(), `konklave-e2e-media-${VERSION}`);

/** A 640×360 picture at 15 frames a second with counter and colour, and the person's tone. */
export function lookFiles({ colour, tone }: Look): MediaFiles {
  const video = cached(`${colour}.y4m`, (file) => {
    writeY4m(file, { width: 640, height: 360, rate: 15, frames: FRAMES }, (frame) => ({
      bars: counterBars(frame),
      rgb: COLOURS[colour],
    }));
  });
  // 400 ms on, 100 ms off: a steady tone is what noise suppression takes away.
  const audio = cached(`${tone}.wav`, (file) => {
    writeWav(file, 4, (seconds) => (seconds % 0.5 < 0.4 ? Math.sin(2 * Math.PI * tone * seconds) * 0.4 : 0));
  });
  return { video, audio };
}

/** 320×180 at 30 frames a second: at each full second a white flash of 166 ms and a beep of 1 kHz of 150 ms. */
export function flashAndBeep(): MediaFiles {
  const video = cached('flash.y4m', (file) => {
    writeY4m(file, { width: 320, height: 180, rate: 30, frames: 60 }, (frame) => ({
      bars: [],
      rgb: frame % 30 < 5 ? [235, 235, 235] : [16, 16, 16],
    }));
  });
  const audio = cached('beep.wav', (file) => {
    writeWav(file, 2, (seconds) => (seconds % 1 < 0.15 ? Math.sin(2 * Math.PI * 1000 * seconds) * 0.5 : 0));
  });
  return { video, audio };
}

function counterBars(frame: number): boolean[] {
  const bits = Array.from({ length: COUNTER_BITS }, (_, bit) => ((frame >> bit) & 1) === 1);
  const parity = bits.filter(Boolean).length % 2 === 1;
  return [true, false, ...bits, parity, !parity];
}

function cached(name: string, make: (file: string) => void): string {
  const file = join(folder, name);
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    const unfinished = `${file}.${process.pid}`;
    make(unfinished);
    renameSync(unfinished, file);
  }
  return file;
}

interface Format {
  width: number;
  height: number;
  rate: number;
  frames: number;
}

/** Bars across the upper third (none: the colour fills the picture), the colour below. */
interface Drawing {
  bars: readonly boolean[];
  rgb: readonly [number, number, number] | readonly number[];
}

function writeY4m(
  file: string,
  { width, height, rate, frames }: Format,
  draw: (frame: number) => Drawing,
): void {
  const fd = openSync(file, 'w');
  writeSync(fd, `YUV4MPEG2 W${width} H${height} F${rate}:1 Ip A1:1 C420jpeg\n`);
  for (let frame = 0; frame < frames; frame++) {
    const { bars, rgb } = draw(frame);
    const [y, u, v] = yuv(rgb);
    const luma = Buffer.alloc(width * height, y);
    const chroma = [Buffer.alloc((width * height) / 4, u), Buffer.alloc((width * height) / 4, v)];
    if (bars.length > 0) {
      const barred = Math.floor(height / 6) * 2;
      const row = Buffer.alloc(width);
      bars.forEach((white, bar) =>
        row.fill(white ? 235 : 16, (bar * width) / BARS, ((bar + 1) * width) / BARS),
      );
      for (let line = 0; line < barred; line++) row.copy(luma, line * width);
      for (const plane of chroma) plane.fill(128, 0, (barred / 2) * (width / 2));
    }
    writeSync(fd, Buffer.concat([Buffer.from('FRAME\n'), luma, ...chroma]));
  }
  closeSync(fd);
}

/** BT.601, limited range. */
function yuv([r = 0, g = 0, b = 0]: readonly number[]): [number, number, number] {
  return [
    Math.round(16 + 0.257 * r + 0.504 * g + 0.098 * b),
    Math.round(128 - 0.148 * r - 0.291 * g + 0.439 * b),
    Math.round(128 + 0.439 * r - 0.368 * g - 0.071 * b),
  ];
}

/** 48 kHz mono 16 bit; whole seconds and whole cycles, so that the loop has no click. */
function writeWav(file: string, seconds: number, sample: (seconds: number) => number): void {
  const rate = 48_000;
  const data = Buffer.alloc(rate * seconds * 2);
  for (let n = 0; n < rate * seconds; n++) data.writeInt16LE(Math.round(sample(n / rate) * 32_767), n * 2);
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + data.length, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(data.length, 40);
  writeFileSync(file, Buffer.concat([header, data]));
}
