/**
 * From a room, its secret and a name to a connection: asks for admission with the sealed name, connects, and checks
 * that those present use the same link, before anything is published.
 */

import { ApiError } from '../api/errors';
import type { NameSealer } from '../crypto/name';
import type { RtcConnection } from '../rtc/types';
import type { TabIdentity } from './identity';
import type { Ports } from './ports';

/** Fresh identities that are tried before giving up; one is normal after a reload whose old connection lingers. */
const IDENTITY_TRIES = 3;

export interface Admitted {
  connection: RtcConnection;
  sealer: NameSealer;
  /** No sealed name of those present opens: this is not the link of the running meeting. */
  otherLink: boolean;
}

export interface AdmissionRequest {
  /** Normalised. */
  room: string;
  secret: string;
  name: string;
  speaker: string | null;
}

export async function admit(
  ports: Pick<Ports, 'api' | 'rtc' | 'sealer'>,
  identities: TabIdentity,
  request: AdmissionRequest,
): Promise<Admitted> {
  let room = request.room;
  let sealer = await ports.sealer(request.secret, room);
  let identity = await identities.get();
  for (let tries = 1; ; tries++) {
    let answer;
    try {
      answer = await ports.api.join(room, { identity, metadata: await sealer.seal(request.name, identity) });
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'identity-taken' || tries >= IDENTITY_TRIES)
        throw error;
      identity = await identities.renew();
      continue;
    }
    // Names are sealed for one identity: a server that hands out another one would mix people up.
    if (answer.identity !== identity) throw new ApiError('identity-changed', 200);
    if (answer.room !== room) {
      // The server folds some letter that this browser does not: the keys hang on its spelling.
      if (tries >= IDENTITY_TRIES) throw new ApiError('room-changed', 200);
      room = answer.room;
      sealer = await ports.sealer(request.secret, room);
      continue;
    }
    const connection = await ports.rtc.connect(answer.url, answer.token, { speaker: request.speaker });
    return { connection, sealer, otherLink: await usesOtherLink(connection, sealer) };
  }
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
