/** Accessibility rules of axe-core, run in the page. */
import axe, { type AxeResults } from 'axe-core';
import type { Window } from './window.ts';

/** What is wrong, one line each: rule, and the elements it concerns. */
export async function violations(window: Window): Promise<string[]> {
  // As an expression, so that the page's content security policy has no say in it.
  const results = await window.evaluate<string, AxeResults>(
    `(async () => { ${axe.source}; return axe.run(document); })()` as never,
    '',
  );
  return results.violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`,
  );
}
