/**
 * What the worker uses of encoded transforms (W3C WebRTC Encoded Transform §5), which TypeScript's DOM library declares
 * for workers only.
 */

import type { PageMessage, TransformOptions } from './messages';

export type EncodedFrame = RTCEncodedAudioFrame | RTCEncodedVideoFrame;

export interface Transformer {
  readonly readable: ReadableStream<EncodedFrame>;
  readonly writable: WritableStream<EncodedFrame>;
  readonly options: TransformOptions;
  /** Not in every browser. */
  sendKeyFrameRequest?(): Promise<void>;
}

export interface MediaWorkerScope {
  onrtctransform: ((event: { transformer: Transformer }) => void) | null;
  onmessage: ((event: MessageEvent<PageMessage>) => void) | null;
  postMessage(message: unknown): void;
}

/** Pictures have a type, sound has none. */
export function isPicture(frame: EncodedFrame): frame is RTCEncodedVideoFrame {
  return 'type' in frame;
}
