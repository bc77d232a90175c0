import { beforeEach, describe, expect, it } from 'vitest';
import { Backoff } from '../../../src/e2ee/keys/backoff';
import { Channel } from '../../../src/e2ee/keys/channel';
import { FakeClock } from '../../../scripted/world';
import { FakeSocket } from './hall';

let clock: FakeClock;
let sockets: FakeSocket[];
let heard: string[];
let channel: Channel;

beforeEach(() => {
  clock = new FakeClock();
  sockets = [];
  heard = [];
  channel = new Channel(
    {
      open: (address) => {
        const socket = new FakeSocket(address);
        sockets.push(socket);
        return socket;
      },
      later: (run, ms) => clock.after(ms, run),
      chance: () => 1,
    },
    {
      connected: () => heard.push('connected'),
      disconnected: () => heard.push('disconnected'),
      message: (data) => heard.push(String(data)),
    },
  );
});

describe('pauses between tries', () => {
  it('grow from 0.3 to 5 seconds, and begin anew', () => {
    const most = new Backoff(() => 1);
    expect(Array.from({ length: 6 }, () => most.next())).toEqual([600, 1200, 2400, 4800, 5000, 5000]);
    most.reset();
    expect(most.next()).toBe(600);
    const least = new Backoff(() => 0);
    expect(Array.from({ length: 3 }, () => least.next())).toEqual([300, 300, 300]);
  });
});

describe('a channel', () => {
  it('carries messages both ways while it is open', () => {
    channel.start('wss://a/channel', 'a token');
    channel.send('lost');
    expect(sockets[0]?.address).toBe('wss://a/channel?access_token=a%20token');
    sockets[0]?.open();
    channel.send('hello');
    sockets[0]?.say(1);
    expect(sockets[0]?.sent).toEqual(['hello']);
    expect(heard).toEqual(['connected', '1']);
  });

  it('that never opened was never closed', () => {
    channel.start('wss://a', 'x');
    sockets[0]?.close();
    expect(heard).toEqual([]);
    clock.pass(600);
    expect(sockets).toHaveLength(2);
  });

  it('waits longer each time, until one lasts', () => {
    channel.start('wss://a', 'x');
    for (const pause of [600, 1200, 2400]) {
      sockets.at(-1)?.open();
      sockets.at(-1)?.close();
      const { length } = sockets;
      clock.pass(pause - 1);
      expect(sockets).toHaveLength(length);
      clock.pass(1);
      expect(sockets).toHaveLength(length + 1);
    }
    sockets.at(-1)?.open();
    clock.pass(5000);
    sockets.at(-1)?.close();
    clock.pass(600);
    expect(sockets).toHaveLength(5);
  });

  it('that was stopped stays closed, and says when', () => {
    channel.start('wss://a', 'x');
    sockets[0]?.open();
    channel.stop(() => heard.push('stopped'));
    expect(heard).toEqual(['connected', 'stopped']);
    clock.pass(60_000);
    channel.start('wss://a', 'x');
    expect(sockets).toHaveLength(1);
    expect(clock.timers).toBe(0);
  });

  it('that waits for another try is stopped at once', () => {
    channel.start('wss://a', 'x');
    sockets[0]?.close();
    channel.stop(() => heard.push('stopped'));
    expect(heard).toEqual(['stopped']);
    expect(clock.timers).toBe(0);
  });

  /** What was said on it, and whether the way is still there. */
  const open = (answers = true) => {
    const socket = sockets.at(-1) ?? new FakeSocket('');
    socket.open();
    socket.close = () => undefined;
    socket.send = (text) => {
      socket.sent.push(text);
      if (answers) clock.after(100, () => socket.say({ type: 'pong' }));
    };
    return socket;
  };

  it('is asked for only where nobody says anything', () => {
    channel.start('wss://a', 'x');
    const socket = open();
    for (let turn = 0; turn < 20; turn++) {
      clock.pass(1000);
      socket.say(turn);
    }
    expect(socket.sent).toEqual([]);
    clock.pass(60_000);
    expect(socket.sent.length).toBeGreaterThan(5);
    expect(new Set(socket.sent)).toEqual(new Set(['{"type":"ping"}']));
    expect(sockets).toHaveLength(1);
  });

  it('that is silent is given up after 15 seconds, and opened again', () => {
    channel.start('wss://a', 'x');
    const dead = open(false);
    clock.pass(14_900);
    expect(heard).toEqual(['connected']);
    clock.pass(100);
    expect(heard).toEqual(['connected', 'disconnected']);
    clock.pass(600);
    expect(sockets).toHaveLength(2);
    open();
    dead.say('late');
    clock.pass(60_000);
    expect(heard.filter((text) => text === '"late"')).toEqual([]);
    expect(sockets).toHaveLength(2);
  });

  it('is looked at sooner after the line was away', () => {
    channel.start('wss://a', 'x');
    channel.check();
    open(false);
    channel.check();
    clock.pass(4000);
    expect(heard).toEqual(['connected', 'disconnected']);
    clock.pass(600);
    open();
    channel.check();
    clock.pass(60_000);
    expect(sockets).toHaveLength(2);
  });

  it('that does not open is tried again', () => {
    channel.start('wss://a', 'x');
    Object.assign(sockets[0] ?? {}, { close: () => undefined });
    clock.pass(10_600);
    expect(sockets).toHaveLength(2);
    expect(heard).toEqual([]);
  });

  it('is stopped within seconds, also where nobody answers', () => {
    channel.start('wss://a', 'x');
    open(false);
    channel.stop(() => heard.push('stopped'));
    clock.pass(10_000);
    expect(heard).toEqual(['connected', 'stopped']);
    expect(clock.timers).toBe(0);
  });
});
