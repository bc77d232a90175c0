/** What the media worker is told and tells. Keys come over a port of their own, which the page hands on unread. */

/** Which of its sender's streams a stream is; authenticated with every frame. */
export const KINDS = { microphone: 1, camera: 2, screen: 3, 'screen-sound': 4 } as const;
export type StreamKind = keyof typeof KINDS;

/** From whoever holds the keys. Anything else on that port is ignored. */
export type KeyMessage =
  /** Frames of this epoch can be opened from now on. The buffer is overwritten; transfer it. */
  | { type: 'keys'; epoch: number; base: ArrayBuffer }
  /** One's own leaf, for keys that are switched to from now on; frames are sealed for no other from then on. */
  | { type: 'own'; leaf: number }
  /** Frames are sealed with the key of this epoch, which has to be the last or newer; with `null` nothing is sent. */
  | { type: 'send'; epoch: number | null }
  /** No frame of this epoch is opened or sealed any more, and its key cannot come back. */
  | { type: 'erase'; epoch: number }
  /** A group that one comes into, perhaps anew: all that was is forgotten, its numbers may come again with other keys. */
  | { type: 'reset' };

/** From the page. */
export type PageMessage =
  /** Where keys come from; only the first one counts. */
  | { type: 'keys-from'; port: MessagePort }
  /** Nothing is sent before its kind is known. */
  | { type: 'sender'; id: number; kind: StreamKind | null }
  /** Nothing is shown before it is known whose it should be. */
  | { type: 'receiver'; id: number; kind: StreamKind | null; leaf: number | null }
  /** What the payload types of a connection stand for, for browsers whose frames do not say it themselves. */
  | { type: 'codecs'; connection: number; sent: PayloadTypes; received: PayloadTypes };

/** MIME types by payload type. */
export type PayloadTypes = Readonly<Record<number, string>>;

/** Why a frame was not opened. */
export type Refusal =
  /** No key of the frame's epoch. */
  | 'unknown-key'
  | 'not-authentic'
  | 'replayed'
  /** Sealed by another leaf than the stream is expected from, or nobody is expected. */
  | 'foreign'
  /** Newer frames have been shown for two seconds. */
  | 'late'
  /** Not long enough, or no header. */
  | 'malformed'
  /** Not dressed as sealed frames of its codec are, or of a codec that we do not seal. */
  | 'plain';

/** Why a frame was not sealed, and so not sent. */
export type Withheld =
  /** No key to seal with. */
  | 'no-key'
  /** The page has not said what this stream is. */
  | 'no-kind'
  /** A codec whose frames cannot be sealed, or not a frame of it. */
  | 'malformed'
  /** Sound that is none. */
  | 'silence';

export type Counts<Reason extends string> = Partial<Record<Reason, number>>;

/** To the page: at most once a second for each stream, and at once when a receiver's state changes. */
export type MediaReport =
  | { type: 'sealed'; id: number; sealed: number; withheld: Counts<Withheld> }
  | {
      type: 'opened';
      id: number;
      /** `failing` after some frames in a row that did not open. */
      state: 'waiting' | 'opening' | 'failing';
      opened: number;
      refused: Counts<Refusal>;
    }
  /** The worker does not run: nothing is sent and nothing shown. */
  | { type: 'broken' };

/** What a transform is made with. */
export interface TransformOptions {
  /** Of the stream, within the page. */
  id: number;
  connection: number;
  side: 'sender' | 'receiver';
}
