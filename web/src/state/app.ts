/** Which screen is shown, and the way from one to the next. The address bar decides: `/`, `/{room}`, `/{room}#1…`. */

import { fragmentOf, parseFragment } from '../crypto/link';
import { DeviceError, type CapturedTrack } from '../rtc/types';
import { admit, leave, type Admitted } from './admission';
import { TabIdentity } from './identity';
import { MeetingModel } from './meeting';
import type { Refusal } from './messages';
import { Options } from './options';
import type { Ports } from './ports';
import { PreJoinModel, type Joined, type JoinSettings } from './prejoin';
import { endRefusal, joinRefusal, roomRefusal, type EndCause } from './refusals';
import { normaliseRoom, parseRoomName, pathOfRoom, roomOfPath } from './room-name';
import { StartModel, type Destination } from './start';
import { Store } from './store';

export type Screen =
  | { kind: 'start'; model: StartModel }
  | { kind: 'prejoin'; model: PreJoinModel }
  | { kind: 'meeting'; model: MeetingModel }
  | { kind: 'left'; room: string; refusal: Refusal | null; rejoining: boolean }
  /** The address names no room that could exist. */
  | { kind: 'no-room'; refusal: Refusal };

/** A meeting that lasted so long is joined again by itself; one that ends at once would end again. */
const LASTING_MS = 20_000;

export class AppModel {
  readonly screen: Store<Screen>;
  readonly options: Options;
  #identities: TabIdentity;
  #settings: JoinSettings | null = null;
  /** The address that the present screen stands for. */
  #shown = '';

  constructor(private readonly ports: Ports) {
    this.#identities = new TabIdentity(ports);
    this.options = new Options(ports.local);
    this.screen = new Store<Screen>(this.#fromAddress(false));
    ports.address.onChange(() => this.#addressChanged());
  }

  #here(): string {
    return this.ports.address.path() + this.ports.address.fragment();
  }

  #fromAddress(fresh: boolean): Screen {
    this.#shown = this.#here();
    const written = roomOfPath(this.ports.address.path());
    if (written === '') {
      return { kind: 'start', model: new StartModel(this.ports, (to) => this.#visit(to)) };
    }
    const name = parseRoomName(written ?? '\0');
    if (!name.ok) return { kind: 'no-room', refusal: roomRefusal(name.problem) };
    const model = new PreJoinModel(this.ports, this.#identities, (joined) => this.#joined(joined), {
      room: name.room,
      fragment: parseFragment(this.ports.address.fragment()),
      fresh,
    });
    return { kind: 'prejoin', model };
  }

  /** Back, forward, or an address typed over the present one. */
  #addressChanged(): void {
    const screen = this.screen.get();
    if (this.#here() === this.#shown) return;
    if (screen.kind === 'meeting') {
      const { room, secret } = screen.model.settings;
      if (this.#leadsTo(room, secret)) {
        this.ports.address.replace(pathOfRoom(room), secret === null ? '' : fragmentOf(secret));
        return;
      }
      void screen.model.leave();
    }
    this.#show(this.#fromAddress(false));
  }

  /** Whether the address, however it is spelt, means that room with that secret. */
  #leadsTo(room: string, secret: string | null): boolean {
    const [written, inLink] = [
      roomOfPath(this.ports.address.path()),
      parseFragment(this.ports.address.fragment()),
    ];
    return (
      written !== null &&
      normaliseRoom(written) === normaliseRoom(room) &&
      (secret === null ? inLink === null : inLink !== null && inLink.ok && inLink.secret === secret)
    );
  }

  #show(screen: Screen): void {
    const before = this.screen.get();
    if (before.kind === 'prejoin') before.model.close();
    this.#shown = this.#here();
    this.screen.set(screen);
  }

  #visit({ room, secret, fresh }: Destination): void {
    this.ports.address.push(pathOfRoom(room), secret ? fragmentOf(secret) : '');
    this.#show(this.#fromAddress(fresh));
  }

  goToStart(): void {
    this.ports.address.push('/', '');
    this.#show(this.#fromAddress(false));
  }

  #joined({ admitted, settings, tracks }: Joined): void {
    this.#settings = settings;
    const ended = (cause: EndCause) => this.#ended(model, cause);
    const model = new MeetingModel(this.ports, admitted, settings, ended, this.options);
    this.#show({ kind: 'meeting', model });
    void model.enter(tracks);
  }

  #ended(model: MeetingModel, cause: EndCause): void {
    const screen = this.screen.get();
    if (screen.kind !== 'meeting' || screen.model !== model) return;
    this.#show({
      kind: 'left',
      room: model.settings.room,
      refusal: endRefusal(cause),
      rejoining: false,
    });
    // The server took us for gone, and the connection is back: so are we, with new keys.
    if (cause === 'ended' && this.ports.clock.now() - model.view.get().startedAt >= LASTING_MS)
      void this.rejoin();
  }

  /** Joins the meeting that was just left, with the same name and the same devices. */
  async rejoin(): Promise<void> {
    const screen = this.screen.get();
    const settings = this.#settings;
    if (screen.kind !== 'left' || screen.rejoining || !settings) return;
    const waiting: Screen = { ...screen, rejoining: true, refusal: null };
    this.screen.set(waiting);
    const stillHere = () => this.screen.get() === waiting;
    // Devices first: the browser may ask for them, and a connection should not wait for the answer.
    const tracks = await this.#openDevices(settings);
    const admitted = stillHere() ? await this.#admitAgain(settings) : null;
    if (stillHere() && admitted && 'connection' in admitted) {
      this.#joined({ admitted, settings, tracks });
      return;
    }
    for (const track of tracks) track.stop();
    if (!admitted) return;
    if ('connection' in admitted) await leave(admitted);
    else if (stillHere()) this.screen.set({ ...screen, rejoining: false, refusal: admitted });
  }

  async #openDevices({ microphone, camera }: JoinSettings): Promise<CapturedTrack[]> {
    const opened = await this.ports.devices.open({
      microphone: microphone.on ? microphone.id : null,
      camera: camera.on ? camera.id : null,
    });
    return [opened.microphone, opened.camera].filter(
      (track): track is CapturedTrack => track !== undefined && !(track instanceof DeviceError),
    );
  }

  async #admitAgain({ room, secret, name, speaker }: JoinSettings): Promise<Admitted | Refusal> {
    try {
      return await admit(this.ports, this.#identities, {
        room: normaliseRoom(room),
        secret,
        name,
        speaker: speaker || null,
      });
    } catch (error) {
      return joinRefusal(error);
    }
  }
}
