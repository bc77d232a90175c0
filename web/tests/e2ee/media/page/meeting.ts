/** Takes part in a meeting on a server with sealed media, under keys that the test hands out. */

import type { Room } from 'livekit-client';
import { MediaEncryption } from '../../../../src/e2ee/media/encryption';
import type { MediaReport } from '../../../../src/e2ee/media/messages';
import type { ConnectionKeys } from '../../../../src/e2ee/types';
import { connect } from '../../../../src/rtc/livekit';
import type { RtcConnection, RtcTrack, Unsubscribe, VideoHandle } from '../../../../src/rtc/types';
import { post, type Told } from './told';

export interface Admission {
  url: string;
  token: string;
  /** One's own leaf, and everybody's by identity. */
  leaf: number;
  leaves: Record<string, number>;
}

export interface Meeting {
  join(admission: Admission): Promise<void>;
  publish(codec: 'vp8' | 'vp9' | 'av1' | 'h264'): Promise<void>;
  share(): Promise<void>;
  tell(...messages: Told[]): void;
  /** Of every stream, the last one. */
  reports(): MediaReport[];
  /** Streams of others that open, as `identity kind`. */
  open(): string[];
  leave(): Promise<void>;
}

declare global {
  interface Window {
    meeting: Meeting;
  }
}

const reports = new Map<number, MediaReport>();
const shown = new Map<string, { handle: VideoHandle; hide: Unsubscribe }>();
let media: MediaEncryption | null = null;
let connection: RtcConnection | null = null;

/** Nobody says anything here, and keys come from the test. */
const UNSAID: Omit<ConnectionKeys, 'media'> = {
  packet: () => undefined,
  onPacket: () => () => undefined,
  path: () => undefined,
  streams: () => undefined,
  renew: () => undefined,
};

function joined(): RtcConnection {
  if (!connection) throw new Error('not joined');
  return connection;
}

function show(id: string, track: RtcTrack | null | undefined): void {
  const before = shown.get(id);
  const handle = track?.video ?? null;
  if (before?.handle === handle) return;
  before?.hide();
  shown.delete(id);
  if (handle) shown.set(id, { handle, hide: handle.attach(document.getElementById(id) as HTMLVideoElement) });
}

window.meeting = {
  async join({ url, token, leaf, leaves }) {
    media = MediaEncryption.start();
    media.onReport((report) => {
      if (report.type !== 'broken') reports.set(report.id, report);
    });
    media.setLeaves(new Map(Object.entries(leaves)));
    media.keys.postMessage({ type: 'own', leaf });
    connection = await connect(url, token, { speaker: null, keys: { media, ...UNSAID } });
    const draw = () => {
      const other = joined()
        .participants()
        .find(({ isLocal }) => !isLocal);
      show('far', other?.camera);
      show('screen', other?.screen);
    };
    connection.on('participants', draw);
    draw();
  },
  async publish(codec) {
    // The product publishes VP8; the library can do others.
    const { room } = joined() as RtcConnection & { room: Room };
    Object.assign(room.options.publishDefaults ?? {}, { videoCodec: codec });
    await joined().setMicrophone(true, null);
    await joined().setCamera(true, null);
  },
  share: () => joined().setScreen(true),
  tell(...messages) {
    for (const message of messages) if (media) post(media.keys, message);
  },
  reports: () => [...reports.values()],
  open: () =>
    [...reports.values()].flatMap((report) => {
      const from =
        report.type === 'opened' && report.state === 'opening' ? media?.publisherOf(report.id) : null;
      return from ? [`${from.identity} ${from.kind}`] : [];
    }),
  async leave() {
    await joined().leave();
    media?.stop();
  },
};
