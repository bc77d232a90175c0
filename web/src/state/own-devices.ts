/** One's own microphone, camera, screen and speaker during a meeting: switching, choosing, and what happens to them. */

import {
  DeviceError,
  type CapturedTrack,
  type Device,
  type DeviceKind,
  type RtcConnection,
  type RtcParticipant,
  type RtcTrack,
  type Unsubscribe,
} from '../rtc/types';
import { DeviceNews } from './device-news';
import type { Message } from './messages';
import type { Ports } from './ports';
import { Preferences } from './preferences';
import type { JoinSettings } from './prejoin';
import { deviceRefusal } from './refusals';
import { Store } from './store';

export interface ControlState {
  on: boolean;
  /** The browser or the library is busy with it. */
  pending: boolean;
}

export interface OwnDevicesState {
  microphone: ControlState;
  camera: ControlState;
  share: ControlState;
  canShare: boolean;
  canChooseSpeaker: boolean;
  devices: Device[];
  selected: Record<DeviceKind, string>;
}

/** Whom it tells. */
export interface OwnDevicesListener {
  /** Something was switched, so that there may be other tracks. */
  switched(): void;
  trouble(message: Message): void;
  news(message: Message): void;
}

type Input = 'microphone' | 'camera';

export class OwnDevices {
  readonly view: Store<OwnDevicesState>;
  #news = new DeviceNews();
  /** What the person is choosing another device for. */
  #choosing: DeviceKind | null = null;
  #preferences: Preferences;
  /** The microphone is on, or about to be, for as long as a key is held. */
  #talking = false;
  #ends: Unsubscribe[] = [];
  #ended = false;

  /** Keeps `settings` as the person has them, for when they join again. */
  constructor(
    private readonly ports: Pick<Ports, 'devices' | 'local'>,
    private readonly connection: RtcConnection,
    private readonly settings: JoinSettings,
    private readonly listener: OwnDevicesListener,
  ) {
    const { microphone, camera, speaker } = settings;
    this.#preferences = new Preferences(ports.local);
    this.view = new Store<OwnDevicesState>({
      microphone: { on: false, pending: false },
      camera: { on: false, pending: false },
      share: { on: false, pending: false },
      canShare: ports.devices.canShareScreen(),
      canChooseSpeaker: ports.devices.canChooseSpeaker(),
      devices: [],
      selected: { microphone: microphone.id, camera: camera.id, speaker },
    });
  }

  /** Follows what happens to the devices, until {@link end}. */
  begin(): void {
    this.#ends.push(
      this.connection.on('deviceChanged', (kind, id) => void this.#changed(kind, id)),
      this.ports.devices.onChange(() => void this.#plugged()),
    );
    void this.#first();
  }

  end(): void {
    this.#ended = true;
    // Joining again does not open a microphone that was only held open.
    if (this.#talking) this.settings.microphone.on = false;
    for (const end of this.#ends.splice(0)) end();
  }

  /** Publishes what was open before joining, and opens what else is wanted. */
  async publish(tracks: CapturedTrack[]): Promise<void> {
    const { microphone, camera } = this.settings;
    const [video, audio] = [tracks.find((track) => track.video), tracks.find((track) => !track.video)];
    await Promise.all([
      audio
        ? this.#busy('microphone', () => this.connection.publish(audio))
        : microphone.on
          ? this.#switch('microphone', true)
          : undefined,
      video
        ? this.#busy('camera', () => this.connection.publish(video))
        : camera.on
          ? this.#switch('camera', true)
          : undefined,
    ]);
    await this.#list();
  }

  /**
   * What of oneself is published now. While the connection is away, own tracks wait for the next one: only what the person
   * switches shows at once.
   */
  published(own: RtcParticipant | undefined, connected: boolean): void {
    const { microphone, camera, share } = this.view.get();
    const control = (before: ControlState, track: RtcTrack | null | undefined): ControlState =>
      connected || before.pending ? { ...before, on: isOn(track) } : before;
    this.view.patch({
      microphone: control(microphone, own?.microphone),
      camera: control(camera, own?.camera),
      share: { ...share, on: own?.screen != null },
    });
    this.#tellVanished('microphone', microphone);
    this.#tellVanished('camera', camera);
  }

  /** Off without anybody switching: the device is gone. */
  #tellVanished(kind: Input, before: ControlState): void {
    if (before.on && !before.pending && !this.view.get()[kind].on)
      this.#problem(new DeviceError(kind, 'missing'));
  }

  // ---- switching ----------------------------------------------------------------------------------------------

  toggleMicrophone(): Promise<void> {
    return this.#toggle('microphone');
  }

  toggleCamera(): Promise<void> {
    return this.#toggle('camera');
  }

  async toggleShare(): Promise<void> {
    const { share, canShare } = this.view.get();
    if (share.pending || (!share.on && !canShare)) return;
    await this.#busy('share', () => this.connection.setScreen(!share.on));
  }

  /** Somebody muted is heard while they hold a key; who is not muted changes nothing by it. */
  async holdToTalk(held: boolean): Promise<void> {
    const { on, pending } = this.view.get().microphone;
    if (held) {
      if (this.#talking || on || pending) return;
      this.#talking = true;
      await this.#switch('microphone', true);
      if (!this.#talking) await this.#mute();
    } else if (this.#talking) {
      this.#talking = false;
      // Still opening: it is muted as soon as it is open.
      if (!pending) await this.#mute();
    }
  }

  async #toggle(kind: Input): Promise<void> {
    const state = this.view.get()[kind];
    if (state.pending) return;
    // Whoever switches while holding the key wants it to stay so.
    if (kind === 'microphone') this.#talking = false;
    await this.#switch(kind, !state.on);
  }

  async #mute(): Promise<void> {
    if (this.view.get().microphone.on) await this.#switch('microphone', false);
  }

  async #switch(kind: Input, on: boolean): Promise<void> {
    const id = this.view.get().selected[kind] || null;
    await this.#busy(kind, () =>
      kind === 'microphone' ? this.connection.setMicrophone(on, id) : this.connection.setCamera(on, id),
    );
    this.settings[kind].on = this.view.get()[kind].on;
    if (on) await this.#list();
  }

  async #busy(control: Input | 'share', work: () => Promise<void>): Promise<void> {
    this.view.patch({ [control]: { ...this.view.get()[control], pending: true } });
    try {
      await work();
    } catch (error) {
      if (error instanceof DeviceError) this.#problem(error);
      else this.listener.trouble({ key: 'device.publish-failed' });
    } finally {
      if (!this.#ended) {
        this.listener.switched();
        this.view.patch({ [control]: { ...this.view.get()[control], pending: false } });
      }
    }
  }

  #problem(error: DeviceError): void {
    const refusal = deviceRefusal(error);
    if (refusal) this.listener.trouble(refusal);
  }

  // ---- choosing -----------------------------------------------------------------------------------------------

  async choose(kind: DeviceKind, id: string): Promise<void> {
    this.#preferences.rememberDevice(kind, id);
    if (kind === 'speaker') this.settings.speaker = id;
    else this.settings[kind].id = id;
    this.#choosing = kind;
    try {
      await this.connection.switchDevice(kind, id);
      this.#selected(kind, id);
      this.#news.use(kind, id);
    } catch (error) {
      if (error instanceof DeviceError) this.#problem(error);
    } finally {
      this.#choosing = null;
    }
  }

  #selected(kind: DeviceKind, id: string): void {
    this.view.patch({ selected: { ...this.view.get().selected, [kind]: id } });
  }

  async #list(): Promise<Message | null> {
    const devices = await this.ports.devices.list();
    if (!this.#ended) this.view.patch({ devices });
    return this.#news.update(devices);
  }

  async #first(): Promise<void> {
    await this.#list();
    const { microphone, camera, speaker } = this.view.get().selected;
    this.#news.use('microphone', microphone);
    this.#news.use('camera', camera);
    this.#news.use('speaker', speaker);
  }

  async #plugged(): Promise<void> {
    this.#tell(await this.#list());
  }

  /** Another device is in use. Whoever chose it themselves knows. */
  async #changed(kind: DeviceKind, id: string): Promise<void> {
    const chosen = this.#choosing === kind;
    this.#selected(kind, id);
    await this.#list();
    const news = this.#news.use(kind, id);
    if (!chosen) this.#tell(news);
  }

  #tell(message: Message | null): void {
    if (message) this.listener.news(message);
  }
}

function isOn(track: { muted: boolean } | null | undefined): boolean {
  return track != null && !track.muted;
}
