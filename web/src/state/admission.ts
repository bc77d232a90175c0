/**
 * From a room, its secret and a name to a connection with keys: makes the identity, asks for admission with the sealed
 * name, connects, checks that it is let in as itself and that those present use the same link, and only then opens the
 * way to the keys. Without a secret, to a connection without keys.
 */

import { ApiError } from '../api/errors';
import { fragmentOf } from '../crypto/link';
import type { NameSealer } from '../crypto/name';
import type { MeetingKeys } from '../e2ee/types';
import type { RtcConnection } from '../rtc/types';
import type { TabIdentity } from './identity';
import type { Ports } from './ports';

/** Fresh identities that are tried before giving up; one is normal after a reload whose old connection lingers. */
const IDENTITY_TRIES = 3;

export interface Admitted {
  /** As the server spells it: keys and sealed names hang on that. */
  room: string;
  connection: RtcConnection;
  /** `null` in a room that is not end-to-end encrypted. */
  keys: MeetingKeys | null;
}

export interface AdmissionRequest {
  /** Normalised. */
  room: string;
  /** `null` for a room that is not end-to-end encrypted: only after somebody was asked and wants that. */
  secret: string | null;
  name: string;
  speaker: string | null;
}

/** No sealed name of those present opens: this is not the link of the running meeting. */
export class OtherLinkError extends Error {
  override readonly name = 'OtherLinkError';
}

/** The room is none that goes without end-to-end encryption, or no longer. */
export class NotClearError extends Error {
  override readonly name = 'NotClearError';
}

type AdmissionPorts = Pick<Ports, 'api' | 'rtc' | 'sealer' | 'keys' | 'address'>;

/** @throws ApiError, ConnectError, KeysError, OtherLinkError, NotClearError */
export async function admit(
  ports: AdmissionPorts,
  identities: TabIdentity,
  request: AdmissionRequest,
): Promise<Admitted> {
  const { secret } = request;
  return secret === null
    ? admitClear(ports, request)
    : admitSealed(ports, identities, { ...request, secret });
}

/**
 * Into a room that another program opened. Asked once more whether it still is one: otherwise one would open a room in
 * which the next with a bare link is asked for a code that does not exist.
 */
async function admitClear(
  ports: AdmissionPorts,
  { room, name, speaker }: AdmissionRequest,
): Promise<Admitted> {
  const { url, token, identity, mode, room: compared } = await ports.api.join(room, { name });
  if (mode !== 'clear') throw new NotClearError();
  const connection = await ports.rtc.connect(url, token, { speaker, keys: null });
  return { connection: await asOneself(connection, identity), keys: null, room: compared };
}

/** A link with a secret: what the server says of the room's mode is not looked at. */
async function admitSealed(
  ports: AdmissionPorts,
  identities: TabIdentity,
  request: AdmissionRequest & { secret: string },
): Promise<Admitted> {
  let room = request.room;
  let seed = await identities.seed();
  for (let tries = 1; ; tries++) {
    const sealer = await ports.sealer(request.secret, room);
    const { name, secret } = request;
    const { origin } = ports.address;
    const keys = await ports.keys.open({ origin, room, fragment: fragmentOf(secret), name, seed });
    try {
      const answer = await ports.api.join(room, {
        identity: keys.identity,
        metadata: await sealer.seal(name, keys.identity),
      });
      // It follows from the key, and names are sealed for it: a server that hands out another one would mix people up.
      if (answer.identity !== keys.identity) throw new ApiError('identity-changed', 200);
      if (answer.room === room) {
        const { url, token } = answer;
        const { isKept } = identities;
        return await enter(ports, keys, { url, token, room, sealer, isKept, speaker: request.speaker });
      }
      // The server folds some letter that this browser does not: the keys hang on its spelling.
      if (tries >= IDENTITY_TRIES) throw new ApiError('room-changed', 200);
      room = answer.room;
      keys.leave();
    } catch (error) {
      keys.leave();
      if (!(error instanceof ApiError) || error.code !== 'identity-taken' || tries >= IDENTITY_TRIES)
        throw error;
      seed = await identities.renew();
    }
  }
}

interface Way {
  url: string;
  token: string;
  room: string;
  sealer: NameSealer;
  isKept: boolean;
  speaker: string | null;
}

async function enter(
  ports: AdmissionPorts,
  keys: MeetingKeys,
  { url, token, room, sealer, isKept, speaker }: Way,
): Promise<Admitted> {
  const connection = await ports.rtc.connect(url, token, { speaker, keys });
  await asOneself(connection, keys.identity);
  // Who was there before is told the new link by the others, should it have changed meanwhile: their keys find out.
  if (!isKept && (await usesOtherLink(connection, sealer))) {
    await connection.leave();
    throw new OtherLinkError();
  }
  keys.connect(url, room, token);
  return { room, connection, keys };
}

/** @throws ApiError where the server took us in as somebody else */
async function asOneself(connection: RtcConnection, identity: string): Promise<RtcConnection> {
  const own = connection.participants().find(({ isLocal }) => isLocal);
  if (own?.identity === identity) return connection;
  await connection.leave();
  throw new ApiError('identity-changed', 200);
}

async function usesOtherLink(connection: RtcConnection, sealer: NameSealer): Promise<boolean> {
  let sealed = 0;
  for (const other of connection.participants()) {
    if (other.isLocal) continue;
    const opened = await sealer.open(other.metadata, other.identity);
    if (opened.kind === 'name') return false;
    if (opened.kind === 'other-link') sealed++;
  }
  return sealed > 0;
}

/** Leaves the meeting, and its keys with it. */
export async function leave({ connection, keys }: Admitted): Promise<void> {
  keys?.leave();
  await connection.leave();
}
