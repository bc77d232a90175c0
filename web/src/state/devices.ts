/** The device types that the interface draws. */

export type { Device, DeviceKind } from '../rtc/types';
