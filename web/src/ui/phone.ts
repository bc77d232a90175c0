/** The phone's layout: up to 720 px wide or 480 px high, so also a page at 200 % zoom. Styles ask the same. */

import { MediaQuery } from 'svelte/reactivity';

export const phone = new MediaQuery('(max-width: 720px), (max-height: 480px)');
