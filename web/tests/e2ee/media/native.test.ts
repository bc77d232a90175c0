import { describe, expect, it } from 'vitest';
import { codecOf } from '../../../src/e2ee/media/codecs/codec';
import { Keyring } from '../../../src/e2ee/media/keyring';
import { KINDS, type StreamKind } from '../../../src/e2ee/media/messages';
import { Opener } from '../../../src/e2ee/media/opener';
import { Sealer } from '../../../src/e2ee/media/sealer';
import sealed from '../../data/sealed-frames.json';
import { hex, toHex } from './frames';

const kindOf = (number: number) =>
  (Object.keys(KINDS) as StreamKind[]).find((kind) => KINDS[kind] === number) as StreamKind;

function keyring(): Keyring {
  const keyring = new Keyring();
  keyring.handle({ type: 'own', leaf: sealed.leaf });
  keyring.handle({ type: 'keys', epoch: sealed.epoch, base: hex(sealed.base).buffer });
  keyring.handle({ type: 'send', epoch: sealed.epoch });
  return keyring;
}

/** The fixture is made by the native code, `crates/e2ee/examples/sealed_frames.rs`. */
describe('native clients', () => {
  it('are understood', async () => {
    const keys = keyring();
    for (const { kind, codec, frame, wire } of sealed.frames) {
      const opener = new Opener(keys, () => 0);
      opener.expect({ kind: kindOf(kind), leaf: sealed.leaf });
      const result = await opener.open(codecOf(codec), hex(wire));
      expect('frame' in result ? toHex(result.frame) : result.refused).toBe(frame);
    }
  });

  it('seal as the browser does, bit by bit', async () => {
    const sealer = new Sealer(keyring());
    let last = '';
    for (const { kind, codec, skipped, frame, wire } of sealed.frames) {
      sealer.kind = kindOf(kind);
      const sound = codec.startsWith('audio/');
      if (skipped > 1000) continue;
      for (let before = 0; before < skipped; before++)
        await sealer.seal(codecOf('video/VP9'), false, hex('00'));
      const result = await sealer.seal(codecOf(codec), sound, hex(frame));
      last = 'frame' in result ? toHex(result.frame) : result.withheld;
      expect(last).toBe(wire);
    }
    expect(last).toBe(sealed.frames.at(-2)?.wire);
  });
});
