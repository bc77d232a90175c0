/**
 * What is on the stage of a meeting: which pictures, how large, on which page, what is pinned, where one's own picture
 * is. The interface tells the size of the stage and draws the layout.
 */

import type { Announcer } from './announcer';
import { EMPTY_LAYOUT, keepUnchanged, keyOf, layout, type Layout, type Picture, type View } from './layout';
import { LargeSpeaker } from './large-speaker';
import type { Message, MessageKey } from './messages';
import type { Options } from './options';
import type { Corner } from './own-view';
import type { Size } from './geometry';
import type { Person } from './people';
import { Store } from './store';

export interface StageState {
  layout: Layout;
  pinned: Picture | null;
  /** Kept for this meeting only: nobody should be seen without remembering it. */
  ownHidden: boolean;
}

const VIEW_WORDS: Record<View, MessageKey> = { equal: 'layout.equal', speaker: 'layout.speaker' };
const STATE_PARTS: readonly (keyof StageState)[] = ['layout', 'pinned', 'ownHidden'];
const USUAL_RATIO = 16 / 9;

/** Of two people without a shared screen, the other one is large anyway. */
export function canPin(people: readonly Person[]): boolean {
  return people.length > 2 || people.some((person) => person.screen !== null && !person.isLocal);
}

export class StageModel {
  readonly view = new Store<StageState>({ layout: EMPTY_LAYOUT, pinned: null, ownHidden: false });

  #people: readonly Person[] = [];
  /** Whose screens are shown, in the order in which they were first seen. */
  #shares: string[] = [];
  #ratios = new Map<string, number>();
  #speaker = new LargeSpeaker();
  #size: Size = { width: 0, height: 0 };
  #phone = false;
  #page = 0;
  #settled = true;

  constructor(
    private readonly options: Options,
    private readonly announcer: Announcer,
    private readonly tell: (message: Message) => void,
  ) {}

  /** Ends with the meeting. */
  follow(): () => void {
    return this.options.view.subscribe(() => this.#arrange());
  }

  /**
   * Who is here now. `settled` is false while the connection is away and shortly after it: who is missing then comes
   * back, and keeps their pin. Returns when the stage can change next by itself, or `null`.
   */
  update(people: readonly Person[], now: number, settled = true): number | null {
    this.#people = people;
    this.#settled = settled;
    const sharing = people.filter((one) => one.screen && !one.isLocal).map(({ identity }) => identity);
    this.#shares = [
      ...this.#shares.filter((identity) => sharing.includes(identity)),
      ...sharing.filter((identity) => !this.#shares.includes(identity)),
    ];
    for (const identity of [...this.#ratios.keys()])
      if (!sharing.includes(identity)) this.#ratios.delete(identity);
    const due = this.#speaker.update(people, now);
    this.#arrange();
    return due;
  }

  resize(size: Size, phone: boolean): void {
    if (size.width === this.#size.width && size.height === this.#size.height && phone === this.#phone) return;
    this.#size = size;
    this.#phone = phone;
    this.#arrange();
  }

  /** How wide a shared screen is to its height. */
  setRatio(identity: string, ratio: number): void {
    if (this.#ratios.get(identity) === ratio) return;
    this.#ratios.set(identity, ratio);
    this.#arrange();
  }

  // ---- what the person chooses --------------------------------------------------------------------------------

  togglePin(picture: Picture): void {
    const { pinned } = this.view.get();
    const off = pinned !== null && keyOf(pinned) === keyOf(picture);
    this.#arrange({ pinned: off ? null : { identity: picture.identity, source: picture.source } });
  }

  toggleView(): void {
    const view = this.options.view.get().layout === 'equal' ? 'speaker' : 'equal';
    this.options.setLayout(view);
    this.announcer.say({ key: VIEW_WORDS[view] });
  }

  /** Turns to another page; says which one it is now. */
  turn(pages: number): void {
    const { pages: shown } = this.view.get().layout;
    if (!shown) return;
    const page = Math.max(0, Math.min(shown.count - 1, shown.page + pages));
    if (page === shown.page) return;
    this.#page = page;
    this.#arrange();
    this.announcer.say({ key: 'stage.page-now', args: { page: page + 1, pages: shown.count } });
  }

  moveOwn(corner: Corner): void {
    this.options.setOwnCorner(corner);
  }

  setOwnHidden(ownHidden: boolean): void {
    if (ownHidden === this.view.get().ownHidden) return;
    this.#arrange({ ownHidden });
    if (ownHidden) this.tell({ key: 'own-view.hidden' });
  }

  // -------------------------------------------------------------------------------------------------------------

  #arrange(change: Partial<StageState> = {}): void {
    const before = this.view.get();
    const state = { ...before, ...change };
    // A pin ends with what it holds.
    if (state.pinned && this.#settled && !this.#exists(state.pinned)) state.pinned = null;
    const { layout: view, ownCorner } = this.options.view.get();
    const large = state.pinned?.source === 'screen_share' ? state.pinned.identity : this.#shares.at(-1);
    const next = layout({
      people: this.#people,
      shares: this.#shares,
      pinned: state.pinned,
      view,
      speaker: this.#speaker.shown,
      own: { corner: ownCorner, hidden: state.ownHidden },
      size: this.#size,
      phone: this.#phone,
      page: this.#page,
      ratio: (large !== undefined && this.#ratios.get(large)) || USUAL_RATIO,
      before: before.layout.strip,
    });
    this.#page = next.pages?.page ?? this.#page;
    const kept = { ...state, layout: keepUnchanged(before.layout, next) };
    if (STATE_PARTS.some((part) => kept[part] !== before[part])) this.view.set(kept);
  }

  #exists({ identity, source }: Picture): boolean {
    if (source === 'screen_share') return this.#shares.includes(identity);
    return this.#people.some((person) => person.identity === identity && !person.isLocal);
  }
}
