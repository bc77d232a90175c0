/** From error codes to sentences that say what happened and what to do now. */

import { ApiError } from '../api/errors';
import type { CodeProblem } from '../crypto/link';
import { KeysError, type Stop } from '../e2ee/types';
import { ConnectError, type DeviceError, type DisconnectCause } from '../rtc/types';
import { NotClearError, OtherLinkError } from './admission';
import type { MessageKey, Refusal } from './messages';
import type { RoomNameProblem } from './room-name';

const SERVER: Record<string, MessageKey> = {
  unreachable: 'error.unreachable',
  'unexpected-answer': 'error.unexpected-answer',
  'invalid-room-name': 'error.room-characters',
  'reserved-room-name': 'error.room-reserved',
  'identity-taken': 'error.identity-taken',
  'identity-changed': 'error.identity-changed',
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

const KEYS: Record<KeysError['problem'], MessageKey> = {
  unsupported: 'error.encryption-unsupported',
  failed: 'error.encryption-failed',
};

/** Why there are no keys, and so no meeting. */
export function keysRefusal(problem: KeysError['problem']): Refusal {
  return { code: `encryption-${problem}`, key: KEYS[problem] };
}

/** Why joining did not work. */
export function joinRefusal(error: unknown): Refusal {
  if (error instanceof ApiError) {
    const key = SERVER[error.code];
    return key
      ? { code: error.code, key, args: { seconds: error.retryAfter ?? 0 } }
      : { code: error.code, key: 'error.server', args: { code: error.code } };
  }
  if (error instanceof KeysError) return keysRefusal(error.problem);
  if (error instanceof OtherLinkError) return { code: 'other-link', key: 'error.other-link' };
  if (error instanceof NotClearError) return { code: 'not-clear', key: 'error.not-clear' };
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

/** Why a meeting ended: the connection did, or its keys. */
export type EndCause = DisconnectCause | Stop | 'failed' | 'identity-changed';

const ENDED: Record<Exclude<EndCause, 'left'>, MessageKey> = {
  lost: 'left.lost',
  elsewhere: 'left.elsewhere',
  removed: 'left.removed',
  'room-closed': 'left.room-closed',
  'server-stopped': 'left.server-stopped',
  'other-link': 'left.other-link',
  password: 'left.password',
  locked: 'left.locked',
  'other-meeting': 'left.other-meeting',
  'out-of-step': 'left.out-of-step',
  ended: 'left.keys-ended',
  refused: 'left.keys-refused',
  full: 'error.full',
  failed: 'left.keys-failed',
  'identity-changed': 'error.identity-changed',
};

/** Why a meeting ended for this person; `null` if they left by themselves. */
export function endRefusal(cause: EndCause): Refusal | null {
  return cause === 'left' ? null : { code: cause, key: ENDED[cause] };
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
