import { beforeEach, describe, expect, it } from 'vitest';
import { Keyring } from '../../../src/e2ee/media/keyring';
import type {
  KeyMessage,
  MediaReport,
  Refusal,
  StreamKind,
  Withheld,
} from '../../../src/e2ee/media/messages';
import { Reports } from '../../../src/e2ee/media/reporting';
import { ReceivedStream, SentStream } from '../../../src/e2ee/media/streams';
import type { EncodedFrame } from '../../../src/e2ee/media/transform';
import { base, hex, toHex } from './frames';

const LEAF = 7;
const VP8 = '10aabbccdd';
const OPUS = '78112233';

/** One end of a call: its keys and what its worker told the page. */
class End {
  readonly keyring = new Keyring();
  readonly reports: MediaReport[] = [];
  readonly later: (() => void)[] = [];
  keyFrames = 0;
  now = 0;
  readonly #reports = new Reports(
    (report) => this.reports.push(report),
    (work) => this.later.push(work),
  );

  told(...messages: KeyMessage[]): this {
    for (const message of messages) this.keyring.handle(message);
    return this;
  }

  sends(kind: StreamKind | null): SentStream {
    const stream = new SentStream(1, this.keyring, () => ({ 96: 'video/VP8' }), this.#reports);
    stream.be(kind);
    return stream;
  }

  receives(kind: StreamKind | null, leaf: number | null): ReceivedStream {
    const ask = () => this.keyFrames++;
    const stream = new ReceivedStream(
      2,
      this.keyring,
      () => ({}),
      this.#reports,
      () => this.now,
      ask,
    );
    stream.expect(kind, leaf);
    return stream;
  }

  pass(): void {
    for (const work of this.later.splice(0)) work();
  }
}

const keys = (epoch: number, seed = epoch): KeyMessage => ({ type: 'keys', epoch, base: base(seed) });

function frame(data: string, mimeType: string, more: object = {}): EncodedFrame {
  const metadata = mimeType === '' ? { payloadType: 96 } : { mimeType };
  const type = mimeType.startsWith('audio') ? {} : { type: 'delta' };
  return { data: hex(data).buffer, getMetadata: () => metadata, ...type, ...more } as unknown as EncodedFrame;
}
const picture = (data = VP8) => frame(data, 'video/VP8');
const sound = (data = OPUS) => frame(data, 'audio/opus');

let ann: End;
let ben: End;

beforeEach(() => {
  ann = new End().told(keys(1), { type: 'own', leaf: LEAF }, { type: 'send', epoch: 1 });
  ben = new End().told(keys(1));
});

/** The bytes that a frame has on the wire; `null` if it is not sent. */
async function sealed(stream: SentStream, given: EncodedFrame = picture()): Promise<string | null> {
  const result = await stream.frame(given);
  return result && toHex(new Uint8Array(result.data));
}

async function opened(
  stream: ReceivedStream,
  data: string | null,
  type = 'video/VP8',
): Promise<string | null> {
  if (data === null) throw new Error('nothing was sent');
  const result = await stream.frame(frame(data, type));
  return result && toHex(new Uint8Array(result.data));
}

function refused(stream: ReceivedStream): Partial<Record<Refusal, number>> {
  const report = stream.report();
  return report.type === 'opened' ? report.refused : {};
}

function withheld(stream: SentStream): Partial<Record<Withheld, number>> {
  const report = stream.report();
  return report.type === 'sealed' ? report.withheld : {};
}

describe('a stream', () => {
  it('arrives as it was, and is not readable on its way', async () => {
    const [camera, far] = [ann.sends('camera'), ben.receives('camera', LEAF)];
    const wire = await sealed(camera);
    expect(wire).toMatch(/^10/);
    expect(wire).not.toContain('aabbccdd');
    expect(await opened(far, wire)).toBe(VP8);
    const voice = await sealed(ann.sends('microphone'), sound());
    expect(await opened(ben.receives('microphone', LEAF), voice, 'audio/opus')).toBe(OPUS);
  });

  it('has one counter with the other streams of its sender', async () => {
    const streams = [ann.sends('camera'), ann.sends('microphone'), ann.sends('screen')];
    const wires = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        sealed(streams[index % 3] as SentStream, index % 3 === 1 ? sound() : picture()),
      ),
    );
    // Sound has its header first, pictures after one byte; key id 7 << 8 | 1 takes two bytes.
    const headers = wires.map((wire, index) => wire?.slice(index % 3 === 1 ? 0 : 2).slice(0, 8));
    expect(new Set(headers).size).toBe(30);
    expect(headers.slice(0, 3).map((header) => header?.slice(0, 6))).toEqual(['900701', '910701', '920701']);
  });

  it('finds its codec by the payload type where frames do not say it', async () => {
    const wire = await sealed(ann.sends('camera'), frame(VP8, ''));
    expect(await opened(ben.receives('camera', LEAF), wire)).toBe(VP8);
  });
});

describe('nothing is sent', () => {
  it('without a key, a kind, or a codec that can be sealed', async () => {
    const none = new End().told(keys(1), { type: 'own', leaf: LEAF }).sends('camera');
    expect(await sealed(none)).toBe(null);
    expect(withheld(none)).toEqual({ 'no-key': 1 });
    const unknown = ann.sends(null);
    expect(await sealed(unknown)).toBe(null);
    expect(withheld(unknown)).toEqual({ 'no-kind': 1 });
    const other = ann.sends('camera');
    expect(await sealed(other, frame(VP8, 'video/H265'))).toBe(null);
    expect(await sealed(other, frame(VP8, 'video/H264'))).toBe(null);
    expect(withheld(other)).toEqual({ malformed: 2 });
  });

  it('where there is no sound', async () => {
    const microphone = ann.sends('microphone');
    for (const data of ['', '78', '7800']) expect(await sealed(microphone, sound(data))).toBe(null);
    expect(withheld(microphone)).toEqual({ silence: 3 });
  });

  it('once its key is erased, or for another leaf under the same key', async () => {
    const camera = ann.sends('camera');
    ann.told({ type: 'own', leaf: LEAF + 1 });
    expect(await sealed(camera)).toBe(null);
    ann.told({ type: 'own', leaf: LEAF }, { type: 'send', epoch: 1 });
    expect(await sealed(camera), 'its counter would begin anew').toBe(null);
    ann.told(keys(2), { type: 'send', epoch: 2 });
    expect(await sealed(camera)).not.toBe(null);
    ann.told({ type: 'erase', epoch: 2 }, keys(2), { type: 'send', epoch: 2 });
    expect(await sealed(camera)).toBe(null);
  });
});

it('a group that one comes into anew may have numbers that were used before', async () => {
  const [camera, seen] = [ann.sends('camera'), ben.receives('camera', LEAF)];
  for (const end of [ann, ben]) end.told(keys(5));
  ann.told({ type: 'send', epoch: 5 });
  for (let now = 0; now < 10_000; now += 500) {
    ben.now = now;
    expect(await opened(seen, await sealed(camera))).toBe(VP8);
  }
  for (const end of [ann, ben]) end.told({ type: 'erase', epoch: 1 }, { type: 'reset' }, keys(1, 7));
  expect(await sealed(camera)).toBe(null);
  ann.told({ type: 'own', leaf: LEAF }, { type: 'send', epoch: 1 });
  expect(await opened(seen, await sealed(camera))).toBe(VP8);
});

describe('a frame is refused', () => {
  const cases: [Refusal, string, (wire: string) => Promise<ReceivedStream>][] = [
    ['unknown-key', 'of an epoch without a key', async (wire) => open(new End(), wire)],
    ['not-authentic', 'under another key', async (wire) => open(new End().told(keys(1, 9)), wire)],
    ['not-authentic', 'of another stream of the same sender', async (wire) => open(ben, wire, 'screen')],
    ['not-authentic', 'with another clear byte', async (wire) => open(ben, wire.replace(/^10/, '11'))],
    ['not-authentic', 'that was changed', async (wire) => open(ben, wire.slice(0, -2) + '00')],
    [
      'not-authentic',
      'as another codec',
      async (wire) => open(ben, wire.slice(2), 'camera', LEAF, 'video/VP9'),
    ],
    ['foreign', 'of another leaf', async (wire) => open(ben, wire, 'camera', LEAF + 1)],
    ['foreign', 'that nobody is expected to send', async (wire) => open(ben, wire, 'camera', null)],
    ['malformed', 'without a whole header', async () => open(ben, '10ff')],
    ['malformed', 'without a tag', async (wire) => open(ben, wire.slice(0, 20))],
    ['malformed', 'of nothing', async () => open(ben, '')],
    [
      'plain',
      'that is not dressed as a sealed one',
      async () => open(ben, '12000a', 'camera', LEAF, 'video/AV1'),
    ],
  ];

  async function open(
    end: End,
    wire: string,
    kind: StreamKind = 'camera',
    leaf: number | null = LEAF,
    type = 'video/VP8',
  ): Promise<ReceivedStream> {
    const stream = end.receives(kind, leaf);
    expect(await opened(stream, wire, type)).toBe(null);
    return stream;
  }

  it.each(cases)('as %s %s', async (reason, _what, attempt) => {
    const wire = (await sealed(ann.sends('camera'))) ?? '';
    expect(refused(await attempt(wire))).toEqual({ [reason]: 1 });
  });

  it('as replayed, also by another stream and when both come at once', async () => {
    const wire = await sealed(ann.sends('camera'));
    const [one, two] = [ben.receives('camera', LEAF), ben.receives('camera', LEAF)];
    const both = await Promise.all([opened(one, wire), opened(one, wire)]);
    expect(both).toEqual([VP8, null]);
    expect(await opened(two, wire)).toBe(null);
    expect([refused(one), refused(two)]).toEqual([{ replayed: 1 }, { replayed: 1 }]);
  });

  it('as late', async () => {
    const camera = ann.sends('camera');
    const [held, shown] = [await sealed(camera), await sealed(camera)];
    const far = ben.receives('camera', LEAF);
    expect(await opened(far, shown)).toBe(VP8);
    ben.now = 2001;
    expect(await opened(far, held)).toBe(null);
    expect(refused(far)).toEqual({ late: 1 });
  });

  it('once its epoch is erased, also while it is being opened, and for good', async () => {
    const camera = ann.sends('camera');
    const wires = [await sealed(camera), await sealed(camera), await sealed(camera)] as const;
    const far = ben.receives('camera', LEAF);
    expect(await opened(far, wires[0])).toBe(VP8);
    const opening = opened(far, wires[1]);
    ben.told({ type: 'erase', epoch: 1 });
    expect(await opening).toBe(null);
    ben.told(keys(1));
    expect(await opened(far, wires[2])).toBe(null);
    expect(refused(far)).toEqual({ 'unknown-key': 2 });
  });
});

describe('epochs', () => {
  it('follow one another without a gap', async () => {
    const [camera, far] = [ann.sends('camera'), ben.receives('camera', LEAF)];
    for (let epoch = 2; epoch < 600; epoch += 149) {
      ben.told(keys(epoch));
      const before = await sealed(camera);
      ann.told(keys(epoch), { type: 'send', epoch });
      const after = await sealed(camera);
      expect(await opened(far, after)).toBe(VP8);
      expect(await opened(far, before)).toBe(VP8);
    }
    expect(refused(far)).toEqual({});
  });

  it('with the same low byte replace one another, forwards only', async () => {
    const camera = ann.sends('camera');
    const old = await sealed(camera);
    ben.told(keys(257, 2));
    expect(await opened(ben.receives('camera', LEAF), old)).toBe(null);
    ben.told(keys(1));
    expect(await opened(ben.receives('camera', LEAF), old)).toBe(null);
    ann.told(keys(257, 2), { type: 'send', epoch: 257 });
    expect(await opened(ben.receives('camera', LEAF), await sealed(camera))).toBe(VP8);
  });

  it('are not gone back to', async () => {
    const camera = ann.sends('camera');
    ann.told(keys(2), { type: 'send', epoch: 2 }, { type: 'send', epoch: 1 });
    expect(await sealed(camera)).toBe(null);
  });

  it('are gone on with after a pause, with the same counter', async () => {
    const [camera, far] = [ann.sends('camera'), ben.receives('camera', LEAF)];
    expect(await opened(far, await sealed(camera))).toBe(VP8);
    ann.told({ type: 'send', epoch: null });
    expect(await sealed(camera)).toBe(null);
    ann.told({ type: 'send', epoch: 1 });
    expect(await opened(far, await sealed(camera))).toBe(VP8);
  });
});

describe('the page hears', () => {
  const states = (end: End) =>
    end.reports.map((report) => (report.type === 'opened' ? report.state : report.type));

  it('of the first frame at once, of others once a second', async () => {
    const [camera, far] = [ann.sends('camera'), ben.receives('camera', LEAF)];
    await opened(far, await sealed(camera));
    expect(states(ben)).toEqual(['opening']);
    await opened(far, await sealed(camera));
    await opened(far, await sealed(camera));
    expect(ben.reports).toHaveLength(1);
    ben.pass();
    expect(ben.reports.at(-1)).toEqual({ type: 'opened', id: 2, state: 'opening', opened: 3, refused: {} });
    ben.pass();
    expect(ben.reports).toHaveLength(2);
    ann.pass();
    expect(ann.reports).toEqual([{ type: 'sealed', id: 1, sealed: 3, withheld: {} }]);
  });

  it('of a stream that fails, and of its return', async () => {
    const [camera, far] = [ann.sends('camera'), ben.receives('camera', LEAF)];
    await opened(far, await sealed(camera));
    for (let frame = 0; frame < 4; frame++) await opened(far, '10ff');
    expect(states(ben)).toEqual(['opening']);
    await opened(far, '10ff');
    await opened(far, await sealed(camera));
    expect(states(ben)).toEqual(['opening', 'failing', 'opening']);
  });

  it('of a stream that is not the one expected, whatever came before anything was', async () => {
    const far = ben.receives(null, null);
    for (let frame = 0; frame < 10; frame++) await opened(far, '10ff');
    expect(states(ben)).toEqual([]);
    far.expect('camera', LEAF);
    for (let frame = 0; frame < 5; frame++) await opened(far, '10ff');
    expect(states(ben)).toEqual(['failing']);
    far.expect('camera', LEAF + 1);
    expect(states(ben)).toEqual(['failing', 'waiting']);
  });
});

describe('a key frame is asked for', () => {
  it('after a gap, when frames can be opened again, not too often', async () => {
    const [camera, far] = [ann.sends('camera'), ben.receives('camera', LEAF)];
    await opened(far, await sealed(camera));
    expect(ben.keyFrames).toBe(0);
    for (let round = 0; round < 3; round++) {
      await opened(far, '10ff');
      await opened(far, await sealed(camera));
    }
    expect(ben.keyFrames).toBe(1);
    ben.now = 600;
    await opened(far, await sealed(camera));
    await opened(far, await sealed(camera));
    expect(ben.keyFrames).toBe(2);
  });

  it('neither for a key frame, nor for sound, nor for what was repeated', async () => {
    const [camera, far] = [ann.sends('camera'), ben.receives('camera', LEAF)];
    await opened(far, '10ff');
    await far.frame(frame((await sealed(camera)) ?? '', 'video/VP8', { type: 'key' }));
    const wire = await sealed(camera);
    await opened(far, wire);
    await opened(far, wire);
    await opened(far, await sealed(camera));
    const voice = ben.receives('microphone', LEAF);
    await opened(voice, 'ff', 'audio/opus');
    await opened(voice, await sealed(ann.sends('microphone'), sound()), 'audio/opus');
    expect(ben.keyFrames).toBe(0);
  });
});
