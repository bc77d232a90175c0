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
});
