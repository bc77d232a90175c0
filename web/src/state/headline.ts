/** What the browser's tab says of a meeting: its title, and whether its icon carries a dot. */

import type { MeetingState } from './meeting';
import type { Message } from './messages';

export interface Headline {
  title: Message;
  /** Something waits for a look at the page. */
  dot: boolean;
}

export function headlineOf({
  room,
  chat: { unread },
  connection,
}: Pick<MeetingState, 'room' | 'chat' | 'connection'>): Headline {
  if (connection.phase === 'reconnecting') {
    return { title: { key: 'app.title-reconnecting', args: { room } }, dot: true };
  }
  if (unread > 0) return { title: { key: 'app.title-unread', args: { room, count: unread } }, dot: true };
  return { title: { key: 'app.title', args: { room } }, dot: false };
}
