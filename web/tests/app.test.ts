import { beforeEach, describe, expect, it } from 'vitest';
import { ApiError } from '../src/api/errors';
import { fragmentOf } from '../src/crypto/link';
import { AppModel } from '../src/state/app';
import type { MeetingModel } from '../src/state/meeting';
import type { PreJoinModel } from '../src/state/prejoin';
import { until, World } from '../scripted/world';

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';

let world: World;
let app: AppModel;

beforeEach(() => {
  world = new World();
});

function open(path: string, fragment = ''): AppModel {
  world.path = path;
  world.fragment = fragment;
  app = new AppModel(world.ports);
  return app;
}

const kind = () => app.screen.get().kind;

function prejoin(): PreJoinModel {
  const screen = app.screen.get();
  if (screen.kind !== 'prejoin') throw new Error(`on ${screen.kind}`);
  return screen.model;
}

function meeting(): MeetingModel {
  const screen = app.screen.get();
  if (screen.kind !== 'meeting') throw new Error(`on ${screen.kind}`);
  return screen.model;
}

async function join(): Promise<void> {
  await until(() => !prejoin().view.get().asking && prejoin().view.get().link.kind === 'ready');
  prejoin().setName('Anna');
  await prejoin().join();
  await until(() => kind() === 'meeting');
}

describe('the way through the screens', () => {
  it('leads from the start page to the meeting, out of it, and back in', async () => {
    open('/');
    const screen = app.screen.get();
    if (screen.kind !== 'start') throw new Error(`on ${screen.kind}`);
    screen.model.setRoom('Kollegium 7b');
    screen.model.start();
    expect(world.path).toBe('/Kollegium-7b');
    expect(world.fragment).toMatch(/^#1/);
    await join();
    await until(() => world.connection.published.length === 2);
    expect(meeting().view.get().invitation).toBe(`https://meet.example/Kollegium-7b${world.fragment}`);

    await meeting().leave();
    expect(app.screen.get()).toMatchObject({ kind: 'left', refusal: null });
    await app.rejoin();
    expect(kind()).toBe('meeting');
    expect(world.connections).toHaveLength(2);
    await until(() => world.connection.published.length === 2);
  });

  it('rejoins muted who left muted', async () => {
    open('/test', fragmentOf(SECRET));
    await until(() => !prejoin().view.get().asking);
    await prejoin().toggle('microphone');
    await join();
    await meeting().leave();
    await app.rejoin();
    await until(() => world.connection.published.length === 1);
    expect(world.connection.published[0]?.video).not.toBeNull();
  });

  it('opens the devices before it connects again, and closes them where that fails', async () => {
    open('/test', fragmentOf(SECRET));
    await join();
    await meeting().leave();
    world.opened = [];
    const openedAtJoin: number[] = [];
    world.refuse = () => {
      openedAtJoin.push(world.opened.length);
      return new ApiError('full', 403);
    };
    await app.rejoin();
    expect(openedAtJoin).toEqual([2]);
    expect(world.opened.every((track) => track.stopped)).toBe(true);
  });

  it('leads to the end of a meeting that was over before it was shown', async () => {
    open('/test', fragmentOf(SECRET));
    await until(() => !prejoin().view.get().asking);
    world.connectionState = { phase: 'ended', cause: 'server-stopped' };
    prejoin().setName('Anna');
    await prejoin().join();
    expect(app.screen.get()).toMatchObject({ kind: 'left', refusal: { code: 'server-stopped' } });
    expect(world.opened.every((track) => track.stopped)).toBe(true);
  });

  it('says why it ended, and why joining again did not work', async () => {
    open('/test', fragmentOf(SECRET));
    await join();
    world.connection.emit('disconnected', 'lost');
    expect(app.screen.get()).toMatchObject({ kind: 'left', refusal: { code: 'lost' } });
    world.refuse = () => new ApiError('full', 403);
    await app.rejoin();
    expect(app.screen.get()).toMatchObject({ kind: 'left', rejoining: false, refusal: { code: 'full' } });
  });

  it('joins again by itself when only the server took one for gone', async () => {
    open('/test', fragmentOf(SECRET));
    await join();
    world.clock.pass(20_000);
    world.keys.stop('ended');
    world.clock.pass(3000);
    await until(() => kind() === 'meeting');
    expect(world.connections).toHaveLength(2);
    world.keys.stop('ended');
    world.clock.pass(3000);
    expect(app.screen.get()).toMatchObject({ kind: 'left', rejoining: false, refusal: { code: 'ended' } });
  });

  it('refuses addresses that name no room', () => {
    for (const path of ['/api', '/a%2Fb', '/%E0%A4%A', `/${'a'.repeat(65)}`]) {
      expect(open(path).screen.get().kind).toBe('no-room');
    }
    app.goToStart();
    expect(kind()).toBe('start');
    expect(world.path).toBe('/');
  });
});

describe('the address bar', () => {
  it('leads on when a link is pasted over the present one', async () => {
    open('/test');
    await until(() => prejoin().view.get().link.kind === 'ready');
    const before = prejoin();
    world.visit('/test', fragmentOf(SECRET));
    expect(prejoin()).not.toBe(before);
    expect(prejoin().view.get().link).toEqual({ kind: 'ready', secret: SECRET });
  });

  it('leaves the meeting when one goes back', async () => {
    open('/test', fragmentOf(SECRET));
    await join();
    world.visit('/', '');
    expect(kind()).toBe('start');
    expect(world.connection.left).toBe(true);
  });

  it('keeps the meeting when nothing about it changed', async () => {
    open('/test', fragmentOf(SECRET));
    await join();
    const before = meeting();
    world.visit('/Test/', fragmentOf(SECRET).toLowerCase());
    expect(meeting()).toBe(before);
    expect(world.connection.left).toBe(false);
    expect([world.path, world.fragment]).toEqual(['/test', fragmentOf(SECRET)]);
  });

  it('switches the devices off when one goes away from pre-join', async () => {
    open('/test', fragmentOf(SECRET));
    await until(() => world.opened.length === 2 && !prejoin().view.get().asking);
    app.goToStart();
    expect(world.opened.every((track) => track.stopped)).toBe(true);
  });
});
