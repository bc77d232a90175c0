/** The client of `/api/v1`. Never sends the link's secret: it only knows room, identity and the sealed name. */

import { ApiError, codeOfProblem, UNEXPECTED_ANSWER, UNREACHABLE } from './errors';
import type { components } from './schema';

export type JoinRequest = components['schemas']['JoinRequest'];
export type JoinResponse = components['schemas']['JoinResponse'];

/** How long an answer may take before the server counts as unreachable. */
const TIMEOUT_MS = 15_000;

export interface Api {
  /** Asks for admission. @throws ApiError */
  join(room: string, request: JoinRequest): Promise<JoinResponse>;
}

function isJoinResponse(body: unknown): body is JoinResponse {
  if (typeof body !== 'object' || body === null) return false;
  const answer = body as Record<string, unknown>;
  return (
    ['url', 'token', 'identity', 'room'].every((key) => typeof answer[key] === 'string') &&
    typeof answer.running === 'boolean'
  );
}

async function bodyOf(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

export function apiClient(base = ''): Api {
  async function post(path: string, body: unknown): Promise<unknown> {
    let response: Response;
    try {
      response = await fetch(base + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json, application/problem+json' },
        body: JSON.stringify(body),
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
        referrerPolicy: 'no-referrer',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new ApiError(UNREACHABLE, 0);
    }
    const answer = await bodyOf(response);
    if (!response.ok) {
      const seconds = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
      throw new ApiError(codeOfProblem(answer), response.status, Number.isFinite(seconds) ? seconds : null);
    }
    return answer;
  }

  return {
    async join(room, request) {
      const answer = await post(`/api/v1/rooms/${encodeURIComponent(room)}/join`, request);
      if (!isJoinResponse(answer)) throw new ApiError(UNEXPECTED_ANSWER, 200);
      return answer;
    },
  };
}
