/** Names of rooms: what may be one, how they are compared, and where a room stands in an address. */

/** Longest room name, in characters. */
export const ROOM_NAME_MAX = 64;

const RESERVED = new Set(['api', 'rtc', 'twirp', 'go', 'about', 'embed', 'help', 'privacy']);

export type RoomNameProblem = 'empty' | 'too-long' | 'characters' | 'reserved';

export type RoomNameResult = { ok: true; room: string } | { ok: false; problem: RoomNameProblem };

/**
 * The normalised name: NFC, case folded. Upper-casing first folds letters such as ß and ſ as Unicode's full case
 * folding does; the dotless ı keeps its own identity there, so it is left alone, and a final ς becomes σ.
 */
export function normaliseRoom(name: string): string {
  let folded = '';
  for (const char of name.normalize('NFC')) {
    folded += char === 'ı' ? char : char.toUpperCase().toLowerCase();
  }
  return folded.replaceAll('ς', 'σ').normalize('NFC');
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
  return `/${encodeURIComponent(room).replaceAll('%7E', '~')}`;
}
