/** Every screen and state of the product, each made by a script over scripted ports. */

import { ApiError } from '../src/api/errors';
import { ConnectError, DeviceError, type Device, type RtcTrack, type VideoHandle } from '../src/rtc/types';
import { AppModel } from '../src/state/app';
import type { World } from '../scripted/world';
import { key, press, type } from './acts';
import { HOSTILE_NAMES, HOSTILE_TEXTS } from './hostile';
import { DURATION, known, meet, preJoin, readyToJoin, type Guest, type Meeting, type Voice } from './meet';
import type { SceneName } from './names';
import { face, sharedScreen } from './pictures';

export interface Scene {
  make(world: World): AppModel | Promise<AppModel>;
  /** What a person does once the page is there. */
  act?(): Promise<void>;
}

export const DEVICES: Device[] = [
  { id: '', kind: 'microphone', label: 'Mikrofon-Array (Intern)' },
  { id: 'headset', kind: 'microphone', label: 'Headset Jabra Evolve2 65' },
  { id: '', kind: 'camera', label: 'Integrierte Kamera' },
  { id: 'usb', kind: 'camera', label: 'Logitech BRIO Ultra HD Webcam (046d:085e)' },
  { id: '', kind: 'speaker', label: 'Lautsprecher (Intern)' },
];

function withDevices(world: World): World {
  world.devices = DEVICES;
  return world;
}

const TWO = [known('deniz', 'speaking')];
const FOUR = [known('deniz', 'speaking'), known('miriam'), known('thomas', 'quiet')];
const SIX = [
  known('deniz', 'speaking'),
  known('miriam'),
  known('thomas'),
  known('sophie'),
  known('karl', 'muted', { picture: undefined }),
];
const NINE = [
  known('deniz'),
  known('sophie', 'speaking'),
  known('karl', 'muted', { picture: undefined }),
  ...['miriam', 'jonas', 'aylin', 'lukas', 'thomas'].map((name) => known(name)),
];

/** Half of them with a picture. */
const CROWD: Guest[] = Array.from({ length: 29 }, (_, i) => {
  const first = ['Clara', 'Emil', 'Ida', 'Mats', 'Nora', 'Oskar', 'Paula', 'Rafael', 'Selin', 'Tarek'][
    i % 10
  ];
  const last = ['Arslan', 'Bauer', 'Conrad'][Math.floor(i / 10)];
  const picture = ['deniz', 'miriam', 'thomas', 'sophie', 'jonas', 'aylin', 'lukas'][i % 7];
  return {
    name: `${first} ${last}`,
    voice: i === 3 ? 'speaking' : 'muted',
    picture: i % 2 ? picture : undefined,
    width: 480,
  };
});

async function chatOfReference({ model, write, until }: Meeting): Promise<void> {
  const at = (hour: number, minute: number) => until(((hour - 9) * 60 + minute - 55) * 60_000);
  at(10, 2);
  await write(1, 'Guten Morgen! Ich schicke gleich die Raumliste.');
  at(10, 5);
  model.openPanel('chat');
  model.setDraft('Danke, passt. Ist Physik am Donnerstag schon fest?');
  model.sendDraft();
  model.openPanel(null);
  at(10, 17);
  await write(2, 'Ja, Raum 214 ist frei.');
  await write(2, 'Musik am Freitag müssten wir noch tauschen: https://stundenplan.example/7b');
  at(10, 18);
  await write(3, 'Können wir danach kurz über die Klassenfahrt sprechen?');
}

/** Deniz shows the timetable. */
async function share(
  world: World,
  guests: Guest[],
  then?: (meeting: Meeting) => Promise<void>,
  voice?: Voice,
) {
  const [first, ...rest] = guests;
  if (!first) throw new Error('nobody to share');
  const sharing = { ...first, change: { screen: { muted: false, video: sharedScreen() } } };
  return meet(world, [sharing, ...rest], { then, voice });
}

/** Two compared the numbers; the third came after that. */
function compared(world: World): void {
  world.see('guest-0', { compared: true, verified: true });
  world.see('guest-2', { compared: true });
  world.keys.update({ compared: true });
}

/** Another program opened the room. */
function opened(world: World): World {
  return Object.assign(world, { mode: 'clear', running: true });
}

/** A picture that the server does not send on. */
const paused = (video: VideoHandle): RtcTrack => ({ muted: false, video, paused: true });

/** The server answers a join with this; asking whether the room runs is fine. */
function refuse(world: World, error: ApiError): void {
  world.refuse = (request) => (request.identity ? error : null);
}

async function refusedJoin(world: World) {
  const { app, model } = await readyToJoin(withDevices(world));
  await model.join();
  return app;
}

export const SCENES: Record<SceneName, Scene> = {
  start: { make: (world) => new AppModel(world.ports) },
  'start-typo': {
    make: (world) => new AppModel(world.ports),
    async act() {
      await type('start-link', 'kollegium-7b');
      await type('start-code', 'K7F3Q 9XM2B 8DW5T Z6C4N A');
      await press('start-join');
    },
  },
  'start-elsewhere': {
    make: (world) => new AppModel(world.ports),
    async act() {
      await type('start-link', 'https://meet.school.example/kollegium-7b');
      await press('start-join');
    },
  },

  prejoin: { make: async (world) => (await readyToJoin(withDevices(world))).app },
  'prejoin-off': {
    async make(world) {
      const { app, model } = await readyToJoin(withDevices(world));
      await model.toggle('camera');
      await model.toggle('microphone');
      return app;
    },
  },
  'prejoin-asking': {
    make(world) {
      world.ports.devices.open = () => new Promise(() => undefined);
      return preJoin(world).app;
    },
  },
  'prejoin-denied': {
    async make(world) {
      world.deviceErrors = {
        microphone: new DeviceError('microphone', 'denied'),
        camera: new DeviceError('camera', 'denied'),
      };
      return (await readyToJoin(world)).app;
    },
  },
  'prejoin-busy': {
    async make(world) {
      world.deviceErrors = { camera: new DeviceError('camera', 'busy') };
      return (await readyToJoin(withDevices(world))).app;
    },
  },
  'prejoin-no-encryption': {
    async make(world) {
      world.keysObstacle = 'unsupported';
      return (await readyToJoin(withDevices(world))).app;
    },
  },
  'prejoin-insecure': {
    async make(world) {
      world.obstacle = 'insecure';
      const error = (kind: 'microphone' | 'camera') => new DeviceError(kind, 'insecure');
      world.deviceErrors = { microphone: error('microphone'), camera: error('camera') };
      return (await readyToJoin(world)).app;
    },
  },
  'prejoin-unsupported': {
    async make(world) {
      world.obstacle = 'unsupported';
      const error = (kind: 'microphone' | 'camera') => new DeviceError(kind, 'unsupported');
      world.deviceErrors = { microphone: error('microphone'), camera: error('camera') };
      return (await readyToJoin(world)).app;
    },
  },
  'prejoin-code': {
    async make(world) {
      world.running = true;
      const { app, model } = await readyToJoin(withDevices(world), '');
      model.setCode('K7F3Q 9XM2B 8DW5T Z6C4N A');
      await model.join();
      return app;
    },
  },
  'prejoin-broken-link': {
    make: async (world) => (await readyToJoin(withDevices(world), '#1K7F3Q9XM2B8DW5TZ6C4NA')).app,
  },
  'prejoin-clear': {
    make: async (world) => (await readyToJoin(opened(withDevices(world)), '')).app,
  },
  'prejoin-full': {
    make(world) {
      refuse(world, new ApiError('room-limit', 409));
      return refusedJoin(world);
    },
  },
  'prejoin-no-media': {
    make(world) {
      world.connectError = new ConnectError('no-media-path');
      return refusedJoin(world);
    },
  },
  'no-room': {
    make(world) {
      world.visit('/not.a.room');
      return new AppModel(world.ports);
    },
  },

  alone: { make: (world) => meet(withDevices(world), [], { lasting: 42_000 }) },
  'alone-copied': {
    make: (world) =>
      meet(withDevices(world), [], {
        async then({ model, until }) {
          until(DURATION);
          await model.copyInvitation();
        },
      }),
  },
  'meeting-2': { make: (world) => meet(withDevices(world), TWO, { voice: 'muted' }) },
  'meeting-2-upright': {
    make: (world) =>
      meet(withDevices(world), [known('deniz', 'speaking', { picture: 'deniz-upright', width: 740 })]),
  },
  'meeting-4': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ write }) {
          await write(1, 'Guten Morgen! Ich schicke gleich die Raumliste.');
          await write(2, 'Ja, Raum 214 ist frei.');
        },
      }),
  },
  'meeting-5': {
    make: (world) =>
      meet(
        withDevices(world),
        [
          known('sophie', 'speaking'),
          known('miriam'),
          known('thomas'),
          known('karl', 'muted', { picture: undefined }),
        ],
        { voice: 'muted' },
      ),
  },
  'meeting-9': { make: (world) => meet(withDevices(world), NINE, { voice: 'muted' }) },
  'meeting-30': { make: (world) => meet(withDevices(world), CROWD, { voice: 'muted' }) },
  'meeting-30-page-2': {
    make: (world) => meet(withDevices(world), CROWD, { voice: 'muted' }),
    act: () => press('page-next'),
  },
  'devices-off': {
    make: (world) =>
      meet(withDevices(world), TWO, {
        voice: 'muted',
        then: ({ model }) => model.devices.toggleCamera(),
      }),
  },
  'names-hostile': {
    make: (world) =>
      meet(
        withDevices(world),
        HOSTILE_NAMES.map((name) => ({ name })),
        { then: async ({ model }) => model.openPanel('people') },
      ),
  },
  keyless: {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model, connection }) {
          const [first, ...rest] = connection.others;
          const stranger = { identity: 'from-elsewhere', isLocal: false, metadata: '', joinedAt: 0 };
          if (first) connection.now(first, ...rest, { ...first, ...stranger, camera: null, speaking: false });
          model.openPanel('people');
        },
      }),
  },

  pinned: {
    make: (world) =>
      meet(withDevices(world), SIX, {
        then: async ({ model }) => model.stage.togglePin({ identity: 'guest-1', source: 'camera' }),
      }),
  },
  'large-speaker': { make: (world) => meet(withDevices(world), NINE), act: () => key('l') },
  'own-hidden': {
    make: (world) =>
      meet(withDevices(world), TWO, { then: async ({ model }) => model.stage.setOwnHidden(true) }),
  },

  share: { make: (world) => share(withDevices(world), SIX, chatOfReference) },
  'share-own': {
    make: (world) => {
      world.pictures.screen = sharedScreen();
      return meet(withDevices(world), FOUR, { then: ({ model }) => model.devices.toggleShare() });
    },
  },
  'share-many': { make: (world) => share(withDevices(world), CROWD) },
  'share-chat': {
    make: (world) =>
      share(
        withDevices(world),
        SIX,
        async (meeting) => {
          await chatOfReference(meeting);
          meeting.model.openPanel('chat');
        },
        'muted',
      ),
  },

  people: {
    make: (world) =>
      meet(withDevices(world), SIX, {
        async then({ model, until }) {
          compared(world);
          until(DURATION - 6000);
          world.see('guest-4', { silent_since: world.clock.now() - 34_000 });
          model.openPanel('people');
        },
      }),
  },
  'people-search': {
    make: (world) => meet(withDevices(world), NINE, { then: async ({ model }) => model.openPanel('people') }),
    act: () => type('people-search', 'mi'),
  },
  'chat-empty': {
    make: (world) => meet(withDevices(world), FOUR, { then: async ({ model }) => model.openPanel('chat') }),
  },
  chat: {
    make: (world) =>
      meet(withDevices(world), SIX, {
        async then(meeting) {
          await chatOfReference(meeting);
          meeting.model.openPanel('chat');
        },
      }),
  },
  'chat-hostile': {
    make: (world) =>
      meet(
        withDevices(world),
        HOSTILE_NAMES.slice(0, 4).map((name) => ({ name })),
        {
          async then({ model, write, until }) {
            model.openPanel('chat');
            for (const [i, text] of HOSTILE_TEXTS.entries()) {
              until((i + 1) * 70_000);
              await write(i % 4, text);
            }
          },
        },
      ),
  },
  'chat-too-long': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model }) {
          model.openPanel('chat');
          model.setDraft('Protokoll der Sitzung. '.repeat(200));
        },
      }),
  },
  encryption: {
    make: (world) =>
      meet(withDevices(world), FOUR, { then: async ({ model }) => model.openPanel('encryption') }),
  },

  'encryption-compare': {
    make: (world) =>
      meet(withDevices(world), FOUR, { then: async ({ model }) => model.openPanel('encryption') }),
    act: () => press('compare'),
  },
  'encryption-verified': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model }) {
          compared(world);
          model.openPanel('encryption');
        },
      }),
  },
  'encryption-unconfirmed': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model, until }) {
          until(DURATION - 6000);
          world.see('guest-1', { silent_since: world.clock.now() - 34_000 });
          model.openPanel('encryption');
        },
      }),
  },
  'encryption-differs': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model }) {
          model.compared(model.lock().comparable?.epoch ?? 0, false);
          model.openPanel('encryption');
        },
      }),
  },
  'encryption-unreadable': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model, until }) {
          world.keys.emit({ type: 'stream', id: 1, identity: 'guest-1', opens: false });
          until(DURATION);
          model.openPanel('encryption');
        },
      }),
  },
  'encryption-restoring': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model }) {
          world.keys.become({ type: 'restoring' });
          model.openPanel('encryption');
        },
      }),
  },
  'encryption-late': {
    make(world) {
      world.keysState = { type: 'connecting' };
      return meet(withDevices(world), FOUR, { then: async ({ model }) => model.openPanel('encryption') });
    },
  },
  'encryption-unheard': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model, until }) {
          world.keys.become({ type: 'member', confirmed: false });
          until(DURATION + 20_000);
          model.openPanel('encryption');
        },
      }),
  },
  'encryption-keys': {
    make(world) {
      world.keysState = { type: 'connecting' };
      return meet(withDevices(world), FOUR, {
        lasting: 1000,
        then: async ({ model }) => model.openPanel('encryption'),
      });
    },
  },

  'encryption-off': {
    make: (world) =>
      meet(opened(withDevices(world)), FOUR, { then: async ({ model }) => model.openPanel('encryption') }),
  },
  clear: {
    make: (world) =>
      meet(opened(withDevices(world)), [
        known('deniz', 'speaking'),
        known('miriam'),
        // LiveKit's own encryption, by a passphrase that only that program knows.
        known('thomas', 'muted', { change: { camera: { muted: false, video: null, foreign: true } } }),
      ]),
  },

  more: { make: (world) => meet(withDevices(world), FOUR), act: () => press('toggle-more') },
  'devices-menu': {
    make: (world) => meet(withDevices(world), FOUR),
    // On a phone the devices stand under "More".
    act: () => press(innerWidth > 720 && innerHeight > 480 ? 'devices-mic' : 'toggle-more'),
  },
  shortcuts: { make: (world) => meet(withDevices(world), FOUR), act: () => key('?') },

  toast: {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model, until }) {
          until(DURATION);
          await model.copyInvitation();
        },
      }),
  },
  'toast-warn': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        async then({ model, connection, until }) {
          until(DURATION);
          connection.failWith = new DeviceError('camera', 'busy');
          await model.devices.toggleCamera();
        },
      }),
  },
  'copy-refused': {
    make(world) {
      world.clipboardAllowed = false;
      return meet(withDevices(world), FOUR, {
        async then({ model, until }) {
          until(DURATION);
          await model.copyInvitation();
        },
      });
    },
  },
  'sound-blocked': {
    make: (world) =>
      meet(withDevices(world), FOUR, {
        then: async ({ connection }) => connection.emit('soundBlocked', true),
      }),
  },
  weak: {
    make: (world) =>
      share(
        withDevices(world),
        [
          known('deniz', 'speaking'),
          known('miriam', 'muted', { change: { weak: true } }),
          known('thomas', 'muted', { change: { camera: paused(face('thomas')) } }),
          known('karl', 'muted', { change: { camera: paused(face('karl')), weak: true } }),
        ],
        async ({ connection, until }) => {
          const [first, ...rest] = connection.others;
          if (first) connection.others = [{ ...first, screen: paused(sharedScreen()) }, ...rest];
          until(DURATION - 6000);
          connection.local = { ...connection.local, weak: true };
          connection.emit('participants');
        },
      ),
  },
  reconnecting: {
    make: (world) =>
      meet(withDevices(world), [known('deniz', 'quiet'), known('miriam'), known('thomas', 'quiet')], {
        async then({ connection, until }) {
          until(DURATION - 6000);
          connection.state = { phase: 'reconnecting', attempt: 3 };
          connection.emit('reconnecting', 3);
        },
      }),
  },

  left: {
    async make(world) {
      const app = await meet(withDevices(world), FOUR);
      const screen = app.screen.get();
      if (screen.kind === 'meeting') await screen.model.leave();
      return app;
    },
  },
  lost: {
    async make(world) {
      const app = await meet(withDevices(world), FOUR);
      world.connection.end('lost');
      return app;
    },
  },
};
