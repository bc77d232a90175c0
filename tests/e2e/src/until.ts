import { setTimeout as pause } from 'node:timers/promises';

/** Polls a condition until it is truthy and returns its value; says what it waited for when the time is over. */
export async function until<T>(
  what: string,
  condition: () => Promise<T> | T,
  { timeout = 20_000, every = 100 }: { timeout?: number; every?: number } = {},
): Promise<NonNullable<T>> {
  const end = Date.now() + timeout;
  let last: T | undefined;
  for (;;) {
    last = await condition();
    if (last) return last;
    if (Date.now() > end)
      throw new Error(`waited ${timeout} ms for ${what}; last seen: ${JSON.stringify(last)}`);
    await pause(every);
  }
}
