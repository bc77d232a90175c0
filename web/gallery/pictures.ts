/** Still pictures as live video: drawn to a canvas whose stream an element shows through the interface of `rtc`. */

import type { VideoHandle } from '../src/rtc/types';
import timetable from './timetable.svg?url';

const files = import.meta.glob<string>('./people/*.svg', { query: '?url', import: 'default', eager: true });

const images = new Map<string, Promise<HTMLImageElement>>();

function load(url: string): Promise<HTMLImageElement> {
  const known = images.get(url);
  if (known) return known;
  const image = new Image();
  image.src = url;
  const loaded = image.decode().then(() => image);
  images.set(url, loaded);
  return loaded;
}

let plain = false;

/** From now on one flat grey for every picture: pictures of the page that are kept for comparing stay small. */
export function drawPlain(): void {
  plain = true;
}

function paint(canvas: HTMLCanvasElement, image: HTMLImageElement): void {
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
      void load(url).then((image) => {
        if (!attached) return;
        const canvas = document.createElement('canvas');
        canvas.width = width;
        canvas.height = Math.round((width * image.naturalHeight) / image.naturalWidth);
        stream = canvas.captureStream();
        element.srcObject = stream;
        // A stream has a frame for each time something was drawn: drawn again until the element has got one.
        const draw = () => {
          if (!attached) return;
          paint(canvas, image);
          if (element.readyState < element.HAVE_CURRENT_DATA) requestAnimationFrame(draw);
        };
        draw();
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
