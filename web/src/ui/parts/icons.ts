/** One style of icons: 24×24, 1.75 px lines, round ends. Each is the list of its paths. */

interface Shape {
  d: string;
  /** Stroke width, where it differs. */
  width?: number;
  faint?: boolean;
}

const circle = (x: number, y: number, r: number) =>
  `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
const box = (x: number, y: number, w: number, h: number, r: number) =>
  `M${x + r} ${y}h${w - 2 * r}a${r} ${r} 0 0 1 ${r} ${r}v${h - 2 * r}a${r} ${r} 0 0 1 ${-r} ${r}h${2 * r - w}a${r} ${r} 0 0 1 ${-r} ${-r}v${2 * r - h}a${r} ${r} 0 0 1 ${r} ${-r}z`;

export const ICONS = {
  alert: [{ d: 'M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.01' }],
  calendar: [{ d: box(4, 5, 16, 15, 3) }, { d: 'M4 10h16M8.5 3v4M15.5 3v4' }],
  camera: [{ d: box(3, 6.5, 12.5, 11, 3) }, { d: 'M15.5 11l5.5-3v8l-5.5-3z' }],
  'camera-off': [
    {
      d: 'M8 6.5h4.5a3 3 0 0 1 3 3V11l5.5-3v8l-3-1.6M15 16.5a3 3 0 0 1-2.5 1H6a3 3 0 0 1-3-3v-5a3 3 0 0 1 2-2.8M4 4l16 16',
    },
  ],
  chat: [
    {
      d: 'M6.5 4h11A3.5 3.5 0 0 1 21 7.5v6a3.5 3.5 0 0 1-3.5 3.5H11l-4.5 3.5V17A3.5 3.5 0 0 1 3 13.5v-6A3.5 3.5 0 0 1 6.5 4z',
    },
  ],
  check: [{ d: 'M5 12.5l4.5 4.5L19 7.5' }],
  close: [{ d: 'M6 6l12 12M18 6 6 18' }],
  copy: [
    { d: box(8.5, 8.5, 12, 12, 3) },
    { d: 'M15.5 5.2a2.5 2.5 0 0 0-2.3-1.7H6A2.5 2.5 0 0 0 3.5 6v7.2c0 1 .7 2 1.7 2.3' },
  ],
  down: [{ d: 'M7 10l5 5 5-5' }],
  'full-screen': [
    {
      d: 'M4 9V6.5A2.5 2.5 0 0 1 6.5 4H9M15 4h2.5A2.5 2.5 0 0 1 20 6.5V9M20 15v2.5a2.5 2.5 0 0 1-2.5 2.5H15M9 20H6.5A2.5 2.5 0 0 1 4 17.5V15',
    },
  ],
  'full-screen-off': [
    {
      d: 'M9 4v2.5A2.5 2.5 0 0 1 6.5 9H4M20 9h-2.5A2.5 2.5 0 0 1 15 6.5V4M15 20v-2.5a2.5 2.5 0 0 1 2.5-2.5H20M4 15h2.5A2.5 2.5 0 0 1 9 17.5V20',
    },
  ],
  grid: [
    { d: box(4, 4, 6.5, 6.5, 2) },
    { d: box(13.5, 4, 6.5, 6.5, 2) },
    { d: box(4, 13.5, 6.5, 6.5, 2) },
    { d: box(13.5, 13.5, 6.5, 6.5, 2) },
  ],
  hide: [
    {
      d: 'M10 6.2a9 9 0 0 1 2-.2c4.2 0 7.4 2.4 9 6a12 12 0 0 1-2.2 3.3M6.5 7.6A11.5 11.5 0 0 0 3 12c1.6 3.6 4.8 6 9 6a9.6 9.6 0 0 0 4.6-1.2M4 4l16 16',
    },
    { d: 'M9.9 10a3 3 0 0 0 4.2 4.2' },
  ],
  keyboard: [{ d: box(2.5, 6, 19, 12, 3) }, { d: 'M6.5 10h.01M10 10h.01M14 10h.01M17.5 10h.01M8 14h8' }],
  leave: [{ d: 'M13.5 4h-6A2.5 2.5 0 0 0 5 6.5v11A2.5 2.5 0 0 0 7.5 20h6M11 12h10M17.5 8.5 21 12l-3.5 3.5' }],
  mail: [{ d: box(3, 5, 18, 14, 3) }, { d: 'M4 8l8 5.5L20 8' }],
  mic: [{ d: box(9, 3, 6, 11, 3) }, { d: 'M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3' }],
  'mic-off': [
    {
      d: 'M9 9.5V11a3 3 0 0 0 4.6 2.5M15 10.6V6a3 3 0 0 0-5.7-1.3M5.5 11.5A6.5 6.5 0 0 0 16 16.6M18.5 11.5c0 .9-.2 1.7-.5 2.5M12 18v3M4 4l16 16',
    },
  ],
  large: [{ d: box(3, 4, 18, 11, 2.5) }, { d: 'M4 19.5h4M10 19.5h4M16 19.5h4', width: 2.5 }],
  more: [{ d: 'M5.5 12h.01M12 12h.01M18.5 12h.01', width: 3 }],
  move: [
    {
      d: 'M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5',
    },
  ],
  next: [{ d: 'M10 7l5 5-5 5' }],
  'open-lock': [{ d: box(5, 10.5, 14, 10, 3) }, { d: 'M8 10.5v-3a4 4 0 0 1 7.6-1.7M12 13.5V16M12 18.4v.01' }],
  pause: [{ d: 'M9 6v12M15 6v12' }],
  people: [
    { d: circle(9, 8, 3.5) },
    {
      d: 'M2.8 19.5c.6-3.6 3-5.5 6.2-5.5s5.6 1.9 6.2 5.5M15.5 4.9a3.5 3.5 0 0 1 0 6.2M17.5 14.4c2 .8 3.3 2.5 3.7 5.1',
    },
  ],
  pin: [{ d: 'M9 4h6M10 4v6l-3.5 3.5v1.5h11v-1.5L14 10V4M12 15v6' }],
  previous: [{ d: 'M14 7l-5 5 5 5' }],
  refresh: [{ d: 'M20 11a8 8 0 0 0-14.3-4L4 9M4 4v5h5M4 13a8 8 0 0 0 14.3 4l1.7-2M20 20v-5h-5' }],
  search: [{ d: circle(10.5, 10.5, 6.5) }, { d: 'M15.5 15.5 21 21' }],
  send: [{ d: 'M12 19V5M6 11l6-6 6 6' }],
  share: [{ d: box(3, 4, 18, 13, 2.5) }, { d: 'M12 13.5V8M9.5 10 12 7.5l2.5 2.5M8.5 20.5h7' }],
  show: [
    { d: 'M3 12c1.6-3.6 4.8-6 9-6s7.4 2.4 9 6c-1.6 3.6-4.8 6-9 6s-7.4-2.4-9-6z' },
    { d: circle(12, 12, 3) },
  ],
  sliders: [{ d: 'M4 7h10M18 7h2M4 17h2M10 17h10' }, { d: circle(16, 7, 2) }, { d: circle(8, 17, 2) }],
  sound: [{ d: 'M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11' }],
  'sound-off': [{ d: 'M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM16 9.5l5 5M21 9.5l-5 5' }],
  up: [{ d: 'M7 14l5-5 5 5' }],
  weak: [{ d: 'M5 19v-3M10 19v-6.5' }, { d: 'M15 19V9M20 19V5', faint: true }],
} satisfies Record<string, Shape[]>;

export type IconName = keyof typeof ICONS;

export function shapesOf(name: IconName): Shape[] {
  return ICONS[name];
}
