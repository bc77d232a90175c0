/** What this device remembers between meetings: the name and the chosen devices. Never rooms, never secrets. */

import { tidyName } from '../crypto/name';
import type { DeviceKind } from '../rtc/types';
import type { Memory } from './ports';

const NAME = 'konklave.name';
const PROBE = 'konklave.probe';
const DEVICE: Record<DeviceKind, string> = {
  microphone: 'konklave.microphone',
  camera: 'konklave.camera',
  speaker: 'konklave.speaker',
};

export class Preferences {
  constructor(private readonly local: Memory) {}

  /** Whether this browser keeps anything; some refuse, or are full. */
  kept(): boolean {
    this.local.set(PROBE, PROBE);
    const kept = this.local.get(PROBE) === PROBE;
    this.local.set(PROBE, null);
    return kept;
  }

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
