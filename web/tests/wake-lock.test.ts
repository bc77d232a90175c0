import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keepAwake } from '../src/ui/wake-lock';

/** The browser's screen lock: what was asked for, and what is held. */
class Screen {
  locks: { released: boolean; release: () => Promise<void> }[] = [];
  asked = 0;
  refuses = false;
  page = Object.assign(new EventTarget(), { visibilityState: 'visible' });

  request = async () => {
    this.asked++;
    if (this.refuses) throw new Error('battery');
    const lock = { released: false, release: async () => void (lock.released = true) };
    this.locks.push(lock);
    return lock;
  };

  get held(): number {
    return this.locks.filter((lock) => !lock.released).length;
  }

  async show(visibilityState: 'visible' | 'hidden') {
    this.page.visibilityState = visibilityState;
    if (visibilityState === 'hidden') for (const lock of this.locks) lock.released = true;
    this.page.dispatchEvent(new Event('visibilitychange'));
    await settled();
  }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the screen', () => {
  let screen: Screen;

  beforeEach(() => {
    screen = new Screen();
    vi.stubGlobal('document', screen.page);
    vi.stubGlobal('navigator', { wakeLock: screen });
  });
  afterEach(() => vi.unstubAllGlobals());

  it('stays on in a meeting, and may sleep after it', async () => {
    const end = keepAwake();
    await settled();
    expect(screen.held).toBe(1);
    end();
    await settled();
    expect(screen.held).toBe(0);
    await screen.show('visible');
    expect(screen.held).toBe(0);
  });

  it('stays on again when the page is looked at again', async () => {
    keepAwake();
    await settled();
    await screen.show('hidden');
    expect([screen.asked, screen.held]).toEqual([1, 0]);
    await screen.show('visible');
    await screen.show('visible');
    expect([screen.asked, screen.held]).toEqual([2, 1]);
  });

  it('may sleep when the lock comes after the meeting', async () => {
    keepAwake()();
    await settled();
    expect([screen.asked, screen.held]).toEqual([1, 0]);
  });

  it('sleeps as it likes where the browser refuses or cannot', async () => {
    screen.refuses = true;
    keepAwake()();
    vi.stubGlobal('navigator', {});
    keepAwake()();
    await settled();
    expect(screen.held).toBe(0);
  });
});
