/** The worker in which the keys of a meeting live. What it does stands in `holder.ts`. */

import type { Socket } from './channel';
import { KeyHolder } from './holder';
import { load } from './load';
import type { PageMessage } from './messages';

interface Scope {
  onmessage: ((event: MessageEvent<PageMessage>) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

const scope = self as unknown as Scope;

let latest = 0;

const holder = new KeyHolder({
  // The time of day, as the page has it, but it never goes back. Other clocks stand still while a computer sleeps.
  now: () => (latest = Math.max(latest, Date.now())),
  later(run, ms) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  chance: () => Math.random(),
  random: (bytes) => void crypto.getRandomValues(bytes),
  open: (address) => new WebSocket(address) as Socket,
  load: () => load(),
  tell: (message, transfer = []) => scope.postMessage(message, transfer),
});

scope.onmessage = ({ data }) => holder.handle(data);
