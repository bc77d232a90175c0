/** Accessibility rules of axe-core, run in the page. */
import axe, { type AxeResults } from 'axe-core';
import type { Page } from '@playwright/test';
import type { Window } from './window.ts';

// As an expression, so that the page's content security policy has no say in it.

/** What is wrong, one line each: rule, and the elements it concerns. */
export async function violations(window: Window): Promise<string[]> {
  return listed(
    await window.evaluate<string, AxeResults>(
      `(async () => { ${axe.source}; return axe.run(document); })()` as never,
      '',
    ),
  );
}

/** The same, in a page that keeps axe from one call to the next. */
export async function violationsIn(page: Page): Promise<string[]> {
  if (await page.evaluate(() => !('axe' in window))) await page.evaluate(axe.source);
  return listed(await page.evaluate<AxeResults>('axe.run(document, { resultTypes: ["violations"] })'));
}

function listed(results: AxeResults): string[] {
  return results.violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`,
  );
}
