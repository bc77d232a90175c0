/** Still pictures as live video: drawn to a canvas whose stream an element shows through the interface of `rtc`. */

import type { VideoHandle } from '../src/rtc/types';
import timetable from './timetable.svg?url';

const files = import.meta.glob<string>('./people/*.svg', { query: '?url', import: 'default', eager: true });

/** Drawn once per size: the blurred walls behind people take long, and a stream wants them again and again. */
const drawn = new Map<string, Promise<HTMLCanvasElement>>();

async function draw(url: string, width: number): Promise<HTMLCanvasElement> {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = Math.round((width * image.naturalHeight) / image.naturalWidth);
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function load(url: string, width: number): Promise<HTMLCanvasElement> {
  const key = `${url} ${width}`;
  const picture = drawn.get(key) ?? draw(url, width);
  drawn.set(key, picture);
  return picture;
}

let plain = false;

/** From now on one flat grey for every picture: pictures of the page that are kept for comparing stay small. */
export function drawPlain(): void {
  plain = true;
}

function paint(canvas: HTMLCanvasElement, image: HTMLCanvasElement): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  context.fillStyle = '#8a9a9b';
  if (plain) context.fillRect(0, 0, canvas.width, canvas.height);
  else context.drawImage(image, 0, 0, canvas.width, canvas.height);
}

function still(url: string, width: number): VideoHandle {
  return {
    attach(element) {
      let attached = true;
      let stream: MediaStream | null = null;
      void load(url, width).then((image) => {
        if (!attached) return;
        const canvas = document.createElement('canvas');
        canvas.width = width;
        canvas.height = image.height;
        stream = canvas.captureStream();
        element.srcObject = stream;
        // A stream has a frame for each time something was drawn: drawn again until the element has got one.
        const repeat = () => {
          if (!attached) return;
          paint(canvas, image);
          if (element.readyState < element.HAVE_CURRENT_DATA) requestAnimationFrame(repeat);
        };
        repeat();
      });
      return () => {
        attached = false;
        for (const track of stream?.getTracks() ?? []) track.stop();
        element.srcObject = null;
      };
    },
  };
}

/** Somebody in front of their camera. `width`: of the picture, in pixels. */
export function face(name: string, width = 1280): VideoHandle {
  const url = files[`./people/${name}.svg`];
  if (!url) throw new Error(`no picture of ${name}`);
  return still(url, width);
}

/** A document on somebody's screen. */
export function sharedScreen(): VideoHandle {
  return still(timetable, 1920);
}
