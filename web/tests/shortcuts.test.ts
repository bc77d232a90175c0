import { describe, expect, it } from 'vitest';
import { actionOf, SHORTCUTS, type KeyPress } from '../src/ui/shortcuts';

function press(key: string, change: Partial<KeyPress> = {}): KeyPress {
  return {
    key,
    code: `Key${key.toUpperCase()}`,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    repeat: false,
    isComposing: false,
    defaultPrevented: false,
    ...change,
  };
}

describe('a key', () => {
  it.each([
    ['m', 'microphone'],
    ['V', 'camera'],
    ['d', 'share'],
    ['c', 'chat'],
    ['p', 'people'],
    ['l', 'layout'],
    ['PageUp', 'previous'],
    ['PageDown', 'next'],
    ['?', 'list'],
    [' ', 'talk'],
  ])('%j asks for the %s', (key, action) => {
    expect(actionOf(press(key), 'page')).toBe(action);
  });

  it('without a meaning does nothing', () => {
    for (const key of ['x', 'Enter', 'Escape', 'ß', 'F6']) expect(actionOf(press(key), 'page')).toBeNull();
  });

  it('counts by its place on other alphabets', () => {
    expect(actionOf(press('ь', { code: 'KeyM' }), 'page')).toBe('microphone');
    expect(actionOf(press('μ', { code: 'KeyM' }), 'page')).toBe('microphone');
  });

  it('is text in a field', () => {
    for (const { key } of SHORTCUTS) expect(actionOf(press(key), 'field')).toBeNull();
  });

  it('works on a button too, but the space bar presses the button', () => {
    expect(actionOf(press('m'), 'control')).toBe('microphone');
    expect(actionOf(press(' '), 'control')).toBeNull();
    expect(actionOf(press('PageDown'), 'control')).toBe('next');
  });

  it('scrolls a list where lists scroll', () => {
    for (const key of ['PageUp', 'PageDown', ' ']) expect(actionOf(press(key), 'list')).toBeNull();
    expect(actionOf(press('m'), 'list')).toBe('microphone');
  });

  it.each(['ctrlKey', 'metaKey', 'altKey', 'repeat', 'isComposing', 'defaultPrevented'] as const)(
    'means something else with %s',
    (flag) => {
      expect(actionOf(press('c', { [flag]: true }), 'page')).toBeNull();
    },
  );
});

describe('the table of keys', () => {
  it('has each key and each action once', () => {
    expect(new Set(SHORTCUTS.map(({ key }) => key)).size).toBe(SHORTCUTS.length);
    expect(new Set(SHORTCUTS.map(({ action }) => action)).size).toBe(SHORTCUTS.length);
  });
});
