/**
 * From a room, its secret and a name to a connection with keys: makes the identity, asks for admission with the sealed
 * name, connects, checks that it is let in as itself and that those present use the same link, and only then opens the
 * way to the keys.
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
  keys: MeetingKeys;
}

export interface AdmissionRequest {
  /** Normalised. */
  room: string;
  secret: string;
  name: string;
  speaker: string | null;
}

/** No sealed name of those present opens: this is not the link of the running meeting. */
export class OtherLinkError extends Error {
  override readonly name = 'OtherLinkError';
}

type AdmissionPorts = Pick<Ports, 'api' | 'rtc' | 'sealer' | 'keys' | 'address'>;

/** @throws ApiError, ConnectError, KeysError, OtherLinkError */
export async function admit(
  ports: AdmissionPorts,
  identities: TabIdentity,
  request: AdmissionRequest,
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
        return await enter(ports, keys, { url, token, room, sealer, speaker: request.speaker });
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
  speaker: string | null;
}

async function enter(
  ports: AdmissionPorts,
  keys: MeetingKeys,
  { url, token, room, sealer, speaker }: Way,
): Promise<Admitted> {
  const connection = await ports.rtc.connect(url, token, { speaker, keys });
  const own = connection.participants().find(({ isLocal }) => isLocal);
  if (own?.identity !== keys.identity) {
    await connection.leave();
    throw new ApiError('identity-changed', 200);
  }
  if (await usesOtherLink(connection, sealer)) {
    await connection.leave();
    throw new OtherLinkError();
  }
  keys.connect(url, room, token);
  return { room, connection, keys };
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
  keys.leave();
  await connection.leave();
}
