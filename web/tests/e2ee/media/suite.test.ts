import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/crypto/bytes';
import { headerOf } from '../../../src/e2ee/media/header';
import { deriveKey, importBase, label, Parameters, writeNonce } from '../../../src/e2ee/media/suite';
import vectors from '../../data/rfc9605.json';
import { hex, toHex } from './frames';

const vector = vectors.sframe;
const base = () => importBase(hex(vector.base_key).buffer);

describe('the suite AES_128_GCM_SHA256_128, as in RFC 9605 C.3', () => {
  it('has the labels', () => {
    expect(toHex(label('SFrame 1.0 Secret key ', vector.kid))).toBe(vector.sframe_key_label);
    expect(toHex(label('SFrame 1.0 Secret salt ', vector.kid))).toBe(vector.sframe_salt_label);
  });

  it('derives the salt, and the key from the same secret', async () => {
    const { salt } = await deriveKey(await base(), vector.kid, 'encrypt');
    expect(toHex(salt)).toBe(vector.sframe_salt);
    const info = Buffer.concat([hex(vector.sframe_key_label), Buffer.from([1])]);
    const expanded = createHmac('sha256', hex(vector.sframe_secret)).update(info).digest();
    expect(expanded.subarray(0, 16).toString('hex')).toBe(vector.sframe_key);
  });

  it('makes the nonce', () => {
    const nonce = new Uint8Array(12);
    writeNonce(nonce, hex(vector.sframe_salt), vector.ctr);
    expect(toHex(nonce)).toBe(vector.nonce);
  });

  it('seals and opens', async () => {
    // The kind of the stream is the first byte of the metadata.
    const [kind = 0, ...clear] = hex(vector.metadata);
    const header = headerOf(vector.kid, vector.ctr);
    const sealing = await deriveKey(await base(), vector.kid, 'encrypt');
    const parameters = new Parameters().of(sealing, vector.ctr, header, kind, new Uint8Array(clear));
    expect(toHex(parameters.additionalData)).toBe(vector.aad);
    const sealed = await crypto.subtle.encrypt(parameters, sealing.key, hex(vector.pt));
    expect(toHex(header) + toHex(new Uint8Array(sealed))).toBe(vector.ct);

    const opening = await deriveKey(await base(), vector.kid, 'decrypt');
    const opened = await crypto.subtle.decrypt(parameters, opening.key, sealed);
    expect(toHex(new Uint8Array(opened))).toBe(vector.pt);
  });
});

describe('keys', () => {
  it('cannot be exported, and their bytes are overwritten', async () => {
    const bytes = utf8('sixteen bytes !!');
    const imported = await importBase(bytes.buffer);
    expect([...bytes]).toEqual(Array(16).fill(0));
    const { key } = await deriveKey(imported, 1, 'encrypt');
    for (const handle of [imported, key]) {
      expect(handle.extractable).toBe(false);
      await expect(crypto.subtle.exportKey('raw', handle)).rejects.toThrow();
    }
    await expect(
      crypto.subtle.decrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, key, new Uint8Array(32)),
    ).rejects.toThrow();
  });

  it('give parameters that may be overwritten as soon as WebCrypto was called', async () => {
    const key = await deriveKey(await importBase(utf8('base').buffer), 1, 'encrypt');
    const shared = new Parameters();
    const seal = (parameters: Parameters, counter: number) =>
      crypto.subtle.encrypt(
        parameters.of(key, counter, headerOf(1, counter), 2, utf8(`clear ${counter}`)),
        key.key,
        utf8('secret'),
      );
    const together = await Promise.all([1, 2, 3].map((counter) => seal(shared, counter)));
    const apart = await Promise.all([1, 2, 3].map((counter) => seal(new Parameters(), counter)));
    expect(together).toEqual(apart);
  });
});
