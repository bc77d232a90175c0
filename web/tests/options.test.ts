import { describe, expect, it, vi } from 'vitest';
import { Options } from '../src/state/options';
import { showTheme } from '../src/ui/theme';
import { World } from '../scripted/world';

/** Storage that a browser refuses: forgets at once. */
const refused = { get: () => null, set: () => undefined };

describe('the layout', () => {
  it('is equal tiles, and one’s own picture at the bottom right, until something else is chosen and remembered', () => {
    const world = new World();
    const options = new Options(world.ports.local);
    expect(options.view.get()).toMatchObject({ layout: 'equal', ownCorner: 'bottom-right' });
    options.setLayout('speaker');
    options.setOwnCorner('top-left');
    const again = new Options(world.ports.local);
    expect(again.view.get()).toMatchObject({ layout: 'speaker', ownCorner: 'top-left' });
    again.setLayout('equal');
    again.setOwnCorner('bottom-right');
    expect(world.local.size).toBe(0);
  });
});

describe('the theme', () => {
  it('is the system’s until one is chosen, and is remembered', () => {
    const world = new World();
    const options = new Options(world.ports.local);
    expect(options.view.get().theme).toBe('system');
    options.setTheme('dark');
    expect(options.view.get().theme).toBe('dark');
    expect(new Options(world.ports.local).view.get().theme).toBe('dark');
    options.setTheme('system');
    expect(world.local.size).toBe(0);
  });

  it('holds for the page where storage is refused', () => {
    const options = new Options(refused);
    options.setTheme('light');
    expect(options.view.get().theme).toBe('light');
  });

  it('that nobody knows is the system’s', () => {
    const world = new World();
    world.local.set('konklave.theme', 'neon');
    expect(new Options(world.ports.local).view.get().theme).toBe('system');
  });

  it('stands on the page, also on the bars round it', () => {
    const metas = [
      { media: '(prefers-color-scheme: light)', content: '' },
      { media: '(prefers-color-scheme: dark)', content: '' },
    ];
    const documentElement = { dataset: {} as Record<string, string> };
    vi.stubGlobal('document', { documentElement, querySelectorAll: () => metas });
    showTheme('dark');
    expect(documentElement.dataset).toEqual({ theme: 'dark' });
    expect(metas.map((meta) => meta.content)).toEqual(['#0e1314', '#0e1314']);
    showTheme('system');
    expect(documentElement.dataset).toEqual({});
    expect(metas.map((meta) => meta.content)).toEqual(['#eef1f1', '#0e1314']);
    vi.unstubAllGlobals();
  });
});
