/**
 * What follows from a link, a leaf's key and an epoch, written from `docs/e2ee.md` alone: nothing of `src` or `crates` is
 * used, so that a test fails where that text and the code differ.
 */

import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

const SALT = 'konklave v1';
const NAME_BYTES = 128;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';

export type Bytes = Uint8Array<ArrayBuffer>;

export const bytes = (from: string | Uint8Array | ArrayBuffer): Bytes =>
  typeof from === 'string' ? new TextEncoder().encode(from) : new Uint8Array(from);

export const toBase64 = (from: Uint8Array): string => Buffer.from(from).toString('base64');
export const fromBase64 = (text: string): Bytes => bytes(Buffer.from(text, 'base64'));

export function join(...parts: (string | Uint8Array)[]): Bytes {
  return bytes(Buffer.concat(parts.map((part) => bytes(part))));
}

export function number(value: number | bigint, length: number): Bytes {
  const out = new Uint8Array(length);
  for (let at = length - 1, rest = BigInt(value); at >= 0; at--, rest >>= 8n) out[at] = Number(rest & 255n);
  return out;
}

export const sha256 = (...parts: (string | Uint8Array)[]): Bytes =>
  bytes(
    createHash('sha256')
      .update(join(...parts))
      .digest(),
  );

/** HKDF with SHA-256 (RFC 5869), to 32 bytes. */
export const hkdf = (salt: string | Uint8Array, material: Uint8Array, info: string): Bytes =>
  bytes(hkdfSync('sha256', material, bytes(salt), bytes(info), 32));

/** AES-256-GCM with the nonce in front. */
export function seal(key: Bytes, additional: Bytes, plain: Bytes): Bytes {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(additional);
  return join(nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag());
}

export function open(key: Bytes, additional: Bytes, sealed: Bytes): Bytes {
  const cipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES)).setAAD(additional);
  cipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  return join(cipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), cipher.final());
}

/** The identity of a signature key. */
export function identityOf(key: Uint8Array): string {
  const bits = [...sha256('konklave id v1', key)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return Array.from({ length: 26 }, (_, at) => DIGITS[parseInt(bits.slice(at * 5, at * 5 + 5), 2)]).join('');
}

/** What people compare in an epoch. */
export function digitsOf(authenticator: Uint8Array): string[] {
  const hash = sha256('konklave digits v1', authenticator).subarray(0, 16);
  const all = (BigInt(`0x${Buffer.from(hash).toString('hex')}`) % 10n ** 30n).toString().padStart(30, '0');
  return all.match(/.{5}/g) ?? [];
}

/** A password after Argon2id. What it takes to come there is not looked at here. */
export class Stretched {
  constructor(readonly bytes: Bytes) {}

  /** What a host's word about it holds, for members who have this secret of the epoch. */
  action(exported: Bytes): Bytes {
    const verifier = sha256(hkdf(SALT, this.bytes, 'door'));
    return join(new Uint8Array([4]), verifier, seal(exported, bytes('konklave password v1'), this.bytes));
  }
}

/** What a host signs, and in front of it what else the signature covers. */
export function statement(
  place: (string | Uint8Array)[],
  host: Uint8Array,
  counter: number,
  action: Uint8Array,
) {
  const body = join(new Uint8Array([1]), host, number(counter, 8), action);
  const named = place.flatMap((part) => [number(bytes(part).length, 8), part]);
  return { body, signed: join('konklave host action v1', ...named, body) };
}

/** The keys of one link in one room. */
export class Link {
  readonly #material: Bytes;

  constructor(
    readonly room: string,
    /** S, 20 characters. */
    readonly secret = '0'.repeat(20),
  ) {
    this.#material = join(secret, room);
  }

  /** The link after a kick, from what MLS exports for it. */
  next(exported: Uint8Array): Link {
    const secret = [...exported].map((byte) => DIGITS[byte & 31]).join('');
    return new Link(this.room, secret.toUpperCase());
  }

  get fragment(): string {
    const sum = [...this.secret.toLowerCase()].reduce(
      (sum, digit, at) => sum + (at + 1) * DIGITS.indexOf(digit),
      0,
    );
    return `#1${this.secret}${DIGITS[sum % 31]?.toUpperCase()}`;
  }

  #expand(label: string): Bytes {
    return hkdf(SALT, this.#material, label);
  }

  /** The PSK of joining. */
  psk(password: Stretched | null = null): Bytes {
    return password ? hkdf(SALT, join(this.#material, password.bytes), 'psk') : this.#expand('psk');
  }

  /** Its id: 16 bytes, and how many words about passwords there were. */
  pskId(passwords = 0): Bytes {
    return join(this.#expand('psk id').subarray(0, 16), number(passwords, 8));
  }

  sealName(identity: string, name: string): Bytes {
    const padded = new Uint8Array(NAME_BYTES);
    padded.set(bytes(name));
    return seal(this.#expand('name'), join('konklave name v1', this.room, identity), padded);
  }

  #knock(identity: string): [Bytes, Bytes] {
    return [this.#expand('knock'), join('konklave knock v1', this.room, identity)];
  }

  sealKeyPackage(identity: string, keyPackage: Uint8Array): Bytes {
    return seal(...this.#knock(identity), bytes(keyPackage));
  }

  openKeyPackage(identity: string, sealed: Bytes): Bytes {
    return open(...this.#knock(identity), sealed);
  }

  /** The base key of media, from what MLS exports for it. */
  mediaKey(exported: Uint8Array): Bytes {
    return hkdf(this.#expand('media'), exported, 'konklave media v1');
  }
}
