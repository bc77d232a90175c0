/** Ann sends camera and microphone to Ben. Both are in this page, each with a worker and keys of their own. */

import { MediaEncryption } from '../../../../src/e2ee/media/encryption';
import type { MediaReport } from '../../../../src/e2ee/media/messages';
import { post, type Told } from './told';

/** Ann's leaf. */
const LEAF = 3;

export interface Call {
  /** `video/VP8` and so on. */
  video: string;
  /** Ann has no transforms and sends in clear. */
  clear?: boolean;
}

export interface Loop {
  call(call: Call): Promise<void>;
  /** Hands a key to one of them. */
  tell(who: 'ann' | 'ben', message: Told): void;
  /** The last report of each kind of stream. */
  reports: Partial<Record<'camera' | 'microphone', MediaReport>>;
  sent: Partial<Record<'camera' | 'microphone', MediaReport>>;
  /** The codec in which pictures arrive. */
  codec(): Promise<string | null>;
}

declare global {
  interface Window {
    loop: Loop;
  }
}

const ends: Partial<Record<'ann' | 'ben', MediaEncryption>> = {};
let receiving: RTCPeerConnection | null = null;

function element<E extends HTMLMediaElement>(id: string): E {
  return document.getElementById(id) as E;
}

async function call({ video, clear }: Call): Promise<void> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
  element('own').srcObject = stream;

  const ann = clear ? null : MediaEncryption.start();
  ann?.watch();
  const from = new RTCPeerConnection();
  for (const track of stream.getTracks()) {
    const { sender } = from.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
    const kind = track.kind === 'video' ? 'camera' : 'microphone';
    ann?.sends(sender, kind);
    ann?.onReport((report) => {
      if (report.type !== 'broken' && report.id === ann.idOf(sender)) window.loop.sent[kind] = report;
    });
  }
  prefer(from, video);
  await from.setLocalDescription();
  ann?.unwatch();

  const ben = MediaEncryption.start();
  ben.watch();
  ben.setLeaves(new Map([['ann', LEAF]]));
  const to = new RTCPeerConnection();
  receiving = to;
  from.onicecandidate = ({ candidate }) => void (candidate && to.addIceCandidate(candidate));
  to.onicecandidate = ({ candidate }) => void (candidate && from.addIceCandidate(candidate));
  to.ontrack = ({ track, receiver }) => {
    const kind = track.kind === 'video' ? 'camera' : 'microphone';
    element(kind === 'camera' ? 'far' : 'sound').srcObject = new MediaStream([track]);
    ben.receives(receiver, { identity: 'ann', kind });
    ben.onReport((report) => {
      if (report.type !== 'broken' && report.id === ben.idOf(receiver)) window.loop.reports[kind] = report;
    });
  };
  if (from.localDescription) await to.setRemoteDescription(from.localDescription);
  await to.setLocalDescription();
  ben.unwatch();
  if (to.localDescription) await from.setRemoteDescription(to.localDescription);

  ends.ann = ann ?? undefined;
  ends.ben = ben;
  tell('ann', { type: 'own', leaf: LEAF });
}

function prefer(connection: RTCPeerConnection, video: string): void {
  const known = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
  const wanted = known.filter(({ mimeType }) => mimeType.toLowerCase() === video.toLowerCase());
  const others = known.filter(({ mimeType }) => mimeType.toLowerCase() !== video.toLowerCase());
  for (const transceiver of connection.getTransceivers()) {
    if (transceiver.sender.track?.kind !== 'video') continue;
    transceiver.setCodecPreferences([...wanted, ...others]);
    describeDependencies(transceiver);
  }
}

/** Chromium decodes no AV1 without the dependency descriptor, and offers that only when asked to. */
function describeDependencies(transceiver: RTCRtpTransceiver & Partial<Extensible>): void {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  for (const extension of extensions) {
    if (extension.uri.includes('dependency-descriptor')) extension.direction = 'sendrecv';
  }
  if (extensions.length > 0) transceiver.setHeaderExtensionsToNegotiate?.(extensions);
}

/** WebRTC Extensions §5.2; TypeScript does not know it. */
interface Extensible {
  getHeaderExtensionsToNegotiate(): { uri: string; direction: string }[];
  setHeaderExtensionsToNegotiate(extensions: { uri: string; direction: string }[]): void;
}

function tell(who: 'ann' | 'ben', message: Told): void {
  const end = ends[who];
  if (end) post(end.keys, message);
}

window.loop = {
  call,
  tell,
  reports: {},
  sent: {},
  async codec() {
    const report = await receiving?.getStats();
    let found: string | null = null;
    report?.forEach((entry: { type: string; kind?: string; codecId?: string }) => {
      if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') return;
      found = (report.get(entry.codecId ?? '') as { mimeType: string } | undefined)?.mimeType ?? null;
    });
    return found;
  },
};
