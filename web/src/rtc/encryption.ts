/** Tells the media encryption which sender the library has made for which of one's streams. */

import { ParticipantEvent, Track, type BaseE2EEManager, type Room } from 'livekit-client';
import type { MediaEncryption } from '../e2ee/media/encryption';
import type { StreamKind } from '../e2ee/media/messages';

const KINDS: Partial<Record<Track.Source, StreamKind>> = {
  [Track.Source.Microphone]: 'microphone',
  [Track.Source.Camera]: 'camera',
  [Track.Source.ScreenShare]: 'screen',
  [Track.Source.ScreenShareAudio]: 'screen-sound',
};

/** Which of its sender's streams a track is; `null` for what is none of ours. */
export const kindOf = (source: Track.Source): StreamKind | null => KINDS[source] ?? null;

/**
 * Stands where the library has its own encryption. That there is one keeps the library from sending redundant sound and
 * backup codecs, and from taking transforms away from receivers. Data goes past it: messages are sealed above.
 */
export class RoomEncryption implements BaseE2EEManager {
  readonly isEnabled = true;

  constructor(readonly media: MediaEncryption) {}

  /** Asked for each message; the library sets it to true. */
  get isDataChannelEncryptionEnabled(): boolean {
    return false;
  }

  set isDataChannelEncryptionEnabled(_enabled: boolean) {
    // Data is sealed before it gets here.
  }

  setup(room: Room): void {
    room.localParticipant.on(ParticipantEvent.LocalSenderCreated, (sender, track) =>
      this.media.sends(sender, kindOf(track.source)),
    );
  }

  on(): this {
    // It has nothing to tell the library.
    return this;
  }

  setupEngine(): void {
    // Transforms are attached where connections are made, whichever engine makes them.
  }

  setParticipantCryptorEnabled(): void {
    // The server does not say what is encrypted.
  }

  setSifTrailer(): void {
    // Filler frames of a server do not open.
  }

  encryptData(): Promise<never> {
    return Promise.reject(new Error('data is sealed above the library'));
  }

  handleEncryptedData(): Promise<never> {
    return Promise.reject(new Error('data is opened above the library'));
  }
}
