import { beforeEach, describe, expect, it } from 'vitest';
import type { VideoHandle } from '../src/rtc/types';
import { Announcer } from '../src/state/announcer';
import { LARGE_AFTER_MS, LargeSpeaker } from '../src/state/large-speaker';
import type { Message } from '../src/state/messages';
import { Options } from '../src/state/options';
import type { Person } from '../src/state/people';
import { canPin, StageModel } from '../src/state/stage';
import { World } from '../scripted/world';

const DESKTOP = { width: 1416, height: 752 };
const picture: VideoHandle = { attach: () => () => undefined };

function person(identity: string, change: Partial<Person> = {}): Person {
  return {
    identity,
    isLocal: identity === 'me',
    name: { kind: 'name', name: identity },
    trust: 'keys',
    silentSince: 0,
    unreadable: false,
    ordinal: 1,
    initials: '',
    tint: 0,
    muted: true,
    speaking: false,
    spokeAt: 0,
    weak: false,
    videoPaused: false,
    screenPaused: false,
    video: null,
    screen: null,
    ...change,
  };
}

const people = (...identities: string[]) => [...identities, 'me'].map((identity) => person(identity));

let options: Options;
let stage: StageModel;
let told: Message[];
let said: Message[];

beforeEach(() => {
  const world = new World();
  options = new Options(world.ports.local);
  told = [];
  said = [];
  const announcer = new Announcer(world.clock);
  announcer.polite.subscribe((messages) => said.push(...messages));
  stage = new StageModel(options, announcer, (message) => told.push(message));
  stage.follow();
  stage.resize(DESKTOP, false);
});

const layout = () => stage.view.get().layout;
const large = () => {
  const tile = layout().tiles.find(({ place }) => place === 'large');
  return tile && `${tile.source} ${tile.identity}`;
};
const shown = () => layout().tiles.map(({ identity }) => identity);

describe('a pin', () => {
  const deniz = { identity: 'deniz', source: 'camera' } as const;

  it('makes somebody large until it is taken away', () => {
    stage.update(people('anna', 'deniz'), 0);
    stage.togglePin(deniz);
    expect(large()).toBe('camera deniz');
    stage.togglePin(deniz);
    expect(large()).toBeUndefined();
  });

  it('goes over to another one', () => {
    stage.update(people('anna', 'deniz'), 0);
    stage.togglePin(deniz);
    stage.togglePin({ identity: 'anna', source: 'camera' });
    expect(large()).toBe('camera anna');
  });

  it('stays when others come and go, and ends when the person leaves', () => {
    stage.update(people('anna', 'deniz'), 0);
    stage.togglePin(deniz);
    stage.update(people('anna', 'deniz', 'miriam'), 1);
    stage.update(people('deniz', 'miriam'), 2);
    expect(large()).toBe('camera deniz');
    stage.update(people('miriam', 'thomas'), 3);
    expect(stage.view.get().pinned).toBeNull();
    stage.update(people('deniz', 'miriam', 'thomas'), 4);
    expect(large()).toBeUndefined();
  });

  it('outlives a connection that was away: who is missing then comes back', () => {
    stage.update(people('anna', 'deniz'), 0);
    stage.togglePin(deniz);
    stage.update(people('anna'), 1, false);
    expect(large()).toBeUndefined();
    stage.update(people('anna', 'deniz'), 2, false);
    expect(large()).toBe('camera deniz');
    stage.update(people('anna'), 3, false);
    stage.update(people('anna'), 4, true);
    expect(stage.view.get().pinned).toBeNull();
  });

  it('on a screen ends with the screen', () => {
    const sharing = (...identities: string[]) =>
      people('anna', 'deniz').map((one) =>
        identities.includes(one.identity) ? { ...one, screen: picture } : one,
      );
    stage.update(sharing('anna'), 0);
    stage.update(sharing('anna', 'deniz'), 1);
    expect(large()).toBe('screen_share deniz');
    stage.togglePin({ identity: 'anna', source: 'screen_share' });
    expect(large()).toBe('screen_share anna');
    stage.update(sharing('deniz'), 2);
    expect(large()).toBe('screen_share deniz');
    expect(stage.view.get().pinned).toBeNull();
  });

  it('is offered where there is a choice', () => {
    expect(canPin(people('anna'))).toBe(false);
    expect(canPin(people('anna', 'deniz'))).toBe(true);
    expect(canPin([person('anna', { screen: picture }), person('me')])).toBe(true);
    expect(canPin([person('anna'), person('me', { screen: picture })])).toBe(false);
  });
});

describe('the view', () => {
  it('changes, says so and is remembered', () => {
    stage.update(people('anna', 'deniz'), 0);
    stage.toggleView();
    expect(large()).toBe('camera anna');
    expect(options.view.get().layout).toBe('speaker');
    stage.toggleView();
    expect(large()).toBeUndefined();
    expect(said.map(({ key }) => key)).toEqual(['layout.speaker', 'layout.equal']);
  });
});

describe('pages', () => {
  const thirty = people(...Array.from({ length: 29 }, (_, i) => `p${i}`));

  it('are turned one by one, are announced, and end', () => {
    stage.update(thirty, 0);
    stage.turn(-1);
    expect(said).toEqual([]);
    stage.turn(1);
    stage.turn(1);
    expect(layout().pages).toMatchObject({ page: 1, count: 2 });
    expect(said).toEqual([{ key: 'stage.page-now', args: { page: 2, pages: 2 } }]);
  });

  it('keep their people whoever speaks', () => {
    stage.update(thirty, 0);
    const before = layout();
    stage.update(
      thirty.map((one) => (one.identity === 'p28' ? { ...one, speaking: true, spokeAt: 1 } : one)),
      1,
    );
    expect(layout()).toBe(before);
  });

  it('are fewer when people leave', () => {
    stage.update(thirty, 0);
    stage.turn(1);
    stage.update(thirty.slice(10), 1);
    expect(layout().pages).toBeNull();
    expect(shown()).toHaveLength(20);
  });
});

describe('one’s own picture', () => {
  it('is hidden with a word about the way back, and shown again', () => {
    stage.update(people('anna', 'deniz'), 0);
    stage.setOwnHidden(true);
    expect(shown()).toEqual(['anna', 'deniz']);
    expect(told).toEqual([{ key: 'own-view.hidden' }]);
    stage.setOwnHidden(false);
    expect(shown()).toEqual(['anna', 'deniz', 'me']);
  });

  it('moves to another corner, for the next meeting too', () => {
    stage.update(people('anna'), 0);
    const before = layout().tiles[1]?.rect;
    stage.moveOwn('top-left');
    expect(layout().tiles[1]?.rect).toMatchObject({ x: 14, y: 14 });
    expect(before?.x).toBeGreaterThan(1000);
    expect(options.view.get().ownCorner).toBe('top-left');
  });
});

describe('a shared screen', () => {
  it('is as wide as it is sent', () => {
    stage.update([person('anna', { screen: picture }), person('deniz'), person('me')], 0);
    stage.setRatio('anna', 4 / 3);
    const tile = layout().tiles[0];
    expect(tile && tile.rect.width / tile.rect.height).toBeCloseTo(4 / 3);
  });
});

describe('the store', () => {
  it('tells nobody when nothing changed', () => {
    stage.update(people('anna', 'deniz'), 0);
    let calls = 0;
    stage.view.subscribe(() => calls++);
    stage.update(people('anna', 'deniz'), 1);
    stage.resize(DESKTOP, false);
    expect(calls).toBe(1);
  });
});

describe('the large speaker', () => {
  const speaking = (...identities: string[]) =>
    ['anna', 'deniz', 'me'].map((identity) => ({
      identity,
      isLocal: identity === 'me',
      speaking: identities.includes(identity),
    }));

  it('is the first one who speaks, at once', () => {
    const speaker = new LargeSpeaker();
    expect(speaker.update(speaking(), 0)).toBeNull();
    speaker.update(speaking('deniz'), 100);
    expect(speaker.shown).toBe('deniz');
  });

  it('changes only after somebody else spoke for a while', () => {
    const speaker = new LargeSpeaker();
    speaker.update(speaking('anna'), 0);
    expect(speaker.update(speaking('deniz'), 5000)).toBe(5000 + LARGE_AFTER_MS);
    speaker.update(speaking('deniz'), 5000 + LARGE_AFTER_MS - 1);
    expect(speaker.shown).toBe('anna');
    speaker.update(speaking('deniz'), 5000 + LARGE_AFTER_MS);
    expect(speaker.shown).toBe('deniz');
  });

  it('does not flutter: a word in between, or both at once, changes nothing', () => {
    const speaker = new LargeSpeaker();
    speaker.update(speaking('anna'), 0);
    for (let now = 1000; now < 20_000; now += 1000) {
      speaker.update(speaking('deniz'), now);
      speaker.update(speaking(), now + 900);
    }
    expect(speaker.shown).toBe('anna');
    speaker.update(speaking('anna', 'deniz'), 20_000);
    speaker.update(speaking('anna', 'deniz'), 60_000);
    expect(speaker.shown).toBe('anna');
  });

  it('is never oneself, and nobody who left', () => {
    const speaker = new LargeSpeaker();
    speaker.update(speaking('me'), 0);
    speaker.update(speaking('me'), 9000);
    expect(speaker.shown).toBeNull();
    speaker.update(speaking('deniz'), 10_000);
    speaker.update(
      speaking().filter(({ identity }) => identity !== 'deniz'),
      11_000,
    );
    expect(speaker.shown).toBeNull();
  });
});
