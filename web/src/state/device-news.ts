/** What there is to say when devices are plugged in or out, or the system takes another one. */

import type { Device, DeviceKind } from '../rtc/types';
import type { Message, MessageKey } from './messages';

/** Entries of the list that stand for whatever the system uses, and are no device of their own. */
const ROLES = ['default', 'communications'];

const NOW: Record<DeviceKind, MessageKey> = {
  microphone: 'device.now-microphone',
  camera: 'device.now-camera',
  speaker: 'device.now-speaker',
};

/** As people know it: without the vendor's and the product's number. */
function nameOf({ label }: Device): string {
  return label.replace(/ \([0-9a-f]{4}:[0-9a-f]{4}\)$/i, '');
}

/** The devices of the first list that the second has not; a headset is one, not a microphone and a speaker. */
function without(devices: Device[], others: Device[]): string {
  const gone = devices.filter(
    (device) =>
      device.label !== '' &&
      !ROLES.includes(device.id) &&
      !others.some((other) => other.id === device.id && other.kind === device.kind),
  );
  return [...new Set(gone.map(nameOf))].join(', ');
}

export class DeviceNews {
  #devices: Device[] = [];
  /** Kinds that the browser has shown: of others a first device is not new, it was only hidden. */
  #shown = new Set<DeviceKind>();
  /** Names of what was in use last; by then the list may not have it any more. */
  #used = new Map<DeviceKind, string>();

  /** The browser's list at this moment. Returns what there is to say if it was a plug that changed it. */
  update(devices: Device[]): Message | null {
    const known = devices.filter(({ kind }) => this.#shown.has(kind));
    const [plugged, unplugged] = [without(known, this.#devices), without(this.#devices, devices)];
    this.#devices = devices;
    for (const { kind, label } of devices) if (label !== '') this.#shown.add(kind);
    if (plugged !== '') return { key: 'device.plugged', args: { devices: plugged } };
    if (unplugged !== '') return { key: 'device.unplugged', args: { devices: unplugged } };
    return null;
  }

  /** The device in use now. Returns what there is to say if it is another one than before. */
  use(kind: DeviceKind, id: string): Message | null {
    const device = this.#devices.find((known) => known.kind === kind && known.id === id);
    const [before, after] = [this.#used.get(kind), device ? nameOf(device) : ''];
    if (after === '') return null;
    this.#used.set(kind, after);
    return before === undefined || before === after ? null : { key: NOW[kind], args: { device: after } };
  }
}
