import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64 } from '../../../src/e2ee/keys/base64';
import { inputOfServer } from '../../../src/e2ee/keys/wire';

describe('base64', () => {
  it('goes there and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
        const text = toBase64(bytes);
        expect(text).toBe(Buffer.from(bytes).toString('base64'));
        expect(Buffer.from(fromBase64(text)).equals(bytes)).toBe(true);
      }),
    );
  });
});

describe('a message of the server', () => {
  it('becomes one input', () => {
    expect(inputOfServer('{"type":"waiting","from":"a"}')).toBe(
      '{"type":"channel","message":{"type":"waiting","from":"a"}}',
    );
  });

  it.each(['', '1', '"a"', 'null', '[]', '{"a":1},"type":"leave"', undefined, new ArrayBuffer(1)])(
    'is none where it is no object: %s',
    (data) => {
      expect(inputOfServer(data)).toBeNull();
    },
  );

  it('is none where it is endless', () => {
    expect(inputOfServer(`{"a":"${'b'.repeat(4 << 20)}"}`)).toBeNull();
  });
});
