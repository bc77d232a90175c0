/** What can go wrong when asking the server. Each has a stable code that the interface has words for. */

import type { components } from './schema';

export type Problem = components['schemas']['Problem'];

/** Codes of this client itself, beside those that the server sends. */
export const UNREACHABLE = 'unreachable';
export const UNEXPECTED_ANSWER = 'unexpected-answer';

export class ApiError extends Error {
  override readonly name = 'ApiError';

  /**
   * @param code the problem's `code`, or one of this client's own
   * @param status HTTP status; 0 when there was no answer
   * @param retryAfter seconds, if the server named them
   */
  constructor(
    readonly code: string,
    readonly status: number,
    readonly retryAfter: number | null = null,
  ) {
    super(code);
  }
}

/** Reads problem details (RFC 9457) as far as they are there. */
export function codeOfProblem(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string') {
    if (/^[a-z0-9-]{1,64}$/.test(body.code)) return body.code;
  }
  return UNEXPECTED_ANSWER;
}
