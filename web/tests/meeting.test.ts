import { beforeEach, describe, expect, it } from 'vitest';
import { nameSealer } from '../src/crypto/name';
import { DeviceError, type DisconnectCause, type VideoHandle } from '../src/rtc/types';
import { encodeChat } from '../src/state/chat';
import { MeetingModel } from '../src/state/meeting';
import { initialsOf } from '../src/state/people';
import type { JoinSettings } from '../src/state/prejoin';
import { FakeConnection, FakeTrack, participant, random, until, World } from './support/world';

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';
const ROOM = 'kollegium-7b';

let world: World;
let connection: FakeConnection;
let ended: DisconnectCause[];
let model: MeetingModel;

function settings(): JoinSettings {
  return {
    room: 'Kollegium-7b',
    secret: SECRET,
    name: 'Anna Berger',
    microphone: { on: true, id: '' },
    camera: { on: true, id: '' },
    speaker: '',
  };
}

async function meet(): Promise<MeetingModel> {
  const sealer = await nameSealer(SECRET, ROOM, random);
  const admitted = { connection, identity: 'me', sealer, otherLink: false };
  model = new MeetingModel(world.ports, admitted, settings(), (cause) => ended.push(cause));
  return model;
}

const person = (identity: string, name: string, change = {}) =>
  world.person(SECRET, ROOM, identity, name, change);
const names = () =>
  model.view.get().people.map((one) => (one.name.kind === 'name' ? one.name.name : one.name.kind));
const picture: VideoHandle = { attach: () => () => undefined };

beforeEach(() => {
  world = new World();
  connection = new FakeConnection('me');
  ended = [];
});

describe('people', () => {
  it('are shown by their opened names, oneself last', async () => {
    connection.others = [await person('b', 'Deniz Yılmaz'), await person('c', 'Miriam Vogt')];
    await meet();
    await until(() => !names().includes('opening'));
    expect(names()).toEqual(['Deniz Yılmaz', 'Miriam Vogt', 'Anna Berger']);
    expect(model.view.get().people[0]).toMatchObject({ initials: 'DY', muted: true, isLocal: false });
  });

  it('of another link are marked', async () => {
    connection.others = [
      await person('b', 'Deniz'),
      await world.person('00000000000000000000', ROOM, 'c', 'Fremd'),
      participant('d'),
    ];
    await meet();
    await until(() => !names().includes('opening'));
    expect(names()).toEqual(['Deniz', 'other-link', 'unnamed', 'Anna Berger']);
    expect(model.view.get().otherLink).toBe('some');
  });

  it('all of another link are a sentence', async () => {
    await meet();
    connection.now(await world.person('00000000000000000000', ROOM, 'c', 'Fremd'));
    await until(() => model.view.get().otherLink === 'all');
    connection.now();
    expect(model.view.get().otherLink).toBe('none');
  });

  it('with equal names are told apart', async () => {
    connection.others = [await person('b', 'Anna Berger'), await person('c', 'anna berger')];
    await meet();
    await until(() => !names().includes('opening'));
    expect(model.view.get().people.map((one) => one.ordinal)).toEqual([1, 2, 3]);
  });

  it('with names that only look equal are told apart', async () => {
    connection.others = [
      await person('b', 'Anna\u3164Berger'),
      await person('c', 'Anna\uFE0E Berger'),
      await person('d', 'Anna Berger'),
    ];
    await meet();
    await until(() => !names().includes('opening'));
    expect(model.view.get().people.map((one) => one.ordinal)).toEqual([1, 2, 3, 4]);
  });

  it('who take another’s sealed name are not believed', async () => {
    const deniz = await person('b', 'Deniz');
    connection.others = [deniz, participant('c', { metadata: deniz.metadata })];
    await meet();
    await until(() => !names().includes('opening'));
    expect(names()).toEqual(['Deniz', 'other-link', 'Anna Berger']);
  });

  it('who rename themselves are shown by the new name', async () => {
    connection.others = [await person('b', 'Deniz')];
    await meet();
    await until(() => !names().includes('opening'));
    connection.now(await person('b', 'Deniz Y.'));
    await until(() => !names().includes('opening'));
    expect(names()).toEqual(['Deniz Y.', 'Anna Berger']);
  });

  it('who speak are marked after 300 ms', async () => {
    const deniz = await person('b', 'Deniz');
    connection.others = [deniz];
    await meet();
    connection.now({ ...deniz, speaking: true });
    expect(model.view.get().people[0]?.speaking).toBe(false);
    world.clock.pass(300);
    expect(model.view.get().people[0]?.speaking).toBe(true);
    connection.now(deniz);
    world.clock.pass(999);
    expect(model.view.get().people[0]?.speaking).toBe(true);
    world.clock.pass(1);
    expect(model.view.get().people[0]?.speaking).toBe(false);
  });

  it('who come and go are announced, those present before are not', async () => {
    const deniz = await person('b', 'Deniz');
    const miriam = await person('c', 'Miriam');
    connection.others = [deniz];
    await meet();
    const said: string[] = [];
    model.announcer.polite.subscribe(
      (message) => message && said.push(`${message.key} ${message.args?.names}`),
    );
    await until(() => !names().includes('opening'));
    connection.now(deniz, miriam);
    await until(() => !names().includes('opening'));
    world.clock.pass(3000);
    expect(said).toEqual(['announce.joined Miriam']);
    connection.now(miriam);
    world.clock.pass(3000);
    expect(said).toEqual(['announce.joined Miriam', 'announce.left Deniz']);
  });
});

describe('a shared screen', () => {
  it('is the newest of the others, and never one’s own', async () => {
    const deniz = await person('b', 'Deniz');
    const miriam = await person('c', 'Miriam');
    const shares = { screen: { muted: false, video: picture } };
    connection.others = [deniz, miriam];
    await meet();
    connection.now(deniz, { ...miriam, ...shares });
    expect(model.view.get().sharer).toBe('c');
    connection.now({ ...deniz, ...shares }, { ...miriam, ...shares });
    expect(model.view.get().sharer).toBe('b');
    connection.now(deniz, { ...miriam, ...shares });
    expect(model.view.get().sharer).toBe('c');
    connection.now(deniz, miriam);
    expect(model.view.get().sharer).toBeNull();
    await model.toggleShare();
    expect(model.view.get()).toMatchObject({ sharer: null, share: { on: true } });
  });

  it('that is cancelled in the browser’s dialog is no trouble', async () => {
    await meet();
    connection.failWith = new DeviceError('screen', 'cancelled');
    await model.toggleShare();
    expect(model.view.get()).toMatchObject({ toast: null, share: { on: false, pending: false } });
  });
});

describe('own devices', () => {
  it('that were open before joining are published', async () => {
    await meet();
    const [microphone, camera] = [new FakeTrack('m', 'microphone'), new FakeTrack('c', 'camera')];
    await model.publish([microphone, camera]);
    expect(connection.published).toEqual([microphone, camera]);
  });

  it('are switched', async () => {
    await meet();
    await model.toggleMicrophone();
    expect(model.view.get().microphone).toEqual({ on: true, pending: false });
    await model.toggleMicrophone();
    expect(model.view.get().microphone).toEqual({ on: false, pending: false });
    expect(model.settings.microphone.on).toBe(false);
  });

  it('say in words what is wrong', async () => {
    await meet();
    connection.failWith = new DeviceError('camera', 'busy');
    await model.toggleCamera();
    expect(model.view.get().toast).toMatchObject({ message: { key: 'device.camera-busy' }, tone: 'warn' });
    world.clock.pass(5000);
    expect(model.view.get().toast).toBeNull();
  });

  it('chosen in the meeting are remembered', async () => {
    await meet();
    await model.choose('microphone', 'mic-2');
    expect(model.view.get().selected.microphone).toBe('mic-2');
    expect(world.local.get('konklave.microphone')).toBe('mic-2');
  });
});

describe('the chat', () => {
  it('counts while closed, shows the sender’s name, and is read when opened', async () => {
    connection.others = [await person('b', 'Deniz')];
    await meet();
    const said: string[] = [];
    model.announcer.polite.subscribe(
      (message) => message && said.push(`${message.key} ${message.args?.name}`),
    );
    connection.emit('data', encodeChat('1', 'Hallo', 1), 'b', 'k');
    await until(() => model.view.get().chat.messages.length === 1);
    expect(model.view.get().chat).toMatchObject({
      unread: 1,
      messages: [{ from: 'b', author: { kind: 'name', name: 'Deniz' }, own: false, text: 'Hallo' }],
    });
    expect(said).toEqual(['announce.chat Deniz']);
    model.togglePanel('chat');
    expect(model.view.get().chat.unread).toBe(0);
  });

  it('ignores other topics and what it does not understand', async () => {
    await meet();
    connection.emit('data', encodeChat('1', 'Hallo', 1), 'b', 'other');
    connection.emit('data', new TextEncoder().encode('{"v":1,"type":"poll"}'), 'b', 'k');
    connection.emit('data', encodeChat('2', 'Zweite', 1), 'b', 'k');
    await until(() => model.view.get().chat.messages.length > 0);
    expect(model.view.get().chat.messages.map((message) => message.text)).toEqual(['Zweite']);
  });

  it('sends to everybody and shows the own message', async () => {
    await meet();
    expect(await model.sendChat('  Grüße \n')).toBe(true);
    expect(connection.sent[0]?.topic).toBe('k');
    expect(JSON.parse(new TextDecoder().decode(connection.sent[0]?.payload))).toMatchObject({
      v: 1,
      type: 'chat',
      text: 'Grüße',
    });
    expect(model.view.get().chat).toMatchObject({ unread: 0, messages: [{ own: true, text: 'Grüße' }] });
    expect(await model.sendChat('   ')).toBe(false);
  });

  it('keeps the text when it could not be sent', async () => {
    await meet();
    connection.failWith = new Error('no channel');
    expect(await model.sendChat('Hallo')).toBe(false);
    expect(model.view.get()).toMatchObject({
      chat: { messages: [] },
      toast: { message: { key: 'chat.not-sent' } },
    });
  });
});

describe('the invitation', () => {
  it('is the complete link with its secret', async () => {
    await meet();
    await model.copyInvitation();
    expect(world.clipboard).toMatch(/^https:\/\/meet\.example\/Kollegium-7b#1K7F3Q9XM2B8DW5TZ6C4N.$/);
    expect(model.view.get().toast?.message.key).toBe('invite.copied');
  });

  it('that cannot be copied says what to do', async () => {
    world.clipboardAllowed = false;
    await meet();
    await model.copyInvitation();
    expect(model.view.get().toast).toMatchObject({ tone: 'warn', message: { key: 'invite.not-copied' } });
  });
});

describe('the connection', () => {
  it('counts its tries while it is away', async () => {
    await meet();
    connection.emit('reconnecting', 1);
    const since = world.clock.time;
    world.clock.pass(4000);
    connection.emit('reconnecting', 2);
    expect(model.view.get().connection).toEqual({ phase: 'reconnecting', attempt: 2, since });
    connection.emit('reconnected');
    expect(model.view.get().connection).toEqual({ phase: 'connected' });
  });

  it('that is lost ends the meeting with its cause', async () => {
    await meet();
    connection.emit('disconnected', 'elsewhere');
    connection.emit('disconnected', 'lost');
    expect(ended).toEqual(['elsewhere']);
  });

  it('ends once when one leaves, and nothing is shown after that', async () => {
    const deniz = await person('b', 'Deniz');
    await meet();
    await model.leave();
    expect(ended).toEqual(['left']);
    const before = model.view.get();
    connection.now(deniz);
    connection.emit('data', encodeChat('1', 'spät', 1), 'b', 'k');
    await Promise.resolve();
    expect(model.view.get()).toBe(before);
  });
});

describe('initials', () => {
  it.each([
    ['Anna Berger', 'AB'],
    ['Anna', 'A'],
    ['Anna von der Höhe', 'AH'],
    ['Élodie Ñandú', 'ÉÑ'],
    ['42', '4'],
    ['😀', '?'],
  ])('of %s are %s', (name, initials) => {
    expect(initialsOf(name)).toBe(initials);
  });
});
