/**
 * Plugs that can be pulled: camera and microphone go and come as they do on a desk. Runs inside the page after the
 * probe; it is one self-contained function, because it is sent to the browser as text.
 */

export interface Plugs {
  /** Label of what the page has open; null for nothing. */
  inUse(kind: 'audioinput' | 'videoinput'): string | null;
  /** Takes the device of this label away, or all of a kind; whoever has it open is told. */
  pull(device: { label: string } | { kind: 'audioinput' | 'videoinput' }): Promise<void>;
  /** Brings the device of this label back. */
  plug(label: string): Promise<void>;
  /** Another program has the camera. */
  busy: boolean;
}

declare global {
  interface Window {
    plugs: Plugs;
  }
}

export function installPlugs(): void {
  const devices = navigator.mediaDevices;
  const [list, open] = [devices.enumerateDevices.bind(devices), devices.getUserMedia.bind(devices)];
  const pulled = new Set<string>();
  const here = async (kind: string) =>
    (await devices.enumerateDevices()).filter((device) => device.kind === kind && device.deviceId !== '');
  const live = (kind: string) =>
    window.probe.captured
      .flatMap((stream) => stream.getTracks())
      .filter((track) => track.readyState === 'live' && `${track.kind}input` === kind);
  const changed = () => devices.dispatchEvent(new Event('devicechange'));

  devices.enumerateDevices = async () => (await list()).filter(({ label }) => !pulled.has(label));

  /** What the browser would choose if the pulled ones were not there. */
  const choose = async (kind: string, wanted: boolean | MediaTrackConstraints | undefined) => {
    if (!wanted) return wanted;
    const left = await here(kind);
    // Before it is allowed, the list has no names, and nothing is pulled yet.
    if (pulled.size === 0) return wanted;
    if (left.length === 0) throw new DOMException('pulled', 'NotFoundError');
    const constraints = typeof wanted === 'object' ? wanted : {};
    const id = JSON.stringify(constraints.deviceId ?? '');
    const device = left.find(({ deviceId }) => id.includes(deviceId)) ?? left[0]!;
    return { ...constraints, deviceId: { exact: device.deviceId } };
  };
  devices.getUserMedia = async (constraints = {}) => {
    if (constraints.video && window.plugs.busy) throw new DOMException('in use', 'NotReadableError');
    return open({
      audio: await choose('audioinput', constraints.audio),
      video: await choose('videoinput', constraints.video),
    });
  };

  window.plugs = {
    inUse: (kind) => live(kind).at(-1)?.label ?? null,
    pull: async (device) => {
      const gone = (await list()).filter((one) =>
        'label' in device ? one.label === device.label : one.kind === device.kind,
      );
      for (const { label, kind } of gone) {
        pulled.add(label);
        for (const track of live(kind)) {
          if (track.label !== label) continue;
          track.stop();
          // The browser tells only those who did not stop it themselves.
          track.dispatchEvent(new Event('ended'));
        }
      }
      changed();
    },
    plug: async (label) => {
      const all = await list();
      const kind = all.find((one) => one.label === label)?.kind;
      pulled.delete(label);
      // The entry that stands for whatever the system uses is there as long as there is anything to use.
      for (const role of all)
        if (role.kind === kind && role.deviceId === 'default') pulled.delete(role.label);
      changed();
    },
    busy: false,
  };
}
