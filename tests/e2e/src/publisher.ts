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
