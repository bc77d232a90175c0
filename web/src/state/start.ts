/** The start page: name a room or take a suggested one; or take part with a link, or with a room and its code. */

import { newSecret, parseCode, parseFragment, type RandomBytes } from '../crypto/link';
import type { Refusal } from './messages';
import type { Ports } from './ports';
import { codeRefusal, roomRefusal } from './refusals';
import { parseRoomName, roomOfPath } from './room-name';
import { Store } from './store';

export interface StartState {
  room: string;
  /** The name is one of ours, nobody typed it. */
  suggested: boolean;
  roomProblem: Refusal | null;
  link: string;
  linkProblem: Refusal | null;
  code: string;
  codeProblem: Refusal | null;
  /** The pasted link leads to another server: its full address. */
  elsewhere: { host: string; href: string } | null;
}

/** Where the start page leads to. `fresh`: the secret was made here and may meet a running room. */
export interface Destination {
  room: string;
  secret: string | null;
  fresh: boolean;
}

export interface PastedLink {
  room: string;
  fragment: string;
  /** Origin of a complete address, `null` if only a room was typed. */
  origin: string | null;
}

/** Takes a full link, a link without scheme, a path or a mere room name apart. */
export function parseLink(typed: string): PastedLink {
  const text = typed.trim();
  const hash = text.indexOf('#');
  const fragment = hash < 0 ? '' : text.slice(hash);
  const before = hash < 0 ? text : text.slice(0, hash);
  const scheme = /^https?:\/\//i.test(before);
  if (scheme || /^[^\s/]+(\.[^\s/]+|:\d+)\//.test(before)) {
    try {
      const url = new URL(scheme ? before : `https://${before}`);
      return {
        room: roomOfPath(url.pathname) ?? url.pathname,
        fragment,
        origin: scheme ? url.origin : `//${url.host}`,
      };
    } catch {
      // Falls through: it is judged as a room name.
    }
  }
  return { room: roomOfPath(before) ?? before, fragment, origin: null };
}

/** One word of each list, joined with hyphens. */
export function suggestRoom(lists: string[][], random: RandomBytes): string {
  return lists
    .map((list) => {
      const [high = 0, low = 0] = random(2);
      return list[(high * 256 + low) % list.length] ?? '';
    })
    .join('-');
}

export class StartModel {
  readonly view: Store<StartState>;

  constructor(
    private readonly ports: Pick<Ports, 'random' | 'address' | 'words'>,
    private readonly go: (destination: Destination) => void,
  ) {
    this.view = new Store<StartState>({
      room: this.#suggestion(),
      suggested: true,
      roomProblem: null,
      link: '',
      linkProblem: null,
      code: '',
      codeProblem: null,
      elsewhere: null,
    });
  }

  #suggestion(): string {
    const { words } = this.ports;
    const lists = [
      words({ key: 'start.words-first' }),
      words({ key: 'start.words-second' }),
      words({ key: 'start.words-third' }),
    ];
    return suggestRoom(
      lists.map((list) => list.split(' ')),
      this.ports.random,
    );
  }

  suggest(): void {
    this.view.patch({ room: this.#suggestion(), suggested: true, roomProblem: null });
  }

  /** The language changed: a suggestion nobody typed over is replaced by one in that language. */
  relabel(): void {
    if (this.view.get().suggested) this.suggest();
  }

  setRoom(room: string): void {
    this.view.patch({ room, suggested: false, roomProblem: null });
  }

  setLink(link: string): void {
    this.view.patch({ link, linkProblem: null, elsewhere: null });
  }

  setCode(code: string): void {
    this.view.patch({ code, codeProblem: null });
  }

  start(): void {
    const name = parseRoomName(this.view.get().room);
    if (!name.ok) {
      this.view.patch({ roomProblem: roomRefusal(name.problem) });
      return;
    }
    this.go({ room: name.room, secret: newSecret(this.ports.random), fresh: true });
  }

  join(): void {
    const { link, code } = this.view.get();
    this.view.patch({ linkProblem: null, codeProblem: null, elsewhere: null });
    const pasted = parseLink(link);
    const name = parseRoomName(pasted.room);
    if (!name.ok) {
      this.view.patch({
        linkProblem:
          name.problem === 'empty'
            ? { code: 'link-empty', key: 'error.link-empty' }
            : roomRefusal(name.problem),
      });
      return;
    }
    const own = this.ports.address.origin;
    if (pasted.origin !== null && pasted.origin !== own && pasted.origin !== own.replace(/^https?:/, '')) {
      const href = `${pasted.origin.startsWith('//') ? 'https:' : ''}${pasted.origin}/${encodeURIComponent(name.room)}${pasted.fragment}`;
      this.view.patch({ elsewhere: { host: new URL(href).host, href } });
      return;
    }
    const inLink = parseFragment(pasted.fragment);
    if (inLink && !inLink.ok) {
      const refusal = codeRefusal(inLink.problem);
      this.view.patch({
        linkProblem: refusal.key === 'error.code-typo' ? { ...refusal, key: 'error.link-typo' } : refusal,
      });
      return;
    }
    if (inLink) {
      this.go({ room: name.room, secret: inLink.secret, fresh: false });
      return;
    }
    if (code.trim() === '') {
      // A bare room: whether a code is needed shows once the server says whether it is running.
      this.go({ room: name.room, secret: null, fresh: false });
      return;
    }
    const typed = parseCode(code);
    if (!typed.ok) {
      this.view.patch({ codeProblem: codeRefusal(typed.problem) });
      return;
    }
    this.go({ room: name.room, secret: typed.secret, fresh: false });
  }
}
