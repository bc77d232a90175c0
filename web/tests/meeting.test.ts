import { beforeEach, describe, expect, it } from 'vitest';
import de from '../locales/de.json';
import { translator } from '../src/i18n';
import { fragmentOf } from '../src/crypto/link';
import { DeviceError, type VideoHandle } from '../src/rtc/types';
import { TEXT_MAX } from '../src/state/chat';
import { MeetingModel } from '../src/state/meeting';
import { Options } from '../src/state/options';
import { initialsOf } from '../src/state/people';
import type { JoinSettings } from '../src/state/prejoin';
import type { EndCause } from '../src/state/refusals';
import { labelOf, nameOf } from '../src/ui/words';
import type { FakeKeys } from '../scripted/keys';
import { FakeConnection, FakeTrack, participant, until, World } from '../scripted/world';

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';
const ROOM = 'kollegium-7b';

let world: World;
let connection: FakeConnection;
let keys: FakeKeys;
let ended: EndCause[];
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
  keys = world.openKeys('me', 'Anna Berger');
  keys.connect('wss://meet.example', ROOM, 'token');
  model = new MeetingModel(world.ports, { room: ROOM, connection, keys }, settings(), (cause) =>
    ended.push(cause),
  );
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
  it('are shown by their names in the group, oneself last', async () => {
    connection.others = [await person('b', 'Deniz Yılmaz'), await person('c', 'Miriam Vogt')];
    await meet();
    expect(names()).toEqual(['Deniz Yılmaz', 'Miriam Vogt', 'Anna Berger']);
    expect(model.view.get().people[0]).toMatchObject({ initials: 'DY', muted: true, isLocal: false });
  });

  it('who have no keys have no name', async () => {
    connection.others = [
      await person('b', 'Deniz'),
      await world.person('00000000000000000000', ROOM, 'c', 'Fremd'),
      participant('d'),
    ];
    await meet();
    expect(names()).toEqual(['Deniz', 'keyless', 'keyless', 'Anna Berger']);
    const trust = () => model.view.get().people.map((one) => one.trust);
    expect(trust()).toEqual(['keys', 'joining', 'joining', 'keys']);
    world.clock.pass(10_000);
    expect(trust()).toEqual(['keys', 'keyless', 'keyless', 'keys']);
  });

  it('are joining while one has no keys oneself', async () => {
    world.keysState = { type: 'connecting' };
    connection.others = [await person('b', 'Deniz')];
    await meet();
    world.clock.pass(60_000);
    expect(model.view.get().people.map((one) => one.trust)).toEqual(['joining', 'joining']);
  });

  it('whose name does not open under the link are unnamed', async () => {
    connection.others = [await person('b', 'Deniz')];
    world.see('b', { name: undefined });
    await meet();
    expect(names()).toEqual(['unnamed', 'Anna Berger']);
  });

  it('whose streams do not open are marked until they do', async () => {
    connection.others = [await person('b', 'Deniz')];
    await meet();
    const unreadable = () => model.view.get().people[0]?.unreadable;
    keys.emit({ type: 'stream', id: 1, identity: 'b', opens: false });
    expect(unreadable()).toBe(false);
    world.clock.pass(3000);
    expect(unreadable()).toBe(true);
    // Another stream of theirs says nothing of this one, also if it takes its place.
    keys.emit({ type: 'stream', id: 2, identity: 'b', opens: false });
    keys.emit({ type: 'stream', id: 2, identity: 'b', opens: true });
    world.clock.pass(3000);
    expect(unreadable()).toBe(true);
    keys.emit({ type: 'stream', id: 1, identity: 'b', opens: true });
    expect(unreadable()).toBe(false);
  });

  it('with equal names are told apart', async () => {
    connection.others = [await person('b', 'Anna Berger'), await person('c', 'anna berger')];
    await meet();
    expect(model.view.get().people.map((one) => one.ordinal)).toEqual([1, 2, 3]);
  });

  it('with names that only look equal are told apart', async () => {
    connection.others = [
      await person('b', 'Anna\u3164Berger'),
      await person('c', 'Anna\uFE0E Berger'),
      await person('d', 'Anna Berger'),
    ];
    await meet();
    expect(model.view.get().people.map((one) => one.ordinal)).toEqual([1, 2, 3, 4]);
  });

  it('who only show another’s sealed name are not believed', async () => {
    const deniz = await person('b', 'Deniz');
    connection.others = [deniz, participant('c', { metadata: deniz.metadata })];
    await meet();
    expect(names()).toEqual(['Deniz', 'keyless', 'Anna Berger']);
  });

  it('who rename themselves are shown by the new name', async () => {
    connection.others = [await person('b', 'Deniz')];
    await meet();
    connection.now(await person('b', 'Deniz Y.'));
    expect(names()).toEqual(['Deniz Y.', 'Anna Berger']);
  });

  it('who did not change are the very same objects in the next snapshot', async () => {
    const deniz = await person('b', 'Deniz');
    const miriam = await person('c', 'Miriam');
    connection.others = [deniz, miriam];
    await meet();
    const before = model.view.get().people;
    connection.now(deniz, { ...miriam });
    expect(model.view.get().people).toBe(before);
    connection.now(deniz, { ...miriam, speaking: true });
    world.clock.pass(300);
    const after = model.view.get().people;
    expect(after.map((one, i) => one === before[i])).toEqual([true, false, true]);
    // Going on speaking changes nothing.
    world.clock.pass(5000);
    connection.now(deniz, { ...miriam, speaking: true });
    expect(model.view.get().people).toBe(after);
  });

  it('whose lines are weak or whose pictures pause are shown so, and oneself is told once', async () => {
    const deniz = await person('b', 'Deniz', {
      weak: true,
      camera: { muted: false, video: picture, paused: true },
    });
    connection.others = [deniz];
    await meet();
    const told: unknown[] = [];
    model.announcer.polite.subscribe((messages) => told.push(...messages.map(({ key }) => key)));
    connection.local = { ...connection.local, weak: true };
    connection.now(deniz);
    expect(model.view.get().people).toMatchObject([
      { weak: false, videoPaused: false },
      { weak: false, videoPaused: false },
    ]);
    world.clock.pass(4000);
    expect(model.view.get()).toMatchObject({
      people: [
        { weak: true, videoPaused: true, screenPaused: false },
        { weak: true, videoPaused: false },
      ],
      toast: { message: { key: 'connection.weak' }, tone: 'warn' },
    });
    model.dismissToast();
    world.clock.pass(20_000);
    connection.now(deniz);
    expect(model.view.get().toast).toBeNull();
    expect(told.filter((key) => key === 'connection.weak')).toHaveLength(1);
    connection.break();
    expect(model.view.get().people[0]?.videoPaused).toBe(false);
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

  it('are announced by the words that stand on their tiles', async () => {
    world.ports.words = ({ key, args }) => translator('de', de)(key, args);
    await meet();
    const said: unknown[] = [];
    model.announcer.polite.subscribe((messages) => said.push(...messages.map(({ args }) => args?.names)));
    connection.now(
      await person('b', 'Anna Berger'),
      await person('c', 'Anna Berger'),
      await world.person('00000000000000000000', ROOM, 'd', 'Fremd'),
    );
    world.clock.pass(3000);
    expect(said).toEqual(['Anna Berger, Anna Berger (2)']);
    const t = translator('de', de);
    const [, , stranger] = model.view.get().people;
    expect(stranger && labelOf(t, stranger)).toBe('Jemand');
    expect(t('share.by', { name: stranger ? nameOf(t, stranger.name) : '' })).toBe(
      'Jemand teilt den Bildschirm',
    );
  });

  it('who come and go are announced, those present before are not', async () => {
    const deniz = await person('b', 'Deniz');
    const miriam = await person('c', 'Miriam');
    connection.others = [deniz];
    await meet();
    const said: string[] = [];
    model.announcer.polite.subscribe((messages) =>
      said.push(...messages.map(({ key, args }) => `${key} ${args?.names}`)),
    );
    connection.now(deniz, miriam);
    world.clock.pass(3000);
    expect(said).toEqual(['announce.joined Miriam']);
    connection.now(miriam);
    world.clock.pass(3000);
    expect(said).toEqual(['announce.joined Miriam', 'announce.left Deniz']);
  });

  it('says together who came and who went in the same moment', async () => {
    const [deniz, miriam] = [await person('b', 'Deniz'), await person('c', 'Miriam')];
    connection.others = [deniz];
    await meet();
    connection.now(miriam);
    world.clock.pass(3000);
    expect(model.announcer.polite.get().map(({ key, args }) => `${key} ${args?.names}`)).toEqual([
      'announce.joined Miriam',
      'announce.left Deniz',
    ]);
  });
});

describe('sounds', () => {
  it('are heard when somebody comes and when somebody leaves, never for oneself or who was here first', async () => {
    const [deniz, miriam] = [await person('b', 'Deniz'), await person('c', 'Miriam')];
    connection.others = [deniz];
    await meet();
    expect(world.heard).toEqual([]);
    connection.now(deniz, miriam);
    connection.now(miriam);
    expect(world.heard).toEqual(['joined', 'left']);
  });

  it('are one where ten come at once', async () => {
    await meet();
    const ten = Array.from({ length: 10 }, (_, i) => person(`p${i}`, `Person ${i}`));
    connection.now(...(await Promise.all(ten)));
    expect(world.heard).toEqual(['joined']);
  });

  it('tell of a message while the chat is closed, on the chosen speaker', async () => {
    connection.others = [await person('b', 'Deniz')];
    await meet();
    await model.devices.choose('speaker', 'headset');
    keys.chat('b', '1', 'Hallo');
    await until(() => model.view.get().chat.messages.length === 1);
    model.togglePanel('chat');
    world.clock.pass(60_000);
    keys.chat('b', '2', 'Noch da?');
    await until(() => model.view.get().chat.messages.length === 2);
    model.setDraft('Ja');
    model.sendDraft();
    expect(world.heard).toEqual(['message headset']);
  });

  it('are off by choice, which is remembered', async () => {
    await meet();
    model.options.setSounds(false);
    connection.now(await person('b', 'Deniz'));
    expect(world.heard).toEqual([]);
    expect(new Options(world.ports.local).view.get().sounds).toBe(false);
  });
});

describe('a shared screen', () => {
  it('is the newest of the others, and never one’s own', async () => {
    const deniz = await person('b', 'Deniz');
    const miriam = await person('c', 'Miriam');
    const shares = { screen: { muted: false, video: picture } };
    connection.others = [deniz, miriam];
    await meet();
    model.stage.resize({ width: 1416, height: 752 }, false);
    const large = () => {
      const tile = model.stage.view.get().layout.tiles.find(({ place }) => place === 'large');
      return tile && `${tile.source} ${tile.identity}`;
    };
    connection.now(deniz, { ...miriam, ...shares });
    expect(large()).toBe('screen_share c');
    connection.now({ ...deniz, ...shares }, { ...miriam, ...shares });
    expect(large()).toBe('screen_share b');
    connection.now(deniz, { ...miriam, ...shares });
    expect(large()).toBe('screen_share c');
    connection.now(deniz, miriam);
    expect(large()).toBeUndefined();
    await model.devices.toggleShare();
    expect(model.view.get().share.on).toBe(true);
    expect(large()).toBeUndefined();
  });

  it('that is cancelled in the browser’s dialog is no trouble', async () => {
    await meet();
    connection.failWith = new DeviceError('screen', 'cancelled');
    await model.devices.toggleShare();
    expect(model.view.get()).toMatchObject({ toast: null, share: { on: false, pending: false } });
  });
});

describe('own devices', () => {
  it('that were open before joining are published', async () => {
    await meet();
    const [microphone, camera] = [new FakeTrack('m', 'microphone'), new FakeTrack('c', 'camera')];
    await model.enter([microphone, camera]);
    expect(connection.published).toEqual([microphone, camera]);
  });

  it('are switched', async () => {
    await meet();
    await model.devices.toggleMicrophone();
    expect(model.view.get().microphone).toEqual({ on: true, pending: false });
    await model.devices.toggleMicrophone();
    expect(model.view.get().microphone).toEqual({ on: false, pending: false });
    expect(model.settings.microphone.on).toBe(false);
  });

  it('let somebody muted speak for as long as a key is held', async () => {
    await meet();
    await model.devices.holdToTalk(true);
    expect(model.view.get().microphone.on).toBe(true);
    await model.devices.holdToTalk(false);
    expect(model.view.get().microphone).toEqual({ on: false, pending: false });
    expect(model.settings.microphone.on).toBe(false);
  });

  it('are mute again when the key was let go before the microphone was open', async () => {
    await meet();
    const opening = model.devices.holdToTalk(true);
    await model.devices.holdToTalk(false);
    await opening;
    expect(model.view.get().microphone).toEqual({ on: false, pending: false });
  });

  it('stay on when they were on, whatever is held', async () => {
    await meet();
    await model.devices.toggleMicrophone();
    await model.devices.holdToTalk(true);
    await model.devices.holdToTalk(false);
    expect(model.view.get().microphone.on).toBe(true);
  });

  it('that are switched while the key is held stay as they were switched', async () => {
    await meet();
    await model.devices.holdToTalk(true);
    await model.devices.toggleMicrophone();
    await model.devices.toggleMicrophone();
    await model.devices.holdToTalk(false);
    expect(model.view.get().microphone.on).toBe(true);
  });

  it('held open only by a key are closed when one joins again', async () => {
    await meet();
    await model.devices.holdToTalk(true);
    connection.emit('disconnected', 'lost');
    expect(model.settings.microphone.on).toBe(false);
  });

  it('say in words what is wrong', async () => {
    await meet();
    connection.failWith = new DeviceError('camera', 'busy');
    await model.devices.toggleCamera();
    expect(model.view.get().toast).toMatchObject({ message: { key: 'device.camera-busy' }, tone: 'warn' });
    world.clock.pass(5000);
    expect(model.view.get().toast).toBeNull();
  });

  it('that do not reach the server are off, and the sentence says to switch them on', async () => {
    await meet();
    connection.failWith = new Error('refused');
    await model.enter([new FakeTrack('c', 'camera')]);
    expect(model.view.get()).toMatchObject({
      camera: { on: false, pending: false },
      toast: { message: { key: 'device.publish-failed' }, tone: 'warn' },
    });
    expect(de['device.publish-failed']).toMatch(/Schalten Sie es wieder ein/);
  });

  it.each(['microphone', 'camera'] as const)('that vanish in the call are told (%s)', async (kind) => {
    await meet();
    await model.enter([new FakeTrack('m', 'microphone'), new FakeTrack('c', 'camera')]);
    connection.local = { ...connection.local, [kind]: { muted: true, video: null } };
    connection.emit('participants');
    expect(model.view.get()).toMatchObject({
      [kind]: { on: false },
      toast: { message: { key: `device.${kind}-missing` }, tone: 'warn' },
    });
  });

  it('that one switches off oneself are no trouble', async () => {
    await meet();
    await model.enter([new FakeTrack('m', 'microphone'), new FakeTrack('c', 'camera')]);
    await model.devices.toggleMicrophone();
    await model.devices.toggleCamera();
    connection.emit('participants');
    expect(model.view.get()).toMatchObject({ microphone: { on: false }, camera: { on: false }, toast: null });
  });

  it('whose trouble is told once', async () => {
    await meet();
    const toasts: unknown[] = [];
    model.view.subscribe(({ toast }) => toast && !toasts.includes(toast) && toasts.push(toast));
    connection.failWith = new DeviceError('microphone', 'denied');
    await model.devices.toggleMicrophone();
    expect(toasts).toHaveLength(1);
  });

  it('that are plugged in and out are told', async () => {
    const [laptop, studio] = (['Laptop', 'Studio'] as const).map(
      (label) => ({ id: label, kind: 'microphone', label }) as const,
    );
    if (!laptop || !studio) throw new Error('no devices');
    world.devices = [laptop];
    await meet();
    await until(() => model.view.get().devices.length === 1);
    world.plug(laptop, studio);
    await until(() => model.view.get().toast !== null);
    expect(model.view.get().toast?.message).toEqual({ key: 'device.plugged', args: { devices: 'Studio' } });
    model.dismissToast();
    world.plug(laptop);
    await until(() => model.view.get().toast !== null);
    expect(model.view.get().toast?.message.key).toBe('device.unplugged');
  });

  it('that the system changes are told, those one chooses are not', async () => {
    world.devices = ['Laptop', 'Headset'].map((label) => ({ id: label, kind: 'speaker', label }));
    await meet();
    await until(() => model.view.get().devices.length === 2);
    connection.switchDevice = async () => connection.emit('deviceChanged', 'speaker', 'Headset');
    await model.devices.choose('speaker', 'Headset');
    expect(model.view.get().toast).toBeNull();
    connection.emit('deviceChanged', 'speaker', 'Laptop');
    await until(() => model.view.get().toast !== null);
    expect(model.view.get()).toMatchObject({
      selected: { speaker: 'Laptop' },
      toast: { message: { key: 'device.now-speaker', args: { device: 'Laptop' } } },
    });
  });

  it('that come do not hide a trouble', async () => {
    world.devices = [{ id: 'a', kind: 'camera', label: 'Webcam' }];
    await meet();
    await until(() => model.view.get().devices.length === 1);
    connection.failWith = new DeviceError('camera', 'busy');
    await model.devices.toggleCamera();
    world.plug();
    await until(() => model.view.get().devices.length === 0);
    expect(model.view.get().toast?.message.key).toBe('device.camera-busy');
  });

  it('chosen in the meeting are remembered', async () => {
    await meet();
    await model.devices.choose('microphone', 'mic-2');
    expect(model.view.get().selected.microphone).toBe('mic-2');
    expect(world.local.get('konklave.microphone')).toBe('mic-2');
  });
});

describe('the chat', () => {
  it('counts while closed, shows the sender’s name, and is read when opened', async () => {
    connection.others = [await person('b', 'Deniz')];
    await meet();
    const said: string[] = [];
    model.announcer.polite.subscribe((messages) =>
      said.push(...messages.map(({ key, args }) => `${key} ${args?.name}`)),
    );
    keys.chat('b', '1', 'Hallo');
    await until(() => model.view.get().chat.messages.length === 1);
    expect(model.view.get().chat).toMatchObject({
      unread: 1,
      messages: [{ from: 'b', author: { kind: 'name', name: 'Deniz' }, own: false, text: 'Hallo' }],
    });
    expect(said).toEqual(['announce.chat Deniz']);
    model.togglePanel('chat');
    expect(model.view.get().chat.unread).toBe(0);
  });

  it('ignores what it does not understand', async () => {
    await meet();
    keys.emit({ type: 'received', from: 'b', content: { type: 'hand', raised: true } });
    keys.chat('b', '1', ' \n ');
    keys.chat('b', '2', 'Zwei\u0000te');
    expect(model.view.get().chat.messages.map((message) => message.text)).toEqual(['Zweite']);
  });

  it('sends to everybody and shows the own message', async () => {
    await meet();
    model.setDraft('  Grüße \n');
    model.sendDraft();
    expect(keys.sent).toMatchObject([{ type: 'chat', text: 'Grüße' }]);
    expect(model.view.get()).toMatchObject({
      chat: { unread: 0, messages: [{ from: 'me', own: true, text: 'Grüße', pending: false }] },
      draft: '',
    });
    model.setDraft('   ');
    model.sendDraft();
    expect(keys.sent).toHaveLength(1);
  });

  it('shows what was said before, in its place, and as no news', async () => {
    await meet();
    keys.chat('b', '2', 'Jetzt');
    const at = world.clock.time - 60_000;
    const line = (id: string, text: string, later = 0) => ({
      id,
      from: 'gone',
      name: 'Cem',
      text,
      at: at + later,
    });
    keys.emit({
      type: 'history',
      lines: [line('1', 'Zweitens', 5), line('0', 'Erstens'), line('1', 'Zweitens', 5)],
    });
    const { messages, unread } = model.view.get().chat;
    expect(messages.map(({ text }) => text)).toEqual(['Erstens', 'Zweitens', 'Jetzt']);
    expect(messages[0]).toMatchObject({ author: { kind: 'name', name: 'Cem' }, handedOn: true });
    expect(unread).toBe(1);
  });

  it('does not send or cut what is too long', async () => {
    await meet();
    const long = 'a'.repeat(TEXT_MAX + 1);
    model.setDraft(long);
    model.sendDraft();
    expect(keys.sent).toEqual([]);
    expect(model.view.get().draft).toBe(long);
  });

  it('is copied, or shown for copying', async () => {
    await meet();
    await model.copyChat('10:00 Anna: Hallo');
    expect(world.clipboard).toBe('10:00 Anna: Hallo');
    expect(model.view.get().toast).toMatchObject({ message: { key: 'chat.copied' }, tone: 'info' });
    world.clipboardAllowed = false;
    await model.copyChat('10:00 Anna: Hallo');
    expect(model.view.get().toCopy).toEqual({ title: 'chat.copy', text: '10:00 Anna: Hallo' });
  });

  it('keeps what is being written while it is closed', async () => {
    await meet();
    model.togglePanel('chat');
    model.setDraft('Halb ferti');
    model.togglePanel('chat');
    model.togglePanel('chat');
    expect(model.view.get().draft).toBe('Halb ferti');
  });

  it('holds what cannot be sealed until it can', async () => {
    world.keysState = { type: 'connecting' };
    await meet();
    const pending = () => model.view.get().chat.messages.map((message) => message.pending);
    model.setDraft('Hallo');
    model.sendDraft();
    expect([model.view.get().draft, pending(), keys.sent]).toEqual(['', [true], []]);
    keys.sealing = false;
    keys.become({ type: 'member', confirmed: true });
    expect([pending(), keys.sent]).toEqual([[true], []]);
    keys.sealing = true;
    world.clock.pass(500);
    expect([pending(), keys.sent.length]).toEqual([[false], 1]);
  });

  it('holds what is said while the connection is away', async () => {
    await meet();
    connection.break();
    model.setDraft('Hallo');
    model.sendDraft();
    expect(keys.sent).toEqual([]);
    connection.mend();
    expect(keys.sent).toMatchObject([{ text: 'Hallo' }]);
  });

  it('keeps the text when too much waits already', async () => {
    world.keysState = { type: 'connecting' };
    await meet();
    for (let i = 0; i <= 100; i++) {
      model.setDraft('Hallo');
      model.sendDraft();
    }
    expect(model.view.get()).toMatchObject({ draft: 'Hallo', toast: { message: { key: 'chat.not-sent' } } });
    expect(model.view.get().chat.messages).toHaveLength(100);
  });
});

describe('the keys', () => {
  it('that stop end the meeting with their reason, in words', async () => {
    await meet();
    keys.stop('other-link');
    expect(ended).toEqual(['other-link']);
    expect([connection.left, keys.left]).toEqual([true, true]);
  });

  it('that fail end the meeting', async () => {
    await meet();
    keys.emit({ type: 'failed' });
    expect(ended).toEqual(['failed']);
  });

  it('that stopped before the meeting opens end it, and its devices', async () => {
    await meet();
    keys.state = { type: 'stopped', reason: 'locked' };
    model = new MeetingModel(world.ports, { room: ROOM, connection, keys }, settings(), (cause) =>
      ended.push(cause),
    );
    const camera = new FakeTrack('c', 'camera');
    await model.enter([camera]);
    expect(ended).toEqual(['locked']);
    expect(camera.stopped).toBe(true);
  });

  it('whose end the connection explains leave it to that', async () => {
    await meet();
    keys.stop('ended');
    connection.end('room-closed');
    world.clock.pass(3000);
    expect(ended).toEqual(['room-closed']);
  });

  it('that ended while the connection goes on end the meeting', async () => {
    await meet();
    keys.stop('ended');
    world.clock.pass(3000);
    expect(ended).toEqual(['ended']);
  });

  it('are left with the meeting', async () => {
    await meet();
    connection.end('lost');
    expect(keys.left).toBe(true);
  });

  it('change the link after somebody was removed, also in the address bar', async () => {
    await meet();
    const fragment = fragmentOf('00000000000000000000');
    keys.emit({ type: 'link-changed', fragment });
    expect(world.fragment).toBe(fragment);
    await model.copyInvitation();
    expect(world.clipboard).toBe(`https://meet.example/Kollegium-7b${fragment}`);
    expect(model.settings.secret).toBe('00000000000000000000');
    // Who comes by the new link finds names that open.
    await until(() => connection.local.metadata !== '');
    const sealer = await world.ports.sealer('00000000000000000000', ROOM);
    const opened = await sealer.open(connection.local.metadata, 'me');
    expect(opened).toEqual({ kind: 'name', name: 'Anna Berger' });
  });

  it('are compared by what the person says', async () => {
    connection.others = [await person('b', 'Deniz')];
    await meet();
    const epoch = model.lock().comparable?.epoch ?? 0;
    model.compared(epoch, false);
    expect(keys.comparisons).toEqual([{ epoch, matches: false }]);
    expect(model.lock().kind).toBe('differs');
    expect(model.view.get().toast?.message.key).toBe('lock.differs');
    model.compared(epoch, true);
    expect(model.lock().kind).toBe('e2e');
  });
});

describe('a toast', () => {
  it('goes by itself, but not while somebody is at it', async () => {
    await meet();
    await model.copyInvitation();
    model.holdToast();
    world.clock.pass(60_000);
    expect(model.view.get().toast).not.toBeNull();
    model.releaseToast();
    world.clock.pass(4999);
    expect(model.view.get().toast).not.toBeNull();
    world.clock.pass(1);
    expect(model.view.get().toast).toBeNull();
  });

  it('that is gone does not come back', async () => {
    await meet();
    model.releaseToast();
    expect(world.clock.timers).toBe(0);
  });
});

describe('the invitation', () => {
  it('is the complete link with its secret', async () => {
    await meet();
    await model.copyInvitation();
    expect(world.clipboard).toMatch(/^https:\/\/meet\.example\/Kollegium-7b#1K7F3Q9XM2B8DW5TZ6C4N.$/);
    expect(model.view.get().toast?.message.key).toBe('invite.copied');
  });

  it('is shown for copying by hand where the browser does not allow it', async () => {
    world.clipboardAllowed = false;
    await meet();
    await model.copyInvitation();
    expect(model.view.get()).toMatchObject({
      toast: null,
      toCopy: { title: 'invite.copy', text: model.view.get().invitation },
    });
    await model.copyCode('K7F3Q');
    expect(model.view.get().toCopy).toEqual({ title: 'invite.copy-code', text: 'K7F3Q' });
    model.endCopying();
    expect(model.view.get().toCopy).toBe(null);
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

  it('keeps everybody in sight while it is away, without picture, and announces nobody', async () => {
    const camera = { muted: false, video: picture };
    const deniz = await person('b', 'Deniz', { camera, speaking: true });
    const miriam = await person('c', 'Miriam', { screen: camera });
    connection.others = [deniz, miriam];
    await meet();
    await model.enter([new FakeTrack('m', 'microphone')]);
    const said: string[] = [];
    model.announcer.polite.subscribe((messages) => said.push(...messages.map(({ key }) => key)));

    const own = connection.local;
    connection.local = participant('me', { isLocal: true });
    connection.break();
    world.clock.pass(5000);
    expect(names()).toEqual(['Deniz', 'Miriam', 'Anna Berger']);
    expect(model.view.get()).toMatchObject({
      people: [{ video: null, speaking: false }, { screen: null }, {}],
      microphone: { on: true },
    });

    connection.local = own;
    connection.mend(deniz);
    world.clock.pass(3000);
    expect(names()).toEqual(['Deniz', 'Anna Berger']);
    expect(model.view.get().people[0]?.video).toBe(picture);
    expect(said).toEqual(['connection.back', 'announce.left']);
    expect(model.view.get().toast).toBeNull();
  });

  it('leaves pictures that still arrive while it is away', async () => {
    const deniz = await person('b', 'Deniz', { camera: { muted: false, video: picture } });
    connection.others = [deniz];
    await meet();
    connection.emit('reconnecting', 1);
    connection.now(deniz);
    expect(model.view.get().people[0]?.video).toBe(picture);
  });

  it('that is away shows what one switches oneself', async () => {
    await meet();
    await model.enter([new FakeTrack('m', 'microphone')]);
    connection.break();
    await model.devices.toggleMicrophone();
    expect(model.view.get().microphone).toEqual({ on: false, pending: false });
  });

  it('that comes back under another identity ends the meeting', async () => {
    await meet();
    connection.local = participant('somebody-else', { isLocal: true });
    connection.mend();
    expect(ended).toEqual(['identity-changed']);
    expect([connection.left, keys.left]).toEqual([true, true]);
  });

  it('is said to stand once the meeting is on the screen', async () => {
    await meet();
    await model.enter([]);
    expect(model.announcer.polite.get()).toEqual([]);
    world.clock.pass(1000);
    expect(model.announcer.polite.get()).toEqual([{ key: 'connection.connected' }]);
  });

  it('that is away already when the meeting opens is shown so', async () => {
    connection.state = { phase: 'reconnecting', attempt: 2 };
    await meet();
    expect(model.view.get().connection).toMatchObject({ phase: 'reconnecting', attempt: 2 });
  });

  it('that ended before the meeting opens ends it, and its devices', async () => {
    connection.state = { phase: 'ended', cause: 'room-closed' };
    await meet();
    const camera = new FakeTrack('c', 'camera');
    await model.enter([camera]);
    expect(ended).toEqual(['room-closed']);
    expect(camera.stopped).toBe(true);
    expect(connection.published).toEqual([]);
  });

  it('that is lost ends the meeting with its cause', async () => {
    await meet();
    connection.emit('disconnected', 'elsewhere');
    connection.emit('disconnected', 'lost');
    expect(ended).toEqual(['elsewhere']);
  });

  it('ends when one leaves, also where leaving fails, and no timer is left', async () => {
    const deniz = await person('b', 'Deniz');
    await meet();
    await model.enter([]);
    connection.now({ ...deniz, speaking: true });
    await model.copyInvitation();
    connection.failWith = new Error('no signal');
    model.setDraft('spät');
    await model.leave();
    model.sendDraft();
    expect(model.view.get().toast?.message.key).toBe('invite.copied');
    expect(ended).toEqual(['left']);
    expect(world.clock.timers).toBe(0);
  });

  it('ends once when one leaves, and nothing is shown after that', async () => {
    const deniz = await person('b', 'Deniz');
    await meet();
    await model.leave();
    expect(ended).toEqual(['left']);
    const before = model.view.get();
    connection.now(deniz);
    keys.chat('b', '1', 'spät');
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
