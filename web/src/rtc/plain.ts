/**
 * Chat of a room that is not end-to-end encrypted, the way LiveKit's own clients do it. In meetings with keys nothing of
 * this is there: what comes that way is not looked at.
 */

import { RoomEvent, type Room } from 'livekit-client';

/** Under which LiveKit's clients write to each other. */
const TOPIC = 'lk.chat';
/** Whoever writes more is cut short. */
const MOST_CHARACTERS = 16_000;

async function read(chunks: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const chunk of chunks) {
    text += chunk;
    if (text.length > MOST_CHARACTERS) break;
  }
  return text.slice(0, MOST_CHARACTERS);
}

export class PlainChat {
  constructor(
    private readonly room: Room,
    heard: (from: string, id: string, text: string) => void,
  ) {
    room.registerTextStreamHandler(TOPIC, (reader, { identity }) => {
      // A stream that breaks off says nothing.
      read(reader).then(
        (text) => heard(identity, reader.info.id, text),
        () => undefined,
      );
    });
    // How they did it before there were text streams.
    room.on(RoomEvent.ChatMessage, ({ id, message }, from) => {
      if (from && !from.isLocal) heard(from.identity, id, message.slice(0, MOST_CHARACTERS));
    });
  }

  async say(text: string): Promise<void> {
    await this.room.localParticipant.sendText(text, { topic: TOPIC });
  }
}
