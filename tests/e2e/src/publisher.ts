/**
 * Somebody who takes part with livekit-client itself instead of the web client, to use what that does not: other codecs, and
 * no encryption.
 */
import { createHmac } from 'node:crypto';
import { resolve } from 'node:path';
import type * as LiveKit from '../../../web/node_modules/livekit-client/dist/src/index.ts';
import type { Person } from './person.ts';
import type { ChromiumWindow } from './window.ts';

const library = resolve(
  import.meta.dirname,
  '../../../web/node_modules/livekit-client/dist/livekit-client.umd.js',
);

declare global {
  interface Window {
    LivekitClient: typeof LiveKit;
    /** Of somebody who looks on. */
    looking?: LiveKit.Room;
    /** Of somebody who takes part. */
    taking?: { meeting: LiveKit.Room; read: [string, string][] };
  }
}

/** What a camera is published with. */
export interface Codecs {
  first: 'vp9' | 'av1';
  backup: 'vp8' | 'h264';
  /** Whether both may be sent at a time, or everybody goes over to the backup. */
  policy: 'SIMULCAST' | 'PREFER_REGRESSION';
}

/** An access token of the development keys. */
function token(room: string, identity: string): string {
  const encode = (value: object | Buffer) =>
    Buffer.from(value instanceof Buffer ? value : JSON.stringify(value)).toString('base64url');
  const claims = {
    iss: 'devkey',
    sub: identity,
    name: identity,
    exp: Math.floor(Date.now() / 1000) + 3600,
    video: { room, roomJoin: true, canPublish: true, canSubscribe: true },
  };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${encode(createHmac('sha256', 'secret').update(signed).digest())}`;
}

/** Publishes the camera of somebody who is not in the meeting yet. */
export async function publishCamera(
  person: Person<ChromiumWindow>,
  origin: string,
  room: string,
  codecs: Codecs,
): Promise<void> {
  await person.window.page.addInitScript({ path: library });
  await person.window.open(`${origin}/`);
  await person.window.evaluate(
    async ({ url, token, codecs }) => {
      const { Room, Track, BackupCodecPolicy } = window.LivekitClient;
      const meeting = new Room({ singlePeerConnection: true, dynacast: true });
      await meeting.connect(url, token, { autoSubscribe: false });
      const stream = await navigator.mediaDevices.getUserMedia({ video: true });
      await meeting.localParticipant.publishTrack(stream.getVideoTracks()[0]!, {
        source: Track.Source.Camera,
        videoCodec: codecs.first,
        backupCodec: { codec: codecs.backup },
        backupCodecPolicy: BackupCodecPolicy[codecs.policy],
      });
    },
    { url: origin.replace(/^http/, 'ws'), token: token(room, person.name), codecs },
  );
}

/** Looks on: cameras become tiles that the instruments know. */
export async function lookOn(person: Person<ChromiumWindow>, origin: string, room: string): Promise<void> {
  await person.window.page.addInitScript({ path: library });
  await person.window.open(`${origin}/`);
  await person.window.evaluate(
    async ({ url, token }) => {
      const { Room, RoomEvent } = window.LivekitClient;
      const meeting = new Room({ singlePeerConnection: true, adaptiveStream: true, dynacast: true });
      meeting.on(RoomEvent.TrackSubscribed, (track, publication, { identity }) => {
        const tile = document.createElement('div');
        Object.assign(tile.dataset, { testid: 'tile', identity, source: publication.source });
        const video = track.attach();
        Object.assign(video, { width: 640, height: 360 });
        tile.append(video);
        document.body.prepend(tile);
        meeting.on(RoomEvent.ParticipantDisconnected, (gone) => {
          if (gone.identity === identity) tile.remove();
        });
      });
      await meeting.connect(url, token);
      window.looking = meeting;
    },
    { url: origin.replace(/^http/, 'ws'), token: token(room, person.name) },
  );
}

/** Ceases to look on. */
export function lookAway(person: Person): Promise<void> {
  return person.window.evaluate(() => window.looking?.disconnect(), undefined);
}

/** Which codecs a publisher encodes at the moment. */
export function encodes(person: Person<ChromiumWindow>): Promise<string[]> {
  return person.window.evaluate(async () => {
    const found: string[] = [];
    for (const connection of window.probe.connections) {
      const senders = connection.getSenders().filter(({ track }) => track?.kind === 'video');
      for (const sender of senders) {
        const report = await sender.getStats();
        const active = sender.getParameters().encodings.some((encoding) => encoding.active);
        report.forEach(({ type, codecId }: { type: string; codecId?: string }) => {
          const codec = report.get(codecId ?? '') as { mimeType: string } | undefined;
          if (active && type === 'outbound-rtp' && codec) found.push(codec.mimeType);
        });
      }
    }
    return [...new Set(found)].sort();
  }, undefined);
}

/** Takes part as a program of somebody's own would, with camera, microphone and chat; opens the room if it is not open. */
export async function takePart(person: Person<ChromiumWindow>, origin: string, room: string): Promise<void> {
  await person.window.page.addInitScript({ path: library });
  await person.window.open(`${origin}/`);
  await person.window.evaluate(
    async ({ url, token }) => {
      const { Room, RoomEvent } = window.LivekitClient;
      const meeting = new Room({ singlePeerConnection: true });
      const read: [string, string][] = [];
      meeting.registerTextStreamHandler('lk.chat', (reader, { identity }) => {
        const from = meeting.remoteParticipants.get(identity)?.name ?? identity;
        void reader.readAll().then((text) => read.push([from, text]));
      });
      meeting.on(RoomEvent.TrackSubscribed, (track, { source }, { identity, name }) => {
        const element = track.attach();
        if (track.kind === 'audio') {
          Object.assign(element.dataset, { testid: 'remote-audio', identity, source });
          document.body.append(element);
          return;
        }
        const tile = document.createElement('div');
        Object.assign(tile.dataset, { testid: 'tile', identity, name, source, local: 'false' });
        Object.assign(element, { width: 640, height: 360 });
        tile.append(element);
        document.body.prepend(tile);
      });
      await meeting.connect(url, token);
      await meeting.localParticipant.enableCameraAndMicrophone();
      window.taking = { meeting, read };
    },
    { url: origin.replace(/^http/, 'ws'), token: token(room, person.name) },
  );
}

/** Writes to everybody, by a text stream or by the message that was there before. */
export function write(person: Person, text: string, how: 'stream' | 'message'): Promise<void> {
  return person.window.evaluate(
    async ([text, how]) => {
      const me = window.taking!.meeting.localParticipant;
      await (how === 'stream' ? me.sendText(text, { topic: 'lk.chat' }) : me.sendChatMessage(text));
    },
    [text, how] as const,
  );
}

/** What somebody who takes part has read, and of whom. */
export function readBy(person: Person): Promise<[string, string][]> {
  return person.window.evaluate(() => window.taking!.read, undefined);
}

/** How many others are there. */
export function othersOf(person: Person): Promise<number> {
  return person.window.evaluate(() => window.taking!.meeting.remoteParticipants.size, undefined);
}
