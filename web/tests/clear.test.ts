import { beforeEach, describe, expect, it, vi } from 'vitest';
import de from '../locales/de.json';
import { fragmentOf } from '../src/crypto/link';
import { translator } from '../src/i18n';
import { AppModel } from '../src/state/app';
import type { MeetingModel } from '../src/state/meeting';
import type { PreJoinModel } from '../src/state/prejoin';
import { FakeConnection, participant, until, World } from '../scripted/world';

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';

let world: World;
let app: AppModel;

beforeEach(() => {
  world = new World();
  world.local.set('konklave.name', 'Anna Berger');
  world.mode = 'clear';
  world.running = true;
});

async function open(fragment = '', path = '/Vortrag'): Promise<PreJoinModel> {
  world.visit(path, fragment);
  app = new AppModel(world.ports);
  const screen = app.screen.get();
  if (screen.kind !== 'prejoin') throw new Error(screen.kind);
  const { model } = screen;
  await until(() => !model.view.get().asking && model.view.get().link.kind !== 'asking');
  return model;
}

function meeting(): MeetingModel {
  const screen = app.screen.get();
  if (screen.kind !== 'meeting') throw new Error(screen.kind);
  return screen.model;
}

async function joined(): Promise<MeetingModel> {
  await (await open()).joinAnyway();
  return meeting();
}

const link = (model: PreJoinModel) => model.view.get().link.kind;

describe('a bare link to a room that another program opened', () => {
  it('asks before anything is connected', async () => {
    const model = await open();
    expect(link(model)).toBe('clear');
    await model.join();
    expect([world.connections, world.keysOpened, world.fragment]).toEqual([[], [], '']);
  });

  it('leads in without keys once somebody wants that', async () => {
    const model = await joined();
    expect(world.connectedWith).toEqual([{ speaker: null, keys: null }]);
    expect(world.keysOpened).toEqual([]);
    expect(world.fragment).toBe('');
    expect(model.view.get()).toMatchObject({ secret: null, invitation: 'https://meet.example/Vortrag' });
  });

  it('tells the server the name then, and not before; nothing is sealed', async () => {
    await joined();
    expect(world.joins.map(({ request }) => request)).toEqual([{}, { name: 'Anna Berger' }]);
  });

  it('is asked for also while the room waits for its first participant', async () => {
    world.running = false;
    expect(link(await open())).toBe('clear');
  });

  it('needs no browser that can encrypt', async () => {
    world.keysObstacle = 'unsupported';
    const model = await open();
    expect(model.view.get().refusal).toBeNull();
    await model.joinAnyway();
    expect(app.screen.get().kind).toBe('meeting');
  });

  it('starts an encrypted room where that one has ended meanwhile', async () => {
    const model = await open();
    Object.assign(world, { mode: 'mls', running: false });
    await model.joinAnyway();
    expect(world.connections).toEqual([]);
    await until(() => link(model) === 'ready');
    expect(world.fragment).toMatch(/^#1.{21}$/);
  });

  it('is not entered again without being asked where it has become an encrypted one', async () => {
    const model = await joined();
    Object.assign(world, { mode: 'mls', running: true });
    world.connection.end('lost');
    expect(app.screen.get().kind).toBe('left');
    await app.rejoin();
    expect(app.screen.get()).toMatchObject({ kind: 'left', refusal: { code: 'not-clear' } });
    expect(world.connections).toHaveLength(1);
    expect(model.settings.secret).toBeNull();
  });

  it('takes nobody in as somebody else', async () => {
    const model = await open();
    world.connectedAs = () => 'somebody-else';
    await model.joinAnyway();
    expect(model.view.get().refusal?.code).toBe('identity-changed');
    expect(world.connection.left).toBe(true);
  });
});

describe('a link with a secret', () => {
  it('is encrypted, whatever the server says of the room', async () => {
    for (const running of [true, false]) {
      world.running = running;
      const model = await open(fragmentOf(SECRET));
      expect(link(model)).toBe('ready');
      await model.joinAnyway();
      expect(app.screen.get().kind).toBe('prejoin');
      await model.join();
      expect(world.connectedWith.at(-1)?.keys).toBe(world.keys);
      expect(world.joins.at(-1)?.request).not.toHaveProperty('name');
      expect(meeting().lock().kind).not.toBe('off');
      await meeting().leave();
    }
  });

  it('with a mistake in it asks for the code, and never for less', async () => {
    const model = await open('#1K7F3Q9XM2B8DW5TZ6C4NA');
    expect(model.view.get().link).toEqual({ kind: 'code', why: 'broken-link' });
    await model.joinAnyway();
    expect(world.connections).toEqual([]);
  });

  it('made on the start page does not give way to a room without', async () => {
    world.running = false;
    world.visit('/');
    app = new AppModel(world.ports);
    const screen = app.screen.get();
    if (screen.kind !== 'start') throw new Error(screen.kind);
    screen.model.setRoom('Vortrag');
    screen.model.start();
    const before = app.screen.get();
    if (before.kind !== 'prejoin') throw new Error(before.kind);
    await until(() => world.joins.length > 0 && !before.model.view.get().asking);
    expect(link(before.model)).toBe('ready');
    await before.model.join();
    expect(world.connectedWith.at(-1)?.keys).toBe(world.keys);
  });
});

describe('a meeting without keys', () => {
  it('says so for as long as it lasts', async () => {
    const model = await joined();
    const { kind, title, text, holders, comparable } = model.lock();
    const t = translator('de', de);
    expect([kind, t(title.key), t(text.key)]).toEqual([
      'off',
      'NICHT Ende-zu-Ende verschlüsselt',
      'weil dieser Raum für andere Programme geöffnet wurde. Wer den Server betreibt, könnte mithören.',
    ]);
    expect([holders, comparable]).toEqual([[], null]);
    world.connection.break();
    expect(model.lock().kind).toBe('off');
  });

  it('calls people what the server calls them, tidied, and marks no keys', async () => {
    world.present = [
      participant('sdk', { name: 'Deniz\u202E\n Yılmaz' }),
      participant('nameless', { metadata: '{"name":"Karl"}' }),
    ];
    const model = await joined();
    const { people } = model.view.get();
    expect(people.map(({ name }) => name)).toEqual([
      { kind: 'name', name: 'Deniz Yılmaz' },
      { kind: 'unnamed' },
      { kind: 'name', name: 'Anna Berger' },
    ]);
    world.clock.pass(60_000);
    expect(model.view.get().people.map(({ trust, unreadable }) => [trust, unreadable])).toEqual([
      ['none', false],
      ['none', false],
      ['none', false],
    ]);
  });

  it('says whose streams are encrypted under other keys', async () => {
    world.present = [
      participant('b', { camera: { muted: false, video: null, foreign: true } }),
      participant('c', { microphone: { muted: false, video: null, foreign: true } }),
      participant('d', { camera: { muted: false, video: null, foreign: false } }),
    ];
    const { people } = (await joined()).view.get();
    expect(people.map(({ unreadable }) => unreadable)).toEqual([true, true, false, false]);
  });

  it('is written in as LiveKit’s clients do', async () => {
    world.present = [participant('sdk', { name: 'Recorder' })];
    const model = await joined();
    world.connection.emit('said', 'sdk', '1', 'Hallo <b>alle</b>');
    world.connection.emit('said', 'sdk', '1', 'noch einmal');
    model.setDraft('Guten Tag');
    model.sendDraft();
    expect(world.connection.said).toEqual(['Guten Tag']);
    expect(
      model.view.get().chat.messages.map(({ author, text, own, pending }) => [author, text, own, pending]),
    ).toEqual([
      [{ kind: 'name', name: 'Recorder' }, 'Hallo <b>alle</b>', false, undefined],
      [{ kind: 'name', name: 'Anna Berger' }, 'Guten Tag', true, false],
    ]);
  });

  it('sends what did not go out once it can', async () => {
    const model = await joined();
    vi.spyOn(FakeConnection.prototype, 'say').mockRejectedValueOnce(new Error('no way'));
    model.setDraft('Guten Tag');
    model.sendDraft();
    const pending = () => model.view.get().chat.messages[0]?.pending;
    await until(() => pending() === true);
    world.clock.pass(500);
    expect([pending(), world.connection.said]).toEqual([false, ['Guten Tag']]);
  });

  it('ends with its connection, and leaves nothing behind', async () => {
    const model = await joined();
    await model.leave();
    expect(app.screen.get().kind).toBe('left');
    world.connection.emit('said', 'sdk', '2', 'zu spät');
    expect(model.view.get().chat.messages).toEqual([]);
    expect(world.clock.timers).toBe(0);
  });
});
