/** What this device remembers between meetings: the name and the chosen devices. Never rooms, never secrets. */

import { tidyName } from '../crypto/name';
import type { DeviceKind } from '../rtc/types';
import type { Memory } from './ports';

const NAME = 'konklave.name';
const DEVICE: Record<DeviceKind, string> = {
  microphone: 'konklave.microphone',
  camera: 'konklave.camera',
  speaker: 'konklave.speaker',
};

export class Preferences {
  constructor(private readonly local: Memory) {}

  name(): string {
    return tidyName(this.local.get(NAME) ?? '');
  }

  rememberName(name: string): void {
    this.local.set(NAME, name === '' ? null : name);
  }

  /** Id of the device chosen last, `''` for the system's choice. */
  device(kind: DeviceKind): string {
    return this.local.get(DEVICE[kind]) ?? '';
  }

  rememberDevice(kind: DeviceKind, id: string): void {
    this.local.set(DEVICE[kind], id === '' ? null : id);
  }
}
