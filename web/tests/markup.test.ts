import { render } from 'svelte/server';
import type { Component } from 'svelte';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { fragmentOf, parseFragment } from '../src/crypto/link';
import { setLanguage } from '../src/i18n';
import { DeviceError } from '../src/rtc/types';
import { PAGE, TEXT_MAX } from '../src/state/chat';
import { TabIdentity } from '../src/state/identity';
import { MeetingModel } from '../src/state/meeting';
import { PreJoinModel } from '../src/state/prejoin';
import Meeting from '../src/ui/Meeting.svelte';
import Alone from '../src/ui/meeting/Alone.svelte';
import Bar from '../src/ui/meeting/Bar.svelte';
import Chat from '../src/ui/meeting/Chat.svelte';
import People from '../src/ui/meeting/People.svelte';
import Top from '../src/ui/meeting/Top.svelte';
import NoRoom from '../src/ui/NoRoom.svelte';
import { phone } from '../src/ui/phone';
import PreJoin from '../src/ui/PreJoin.svelte';
import type { FakeKeys } from '../scripted/keys';
import { FakeConnection, participant, until, World } from '../scripted/world';

vi.mock('../src/ui/phone', () => ({ phone: { current: false }, narrow: { current: false } }));

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';
const nothing = () => undefined;

let world: World;
let connection: FakeConnection;
let keys: FakeKeys;
let model: MeetingModel;

/** The markup of a component, without the marks of hydration. */
function markup<Props extends Record<string, unknown>>(component: Component<Props>, props: Props): string {
  return render(component as Component, { props }).body.replace(/<!--.*?-->/gs, '');
}

/** The start tag of the element with that test id. */
function tag(html: string, testid: string): string {
  const found = new RegExp(`<[^>]*data-testid="${testid}"[^>]*>`).exec(html);
  if (!found) throw new Error(`no ${testid}`);
  return found[0];
}

beforeAll(async () => {
  vi.stubGlobal('document', { documentElement: {} });
  await setLanguage('de');
});

beforeEach(async () => {
  Object.assign(phone, { current: false });
  world = new World();
  connection = new FakeConnection('me');
  keys = world.openKeys('me', 'Anna');
  keys.connect('wss://meet.example', 'test', 'token');
  model = new MeetingModel(
    world.ports,
    { room: 'test', connection, keys },
    {
      room: 'test',
      secret: SECRET,
      name: 'Anna',
      microphone: { on: false, id: '' },
      camera: { on: false, id: '' },
      speaker: '',
    },
    nothing,
  );
});

describe('the invitation of somebody alone', () => {
  it('gives way while the connection is away, when nobody knows who is there', () => {
    expect(markup(Meeting, { model })).toContain('alone-copy-invite');
    connection.break();
    const html = markup(Meeting, { model });
    expect(html).not.toContain('alone-copy-invite');
    expect(tag(html, 'connection-state')).toContain('data-state="reconnecting"');
  });
});

describe('controls', () => {
  it.each([
    ['toggle-mic', 'Mikro aus', 'Mikro'],
    ['toggle-camera', 'Kamera aus', 'Kamera'],
    ['toggle-share', 'Teilen', 'Teilen aus'],
  ])('are named as they are labelled, without a second state (%s)', async (testid, before, after) => {
    const control = () => markup(Bar, { model, phone: false, onshortcuts: nothing });
    expect(control()).toContain(`>${before}</span>`);
    expect(tag(control(), testid)).toContain(`aria-label="${before}"`);
    await model.devices.toggleMicrophone();
    await model.devices.toggleCamera();
    await model.devices.toggleShare();
    expect(control()).toContain(`>${after}</span>`);
    expect(tag(control(), testid)).toContain(`aria-label="${after}"`);
    expect(tag(control(), testid)).not.toContain('aria-pressed');
  });
});

describe('a screen reader', () => {
  it('hears what the clock counts, in words that it may read there', () => {
    expect(markup(Top, { model, phone: false })).toMatch(
      /<time[^>]*><span class="sr-only[^"]*">Dauer<\/span> [\d:]+<\/time>/,
    );
  });

  it('hears the code digit by digit', () => {
    const html = markup(Alone, { model });
    expect(html).toContain('K 7 F 3 Q, 9 X M 2 B, 8 D W 5 T, Z 6 C 4 N, ');
    expect(html).not.toMatch(/<(p|time)[^>]*aria-label/);
  });

  it('is interrupted only by a lost connection and by a lock that got worse', () => {
    const loud = () =>
      markup(Meeting, { model }).match(/<[^>]*(role="alert"|aria-live="assertive")[^>]*>[^<]*/g);
    connection.emit('soundBlocked', true);
    expect(loud()).toBe(null);
    model.compared(model.lock().comparable?.epoch ?? 0, false);
    expect(loud()).toEqual([expect.stringContaining('Die Zahlen stimmen nicht überein')]);
    model.dismissToast();
    connection.break();
    expect(loud()).toEqual([expect.stringContaining('Die Verbindung ist unterbrochen')]);
  });

  it('can start from the heading of every screen', () => {
    const prejoin = new PreJoinModel(world.ports, new TabIdentity(world.ports), nothing, {
      room: 'test',
      fragment: parseFragment(fragmentOf(SECRET)),
      fresh: false,
    });
    for (const html of [
      markup(Top, { model, phone: false }),
      markup(NoRoom, { refusal: { code: 'room-reserved', key: 'error.room-reserved' }, onhome: nothing }),
      markup(PreJoin, { model: prejoin, canChooseSpeaker: true, onhome: nothing }),
    ]) {
      expect(html).toMatch(/<h1[^>]*tabindex="-1"/);
    }
  });
});

describe('a sheet on a phone', () => {
  const inert = () =>
    [...markup(Meeting, { model }).matchAll(/<(header|main|section|footer)[^>]* inert/g)].map(
      ([, tag]) => tag,
    );

  it('takes everything under it from the focus, but not what is said above it', () => {
    model.openPanel('chat');
    expect(inert()).toEqual([]);
    Object.assign(phone, { current: true });
    expect(inert()).toEqual(['header', 'main', 'footer']);
    model.openPanel(null);
    expect(inert()).toEqual([]);
  });
});

describe('the chat', () => {
  const chat = () => markup(Chat, { model });
  const count = (html: string) => html.split('data-testid="chat-message"').length - 1;

  async function receive(...texts: string[]) {
    const before = model.view.get().chat.messages.length;
    for (const [i, text] of texts.entries()) keys.chat('b', `${i}`, text);
    await until(() => model.view.get().chat.messages.length === before + texts.length);
  }

  it('of 5,000 messages draws a few hundred, and offers the older ones', async () => {
    await receive(...Array.from({ length: 5000 }, (_, i) => `Nachricht ${i}.`));
    const html = chat();
    expect(count(html)).toBeLessThan(2 * PAGE);
    expect(html).toContain('Nachricht 4999.');
    expect(html).toContain('chat-older');
    expect(html).not.toContain('Wer gerade im Meeting ist');
  });

  it('shows what looks like markup as text, and opens nothing but web addresses', async () => {
    await receive('<img src=x onerror=alert(1)> javascript:alert(1) https://a.example');
    const html = chat();
    expect(html).toContain('&lt;img');
    expect(html.match(/<a [^>]*>/g)?.map((link) => /href="([^"]*)"/.exec(link)?.[1])).toEqual([
      'https://a.example/',
    ]);
    expect(html).toContain('rel="noopener noreferrer nofollow"');
  });

  it('folds a long message and keeps its text', async () => {
    await receive('a'.repeat(3000));
    expect(chat()).toContain('a'.repeat(3000));
    expect(chat()).toContain('Ganz zeigen');
  });

  it('says how much too long a message is, and sends it only when it fits', () => {
    model.setDraft('a'.repeat(TEXT_MAX + 500));
    expect(chat()).toContain('500 Zeichen zu viel. In eine Nachricht passen 4.000.');
    expect(tag(chat(), 'chat-send')).toContain('disabled');
    model.setDraft('a'.repeat(TEXT_MAX - 1));
    expect(chat()).toContain('Noch 1 Zeichen.');
    expect(tag(chat(), 'chat-send')).not.toContain('disabled');
  });
});

describe('the people', () => {
  it('can be searched from eight on', async () => {
    connection.now(...Array.from({ length: 6 }, (_, i) => participant(`p${i}`)));
    await until(() => model.view.get().people.length === 7);
    expect(markup(People, { model })).not.toContain('people-search');
    connection.now(...Array.from({ length: 7 }, (_, i) => participant(`p${i}`)));
    const html = markup(People, { model });
    expect(html).toContain('people-search');
    expect(html).toContain('Personen (8)');
  });

  it('are listed with what they do', async () => {
    const open = { muted: false, video: { attach: () => () => undefined } };
    const speaking = participant('p', { microphone: open, screen: open, speaking: true });
    connection.now(speaking);
    world.clock.pass(300);
    const html = markup(People, { model });
    expect(html).toContain('spricht');
    expect(html).toContain('teilt den Bildschirm');
    expect(html).toContain('ohne Bild');
    connection.now({ ...speaking, microphone: { muted: true, video: null } });
    expect(markup(People, { model })).not.toContain('spricht');
  });
});

describe('pre-join', () => {
  it('offers to try a busy camera again', async () => {
    world.deviceErrors = { camera: new DeviceError('camera', 'busy') };
    const prejoin = new PreJoinModel(world.ports, new TabIdentity(world.ports), nothing, {
      room: 'test',
      fragment: parseFragment(fragmentOf(SECRET)),
      fresh: false,
    });
    await until(() => !prejoin.view.get().asking);
    const html = markup(PreJoin, { model: prejoin, canChooseSpeaker: true, onhome: nothing });
    expect(html).toContain('Ein anderes Programm benutzt die Kamera.');
    expect(html).toContain('Noch einmal versuchen');
  });
});

describe('a room that is not end-to-end encrypted', () => {
  beforeEach(() => {
    model = new MeetingModel(
      world.ports,
      { connection, keys: null, room: 'test' },
      { ...model.settings, secret: null },
      nothing,
    );
  });

  it('is said to be so before one joins, and nothing else is said', async () => {
    world.mode = 'clear';
    const prejoin = new PreJoinModel(world.ports, new TabIdentity(world.ports), nothing, {
      room: 'test',
      fragment: null,
      fresh: false,
    });
    await until(() => prejoin.view.get().link.kind === 'clear');
    const html = markup(PreJoin, { model: prejoin, canChooseSpeaker: true, onhome: nothing });
    expect(html.match(/data-testid="encryption-state"/g)).toHaveLength(1);
    expect(tag(html, 'encryption-state')).toContain('data-state="off"');
    expect(html).toContain('weil dieser Raum für andere Programme geöffnet wurde.');
    expect(html).not.toContain('Der Server kann es nicht.');
    expect(html).not.toContain('prejoin-join');
    expect(tag(html, 'prejoin-anyway')).toContain('type="button"');
  });

  it('is spelled out on phones as well', () => {
    for (const narrow of [false, true]) {
      const html = markup(Top, { model, phone: narrow });
      expect(tag(html, 'encryption-state')).toMatch(/class="lock careful[^"]*" .*data-state="off"/);
      expect(html.replaceAll(/<\/?span[^>]*>/g, '')).toContain('NICHT Ende-zu-Ende verschlüsselt');
      expect(html).not.toMatch(/<\/svg>\s*<span class="[^"]*sr-only/);
    }
  });

  it('has no code to read out and no marks of keys', () => {
    const alone = markup(Alone, { model });
    expect(alone).not.toContain('class="digits');
    expect(decodeURIComponent(alone)).toContain('Dieser Raum ist NICHT Ende-zu-Ende verschlüsselt.');
    expect(markup(People, { model })).not.toContain('data-trust');
  });
});
