/** Reads what payload types stand for from a session description (RFC 8866 §6.6). */

import type { PayloadTypes } from './messages';

export function payloadTypes(sdp: string): PayloadTypes {
  const types: Record<number, string> = {};
  let media = '';
  for (const line of sdp.split(/\r?\n/)) {
    media = /^m=(\w+) /.exec(line)?.[1] ?? media;
    const [, type, name] = /^a=rtpmap:(\d+) ([^/ ]+)\//.exec(line) ?? [];
    if (type && name) types[Number(type)] = `${media}/${name}`;
  }
  return types;
}
