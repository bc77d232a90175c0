/** The meeting of the scenes: its people, and the way into it, which is the real one through pre-join. */

import { face } from './pictures';
import { fragmentOf } from '../src/crypto/link';
import type { RtcParticipant } from '../src/rtc/types';
import { AppModel } from '../src/state/app';
import type { MeetingModel } from '../src/state/meeting';
import type { PreJoinModel } from '../src/state/prejoin';
import { participant, until, type FakeConnection, type World } from '../scripted/world';

export const ROOM = 'Kollegium-7b';
export const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';
const ME = 'Anna Berger';
/** How long a meeting has lasted in most scenes. */
export const DURATION = (24 * 60 + 31) * 1000;

/** What somebody is doing: speaking is with the microphone on, quiet is on and silent. */
export type Voice = 'speaking' | 'quiet' | 'muted';

const NAMES: Record<string, string> = {
  deniz: 'Deniz Yılmaz',
  miriam: 'Miriam Vogt',
  thomas: 'Thomas Krüger',
  sophie: 'Sophie Reinhardt',
  karl: 'Karl Brandt',
  jonas: 'Jonas Huber',
  aylin: 'Aylin Demir',
  lukas: 'Lukas Steiner',
};

export interface Guest {
  name: string;
  voice?: Voice;
  /** Whose picture they show; none without. */
  picture?: string;
  /** Width of the picture in pixels. */
  width?: number;
  change?: Partial<RtcParticipant>;
}

export function known(key: string, voice: Voice = 'muted', change: Partial<Guest> = {}): Guest {
  return { name: NAMES[key] ?? key, voice, picture: key, ...change };
}

async function seat(world: World, { name, voice = 'muted', picture, width, change }: Guest, at: number) {
  const seen = {
    speaking: voice === 'speaking',
    microphone: { muted: voice === 'muted', video: null },
    camera: picture ? { muted: false, video: face(picture, width) } : null,
    ...change,
  };
  if (world.mode === 'clear') return participant(`guest-${at}`, { name, ...seen });
  return world.person(SECRET, ROOM.toLowerCase(), `guest-${at}`, name, seen);
}

export interface Meeting {
  app: AppModel;
  model: MeetingModel;
  connection: FakeConnection;
  world: World;
  /** Somebody writes; `guest` counts from 0. */
  write(guest: number, text: string): Promise<void>;
  /** Time passes, up to so many milliseconds after the start. */
  until(ms: number): void;
}

export function preJoin(world: World, fragment = fragmentOf(SECRET)): { app: AppModel; model: PreJoinModel } {
  world.pictures.camera = face('anna');
  world.visit(`/${ROOM}`, fragment);
  const app = new AppModel(world.ports);
  const screen = app.screen.get();
  if (screen.kind !== 'prejoin') throw new Error(`${screen.kind} instead of pre-join`);
  return { app, model: screen.model };
}

/** Before joining, with the devices open or refused. */
export async function readyToJoin(world: World, fragment?: string) {
  world.local.set('konklave.name', ME);
  const { app, model } = preJoin(world, fragment);
  await until(() => !model.view.get().asking && model.view.get().link.kind !== 'asking');
  return { app, model };
}

/** In the meeting with these guests, some time after the start. */
export async function meet(
  world: World,
  guests: Guest[],
  {
    voice = 'quiet',
    lasting = DURATION,
    then,
  }: { voice?: Voice; lasting?: number; then?: (meeting: Meeting) => Promise<void> } = {},
): Promise<AppModel> {
  world.present = await Promise.all(guests.map((guest, i) => seat(world, guest, i)));
  const { app, model: before } = await readyToJoin(world, world.mode === 'clear' ? '' : undefined);
  await (world.mode === 'clear' ? before.joinAnyway() : before.join());
  await until(() => app.screen.get().kind === 'meeting');
  const screen = app.screen.get();
  if (screen.kind !== 'meeting') throw new Error('nobody joined');
  const { model } = screen;
  const { connection } = world;
  const view = () => model.view.get();
  await until(() => view().camera.on);
  if (voice === 'muted') await model.devices.toggleMicrophone();
  if (voice === 'speaking') connection.local = { ...connection.local, speaking: true };
  connection.emit('participants');
  const start = view().startedAt;
  const meeting: Meeting = {
    app,
    model,
    connection,
    world,
    async write(guest, text) {
      const before = view().chat.messages.length;
      const [from, id] = [`guest-${guest}`, `message-${before}`];
      if (world.mode === 'clear') connection.emit('said', from, id, text);
      else world.keys.chat(from, id, text);
      await until(() => view().chat.messages.length > before);
    },
    until: (ms) => world.clock.pass(Math.max(0, start + ms - world.clock.now())),
  };
  await then?.(meeting);
  meeting.until(lasting);
  return app;
}
