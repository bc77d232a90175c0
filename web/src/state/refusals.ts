/** From error codes to sentences that say what happened and what to do now. */

import { ApiError } from '../api/errors';
import type { CodeProblem } from '../crypto/link';
import { ConnectError, type DeviceError, type DisconnectCause } from '../rtc/types';
import type { MessageKey, Refusal } from './messages';
import type { RoomNameProblem } from './room-name';

const SERVER: Record<string, MessageKey> = {
  unreachable: 'error.unreachable',
  'unexpected-answer': 'error.unexpected-answer',
  'invalid-room-name': 'error.room-characters',
  'reserved-room-name': 'error.room-reserved',
  'identity-taken': 'error.identity-taken',
  'rate-limited': 'error.rate-limited',
  overloaded: 'error.overloaded',
  full: 'error.full',
  closed: 'error.closed',
  'metadata-too-large': 'error.name-too-long',
};

const CONNECT: Record<ConnectError['problem'], MessageKey> = {
  refused: 'error.connect-refused',
  unreachable: 'error.unreachable',
  'no-media-path': 'error.no-media-path',
  failed: 'error.connect-failed',
};

/** Why joining did not work. */
export function joinRefusal(error: unknown): Refusal {
  if (error instanceof ApiError) {
    const key = SERVER[error.code];
    return key
      ? { code: error.code, key, args: { seconds: error.retryAfter ?? 0 } }
      : { code: error.code, key: 'error.server', args: { code: error.code } };
  }
  if (error instanceof ConnectError) return { code: error.problem, key: CONNECT[error.problem] };
  return { code: 'failed', key: 'error.connect-failed' };
}

const CODE: Record<CodeProblem, MessageKey> = {
  empty: 'error.code-empty',
  length: 'error.code-length',
  characters: 'error.code-typo',
  check: 'error.code-typo',
  version: 'error.link-version',
};

/** What is wrong with a meeting code. */
export function codeRefusal(problem: CodeProblem): Refusal {
  return { code: `code-${problem}`, key: CODE[problem] };
}

const ROOM: Record<RoomNameProblem, MessageKey> = {
  empty: 'error.room-empty',
  'too-long': 'error.room-too-long',
  characters: 'error.room-characters',
  reserved: 'error.room-reserved',
};

/** What is wrong with the name of a room. */
export function roomRefusal(problem: RoomNameProblem): Refusal {
  return { code: `room-${problem}`, key: ROOM[problem] };
}

const DISCONNECTED: Record<Exclude<DisconnectCause, 'left'>, MessageKey> = {
  lost: 'left.lost',
  elsewhere: 'left.elsewhere',
  removed: 'left.removed',
  'room-closed': 'left.room-closed',
  'server-stopped': 'left.server-stopped',
};

/** Why a meeting ended for this person; `null` if they left by themselves. */
export function disconnectRefusal(cause: DisconnectCause): Refusal | null {
  return cause === 'left' ? null : { code: cause, key: DISCONNECTED[cause] };
}

const DEVICE: Record<DeviceError['kind'], Partial<Record<DeviceError['problem'], MessageKey>>> = {
  microphone: {
    denied: 'device.microphone-denied',
    missing: 'device.microphone-missing',
    busy: 'device.microphone-busy',
  },
  camera: { denied: 'device.camera-denied', missing: 'device.camera-missing', busy: 'device.camera-busy' },
  speaker: {},
  screen: {},
};

/** What is wrong with a device; `null` when there is nothing to say (a dialog was closed). */
export function deviceRefusal(error: DeviceError): Refusal | null {
  if (error.problem === 'cancelled') return null;
  const code = `${error.kind}-${error.problem}`;
  if (error.problem === 'insecure') return { code, key: 'error.insecure' };
  const known = DEVICE[error.kind][error.problem];
  if (known) return { code, key: known };
  if (error.kind === 'screen') return { code, key: 'device.screen-failed' };
  return { code, key: error.kind === 'speaker' ? 'device.speaker-failed' : 'error.unsupported' };
}
