import { beforeEach, describe, expect, it, vi } from 'vitest';
import de from '../locales/de.json';
import { ApiError } from '../src/api/errors';
import { codeOf, fragmentOf, parseFragment } from '../src/crypto/link';
import { nameSealer } from '../src/crypto/name';
import { KeysError } from '../src/e2ee/types';
import { translator } from '../src/i18n';
import { ConnectError, DeviceError } from '../src/rtc/types';
import { TabIdentity } from '../src/state/identity';
import { PreJoinModel, type Joined } from '../src/state/prejoin';
import { joinRefusal } from '../src/state/refusals';
import { random, until, World } from '../scripted/world';

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';
const OTHER = '00000000000000000000';

let world: World;
let joined: Joined[];

beforeEach(() => {
  world = new World();
  joined = [];
});

function open(fragment = '', { room = 'Kollegium-7b', fresh = false } = {}): PreJoinModel {
  world.path = `/${room}`;
  world.fragment = fragment;
  return new PreJoinModel(world.ports, new TabIdentity(world.ports), (result) => joined.push(result), {
    room,
    fragment: parseFragment(fragment),
    fresh,
  });
}

async function ready(model: PreJoinModel): Promise<void> {
  await until(() => !model.view.get().asking && model.view.get().link.kind !== 'asking');
}

describe('a bare link', () => {
  it('of a room that is not running gets a fresh secret, in the address bar', async () => {
    const model = open();
    await ready(model);
    const { link } = model.view.get();
    expect(link.kind).toBe('ready');
    expect(world.fragment).toMatch(/^#1.{21}$/);
    expect(link.kind === 'ready' && fragmentOf(link.secret)).toBe(world.fragment);
  });

  it('of a running room asks for the code before anything is connected', async () => {
    world.running = true;
    const model = open();
    await ready(model);
    expect(model.view.get().link).toEqual({ kind: 'code', why: 'running' });
    model.setName('Anna');
    await model.join();
    expect(model.view.get().codeProblem?.key).toBe('error.code-empty');
    expect(world.connections).toEqual([]);

    model.setCode(codeOf(SECRET));
    await model.join();
    expect(joined).toHaveLength(1);
    expect(world.fragment).toBe(fragmentOf(SECRET));
  });

  it('says when the server does not answer, and asks again when joining', async () => {
    world.refuse = () => new ApiError('unreachable', 0);
    const model = open();
    await ready(model);
    expect(model.view.get()).toMatchObject({ link: { kind: 'unknown' }, refusal: { code: 'unreachable' } });
    world.refuse = null;
    model.setName('Anna');
    await model.join();
    expect(joined).toHaveLength(1);
  });

  it('asks without name and identity, so that the question leaves no trace', async () => {
    await ready(open());
    expect(world.joins).toEqual([{ room: 'kollegium-7b', request: {} }]);
  });
});

describe('a link with a secret', () => {
  it('joins with the name sealed: the server never sees name or secret', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    model.setName('  Anna  Berger ');
    await model.join();
    const { request, room } = world.joins[0] ?? { request: {}, room: '' };
    expect(room).toBe('kollegium-7b');
    const sent = JSON.stringify(world.joins);
    expect(sent).not.toContain('Anna');
    expect(sent).not.toContain(SECRET);
    const sealer = await nameSealer(SECRET, 'kollegium-7b', random);
    expect(await sealer.open(request.metadata ?? '', request.identity ?? '')).toEqual({
      kind: 'name',
      name: 'Anna Berger',
    });
    expect(joined[0]?.settings).toMatchObject({ room: 'Kollegium-7b', secret: SECRET, name: 'Anna Berger' });
  });

  it('with a mistake in it is found in the browser', async () => {
    const model = open(fragmentOf(SECRET).replace('K7', 'K8'));
    expect(model.view.get().link).toEqual({ kind: 'code', why: 'broken-link' });
    model.setName('Anna');
    model.setCode('K7F3Q');
    await model.join();
    expect(model.view.get().codeProblem?.key).toBe('error.code-length');
    expect(world.joins).toEqual([]);
  });

  it('that is not the meeting’s is told before anything is published, and the code is asked for', async () => {
    world.running = true;
    world.present = [await world.person(OTHER, 'kollegium-7b', 'b', 'Deniz')];
    const model = open(fragmentOf(SECRET));
    await ready(model);
    model.setName('Anna');
    await model.join();
    expect(joined).toEqual([]);
    expect(world.connection.left).toBe(true);
    expect(world.connection.published).toEqual([]);
    expect(model.view.get().link).toEqual({ kind: 'code', why: 'other-link' });

    model.setCode(codeOf(OTHER));
    await model.join();
    expect(joined).toHaveLength(1);
    expect(world.fragment).toBe(fragmentOf(OTHER));
  });

  it('is the meeting’s as soon as one name opens', async () => {
    world.present = [
      await world.person(OTHER, 'kollegium-7b', 'b', 'Deniz'),
      await world.person(SECRET, 'kollegium-7b', 'c', 'Miriam'),
    ];
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(joined).toHaveLength(1);
  });

  it('is not doubted because of a program without a name', async () => {
    world.present = [{ ...(await world.person(SECRET, 'x', 'p', 'P')), metadata: '' }];
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(joined).toHaveLength(1);
  });

  it('made on the start page gives way to a running meeting of that name', async () => {
    world.running = true;
    const model = open(fragmentOf(SECRET), { fresh: true });
    await until(() => model.view.get().link.kind === 'code');
    expect(world.fragment).toBe('');
  });

  it('made on the start page is not taken back by one’s own joining', async () => {
    let answer: () => void = () => undefined;
    world.probe = new Promise((resolve) => (answer = resolve));
    const model = open(fragmentOf(SECRET), { fresh: true });
    const kinds = new Set<string>();
    model.view.subscribe(({ link }) => kinds.add(link.kind));
    model.setName('Anna');
    const joining = model.join();
    world.running = true;
    answer();
    await joining;
    expect(joined).toHaveLength(1);
    expect(world.fragment).toBe(fragmentOf(SECRET));
    expect([...kinds]).toEqual(['ready']);
  });

  it('made on the start page stays where nobody is yet', async () => {
    const model = open(fragmentOf(SECRET), { fresh: true });
    await until(() => world.joins.length === 1);
    await ready(model);
    expect(model.view.get().link).toEqual({ kind: 'ready', secret: SECRET });
  });
});

describe('the name', () => {
  it('is needed', async () => {
    const model = open(fragmentOf(SECRET));
    await model.join();
    expect(model.view.get().nameProblem?.key).toBe('error.name-empty');
    expect(world.joins).toEqual([]);
  });

  it('takes what fits when sealed, and says that no more does', () => {
    const model = open(fragmentOf(SECRET));
    model.setName('ä'.repeat(64));
    expect(model.view.get()).toMatchObject({ name: 'ä'.repeat(64), nameProblem: null });
    model.setName('ä'.repeat(65));
    expect(model.view.get()).toMatchObject({ name: 'ä'.repeat(64), nameProblem: { code: 'name-full' } });
    model.setName('ä'.repeat(63));
    expect(model.view.get().nameProblem).toBe(null);
  });

  it('lasts as long as the page where nothing is kept, which is said', async () => {
    expect(open(fragmentOf(SECRET)).view.get().forgetful).toBe(false);
    expect([...world.local.keys()]).toEqual([]);
    world.storage = false;
    const model = open(fragmentOf(SECRET));
    await ready(model);
    expect(model.view.get().forgetful).toBe(true);
    model.setName('Anna');
    await model.join();
    expect(joined[0]?.settings.name).toBe('Anna');
  });

  it('is remembered on this device', async () => {
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(open(fragmentOf(SECRET)).view.get().name).toBe('Anna');
  });
});

describe('the identity', () => {
  it('is kept over a reload', async () => {
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    world.claimed.clear();
    const again = open(fragmentOf(SECRET));
    again.setName('Anna');
    await again.join();
    expect(world.joins[1]?.request.identity).toBe(world.joins[0]?.request.identity);
  });

  it('is another one in a duplicated tab', async () => {
    for (let tab = 0; tab < 2; tab++) {
      const model = open(fragmentOf(SECRET));
      model.setName('Anna');
      await model.join();
    }
    expect(world.joins[1]?.request.identity).not.toBe(world.joins[0]?.request.identity);
  });

  it('is taken anew when the old one is still present', async () => {
    let refusals = 0;
    world.refuse = () => (refusals++ === 0 ? new ApiError('identity-taken', 409) : null);
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(joined).toHaveLength(1);
    expect(world.joins[1]?.request.identity).not.toBe(world.joins[0]?.request.identity);
  });

  it('is not changed by the server', async () => {
    world.answer = (answer) => ({ ...answer, identity: 'somebody-else' });
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(joined).toEqual([]);
    expect(world.connections).toEqual([]);
    expect(model.view.get().refusal?.code).toBe('identity-changed');
  });

  it('is the one of the connection', async () => {
    world.connectedAs = () => 'somebody-else';
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(joined).toEqual([]);
    expect(world.connections.map(({ left }) => left)).toEqual([true]);
    expect(model.view.get().refusal).toMatchObject({
      code: 'identity-changed',
      key: 'error.identity-changed',
    });
  });
});

describe('a browser that cannot encrypt meetings', () => {
  it('is told so, and nothing is sent', async () => {
    world.keysObstacle = 'unsupported';
    const model = open(fragmentOf(SECRET));
    await ready(model);
    expect(model.view.get().refusal?.key).toBe('error.encryption-unsupported');
    model.setName('Anna');
    await model.join();
    expect(world.joins).toEqual([]);
    expect(model.view.get().refusal?.key).toBe('error.encryption-unsupported');
  });
});

describe('joining', () => {
  it('opens the way to the keys once the link has proved right', async () => {
    world.present = [await world.person(SECRET, 'kollegium-7b', 'b', 'Deniz')];
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(world.keys.channel).toEqual({ server: 'ws://server', room: 'kollegium-7b', token: 'token' });
    expect(joined[0]?.admitted.keys?.identity).toBe(world.joins[0]?.request.identity);
  });

  it('leaves the keys of every try that failed', async () => {
    world.connectError = new ConnectError('no-media-path');
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(world.keys.left).toBe(true);
    expect(world.keys.channel).toBeNull();
  });

  it('says when there are no keys', async () => {
    world.keysError = new KeysError('failed');
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(model.view.get().refusal?.key).toBe('error.encryption-failed');
    expect(world.joins).toEqual([]);
  });

  it('seals again when the server spells the room otherwise', async () => {
    world.answer = (answer) => ({ ...answer, room: 'kollegium-vii' });
    world.present = [await world.person(SECRET, 'kollegium-vii', 'b', 'Deniz')];
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(joined).toHaveLength(1);
    expect(world.joins.map((join) => join.room)).toEqual(['kollegium-7b', 'kollegium-vii']);
  });

  it.each([
    [new ApiError('full', 403), 'error.full'],
    [new ApiError('rate-limited', 429, 5), 'error.rate-limited'],
    [new ApiError('something-new', 400), 'error.server'],
  ])('says why the server refused: %s', async (error, key) => {
    world.refuse = () => error;
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(model.view.get()).toMatchObject({ joining: false, refusal: { key } });
  });

  it.each([
    [5, 'Versuchen Sie es in 5 Sekunden noch einmal.'],
    [1, 'Versuchen Sie es in 1 Sekunde noch einmal.'],
    [null, 'Versuchen Sie es in einigen Sekunden noch einmal.'],
  ])('says when to try again (%s s)', async (seconds, sentence) => {
    const { key, args } = joinRefusal(new ApiError('rate-limited', 429, seconds));
    expect(translator('de', de)(key, args)).toContain(sentence);
  });

  it('says when no media path was found', async () => {
    world.connectError = new ConnectError('no-media-path');
    const model = open(fragmentOf(SECRET));
    model.setName('Anna');
    await model.join();
    expect(model.view.get().refusal?.key).toBe('error.no-media-path');
  });

  it('hands the open devices over and lets go of them', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    model.setName('Anna');
    await model.join();
    expect(joined[0]?.tracks).toEqual(world.opened);
    expect(world.opened.every((track) => !track.stopped)).toBe(true);
  });

  it('leaves again when the visitor went away meanwhile', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    model.setName('Anna');
    const { join } = world.ports.api;
    vi.spyOn(world.ports.api, 'join').mockImplementation((...asked) => {
      model.close();
      return join(...asked);
    });
    await model.join();
    expect(joined).toEqual([]);
    expect(world.connection.left).toBe(true);
    expect(world.opened.every((track) => track.stopped)).toBe(true);
  });

  it('does not even come where the visitor went away while the meeting was still loaded', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    model.setName('Anna');
    const joining = model.join();
    model.close();
    await joining;
    expect(world.joins).toEqual([]);
  });
});

describe('a page of which a part cannot be loaded', () => {
  it('says so before anything is connected, and joins once it can be', async () => {
    world.complete = false;
    const model = open(fragmentOf(SECRET));
    await ready(model);
    model.setName('Anna');
    await model.join();
    expect(model.view.get()).toMatchObject({ joining: false, refusal: { key: 'error.not-loaded' } });
    expect(world.joins).toEqual([]);
    world.complete = true;
    await model.join();
    expect(joined).toHaveLength(1);
  });
});

describe('devices', () => {
  it('are opened together, with what was chosen last', async () => {
    world.local.set('konklave.camera', 'cam-2');
    const model = open(fragmentOf(SECRET));
    await ready(model);
    expect(world.opened.map((track) => track.deviceId)).toEqual(['', 'cam-2']);
    expect(model.view.get().video).not.toBeNull();
  });

  it('can be switched off and on', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    await model.toggle('camera');
    expect(world.opened[1]?.stopped).toBe(true);
    expect(model.view.get()).toMatchObject({ camera: { on: false }, video: null });
    await model.toggle('camera');
    expect(model.view.get().camera.on).toBe(true);
    expect(model.view.get().video).not.toBeNull();
  });

  it('that are switched off are not handed over', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    await model.toggle('microphone');
    model.setName('Anna');
    await model.join();
    expect(joined[0]?.settings.microphone.on).toBe(false);
    expect(joined[0]?.tracks).toEqual([world.opened[1]]);
  });

  it('one missing does not take the other', async () => {
    world.deviceErrors = { camera: new DeviceError('camera', 'missing') };
    const model = open(fragmentOf(SECRET));
    await ready(model);
    expect(model.view.get().microphone).toMatchObject({ on: true, problem: null });
    expect(model.view.get().camera.problem?.key).toBe('device.camera-missing');
    expect(PreJoinModel.blocked(model.view.get())).toBeNull();
  });

  it('that the browser refuses leave the way in without them', async () => {
    world.deviceErrors = {
      microphone: new DeviceError('microphone', 'denied'),
      camera: new DeviceError('camera', 'denied'),
    };
    const model = open(fragmentOf(SECRET));
    await ready(model);
    expect(PreJoinModel.blocked(model.view.get())).toBe('denied');
    model.setName('Anna');
    await model.join();
    expect(joined[0]).toMatchObject({
      tracks: [],
      settings: { microphone: { on: false }, camera: { on: false } },
    });
  });

  it('can be asked for again', async () => {
    world.deviceErrors = { camera: new DeviceError('camera', 'busy') };
    const model = open(fragmentOf(SECRET));
    await ready(model);
    expect(model.view.get().camera.problem?.key).toBe('device.camera-busy');
    world.deviceErrors = {};
    await model.retryDevices();
    expect(model.view.get().camera).toMatchObject({ on: true, problem: null });
  });

  it('are asked for again only where there was trouble', async () => {
    world.deviceErrors = { camera: new DeviceError('camera', 'busy') };
    const model = open(fragmentOf(SECRET));
    await ready(model);
    await model.toggle('microphone');
    world.deviceErrors = {};
    world.opened = [];
    await model.retryDevices();
    expect(world.opened.map((track) => track.video !== null)).toEqual([true]);
    expect(model.view.get()).toMatchObject({
      microphone: { on: false },
      camera: { on: true },
      asking: false,
    });
  });

  it('chosen after a failure are opened', async () => {
    world.deviceErrors = { camera: new DeviceError('camera', 'busy') };
    const model = open(fragmentOf(SECRET));
    await ready(model);
    world.deviceErrors = {};
    await model.choose('camera', 'cam-2');
    expect(model.view.get()).toMatchObject({ camera: { on: true, id: 'cam-2', problem: null } });
    expect(world.opened.at(-1)?.deviceId).toBe('cam-2');
  });

  it('chosen while switched off stay off', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    await model.toggle('camera');
    world.opened = [];
    await model.choose('camera', 'cam-2');
    expect(world.opened).toEqual([]);
  });

  it('that are unplugged are told', async () => {
    const model = open(fragmentOf(SECRET));
    await ready(model);
    world.opened[1]?.unplug();
    expect(model.view.get().camera).toMatchObject({ on: false, problem: { key: 'device.camera-missing' } });
  });

  it('on an insecure page say so, and joining is not possible', async () => {
    world.obstacle = 'insecure';
    world.deviceErrors = {
      microphone: new DeviceError('microphone', 'insecure'),
      camera: new DeviceError('camera', 'insecure'),
    };
    const model = open(fragmentOf(SECRET));
    await ready(model);
    expect(PreJoinModel.blocked(model.view.get())).toBe('insecure');
    model.setName('Anna');
    await model.join();
    expect(world.joins).toEqual([]);
  });
});
