/** The phone's layout, also for a page at 200 % zoom. Styles ask the same. */

import { MediaQuery } from 'svelte/reactivity';

/** So narrow that panels come from below. */
export const narrow = new MediaQuery('(max-width: 720px)');
/** Narrow, or lying on its side: 480 px high. */
export const phone = new MediaQuery('(max-width: 720px), (max-height: 480px)');
