/** When a page stands still. */
import { expect } from '@playwright/test';
import type { Window } from './window.ts';

/** Waits until nothing moves any more but what moves for ever. */
export async function rest(window: Window): Promise<void> {
  const moving = () =>
    window.evaluate(
      () =>
        document.getAnimations().filter(({ effect }) => effect?.getComputedTiming().endTime !== Infinity)
          .length,
      undefined,
    );
  await expect.poll(moving, { message: 'the page to stand still' }).toBe(0);
}
