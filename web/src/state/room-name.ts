/** Names of rooms: what may be one, how they are compared, and where a room stands in an address. */

/** Longest room name, in characters. */
export const ROOM_NAME_MAX = 64;

const RESERVED = new Set(['api', 'rtc', 'twirp', 'go', 'about', 'embed', 'help', 'privacy']);

export type RoomNameProblem = 'empty' | 'too-long' | 'characters' | 'reserved';

export type RoomNameResult = { ok: true; room: string } | { ok: false; problem: RoomNameProblem };

/**
 * The normalised name, as the server keeps it: NFC, full case folding (Unicode §3.13), NFC. Browsers have no case
 * folding; lower, upper and lower case again, letter by letter, is the same for every letter but two kinds (compared one
 * by one): ı would become i, and Cherokee folds to upper case.
 */
export function normaliseRoom(name: string): string {
  let folded = '';
  for (const char of name.normalize('NFC')) {
    const upper = char.toLowerCase().toUpperCase();
    if (char === 'ı') folded += char;
    else folded += /\p{Script=Cherokee}/u.test(char) ? upper : upper.toLowerCase();
  }
  return folded.normalize('NFC');
}

/** Checks a name as a person typed it; blanks inside become hyphens. `room` keeps the typed case, for display. */
export function parseRoomName(typed: string): RoomNameResult {
  const room = typed.normalize('NFC').trim().replace(/\s+/gu, '-');
  if (room === '') return { ok: false, problem: 'empty' };
  if ([...room].length > ROOM_NAME_MAX) return { ok: false, problem: 'too-long' };
  if (room.startsWith('_') || room.startsWith('.') || RESERVED.has(normaliseRoom(room))) {
    return { ok: false, problem: 'reserved' };
  }
  if (!/^[\p{L}\p{M}\p{Nd}_-]+(~[0-9a-hjkmnp-tv-z]{20})?$/iu.test(room)) {
    return { ok: false, problem: 'characters' };
  }
  return { ok: true, room };
}

/** `/room` → the room's name as written there, `''` for the start page, `null` if it cannot be decoded. */
export function roomOfPath(path: string): string | null {
  try {
    return decodeURIComponent(path.replace(/^\/+/, '').replace(/\/+$/, ''));
  } catch {
    return null;
  }
}

/** The address of a room, without fragment. */
export function pathOfRoom(room: string): string {
  return `/${encodeURIComponent(room)}`;
}
