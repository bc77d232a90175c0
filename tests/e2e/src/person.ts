/** One participant of a test meeting: what a person does and sees, in the page's own terms. */
import { expect } from '@playwright/test';
import { COLOURS, FRAMES, type Colour, type Look } from './media.ts';
import type { Picture, Received, Tone } from './probe.ts';
import { measureSync } from './sync.ts';
import type { Window } from './window.ts';
import { until } from './until.ts';

/** Selector of a `data-testid`, with further attributes. */
export function testId(id: string, attributes: Record<string, string> = {}): string {
  const rest = Object.entries(attributes).map(([name, value]) => `[data-${name}="${value}"]`);
  return `[data-testid="${id}"]${rest.join('')}`;
}

export class Person<W extends Window = Window> {
  constructor(
    readonly name: string,
    readonly window: W,
    /** What this person's devices play; undefined for Firefox, which brings its own. */
    readonly look: Look | undefined,
  ) {}

  /** Opens an invitation and joins with camera and microphone on. */
  async join(link: string): Promise<void> {
    await this.window.open(link);
    await this.joinFromPrejoin();
  }

  /** From the page before the meeting into the meeting, by this button. */
  async joinFromPrejoin(button: 'prejoin-join' | 'prejoin-anyway' = 'prejoin-join'): Promise<void> {
    await this.window.fill(testId('prejoin-name'), this.name);
    // Perhaps there is no microphone; that keeps nobody out.
    const before = await this.attribute('error-message', 'data-code');
    await this.window.click(testId(button));
    // As long as the page itself would try: its request, its WebSocket and its peer connection have 15 s each.
    await until(
      `${this.name} to be in the meeting`,
      async () => {
        const refusal = await this.attribute('error-message', 'data-code');
        if (refusal && refusal !== before) throw new Error(`${this.name} did not get in: ${refusal}`);
        return (await this.count('connection-state', { state: 'connected' })) === 1;
      },
      { timeout: 50_000 },
    );
  }

  /** The invitation: the address with its secret. */
  link(): Promise<string> {
    return this.window.url();
  }

  async press(id: string): Promise<void> {
    await this.window.click(testId(id));
  }

  /** Number of elements with this test id and these data attributes. */
  count(id: string, attributes: Record<string, string> = {}): Promise<number> {
    return this.window.evaluate(
      (selector) => document.querySelectorAll(selector).length,
      testId(id, attributes),
    );
  }

  /** Waits until there are exactly `times` such elements. */
  async sees(id: string, attributes: Record<string, string> = {}, times = 1): Promise<void> {
    const what = `${this.name} to see ${times} × ${testId(id, attributes)}`;
    await expect.poll(() => this.count(id, attributes), { message: what }).toBe(times);
  }

  /** Value of an attribute of the one element with this test id; null when there is none. */
  attribute(id: string, attribute: string): Promise<string | null> {
    return this.window.evaluate(
      ([selector, name]) => document.querySelector(selector)?.getAttribute(name) ?? null,
      [testId(id), attribute] as [string, string],
    );
  }

  /** Writes to the chat, which is open. */
  async write(text: string): Promise<void> {
    await this.window.fill(testId('chat-input'), text);
    await this.press('chat-send');
  }

  /** The texts of the chat, oldest first. */
  texts(): Promise<(string | undefined)[]> {
    return this.window.evaluate(
      (selector) => [...document.querySelectorAll(selector)].map((text) => text.textContent?.trim()),
      testId('chat-text'),
    );
  }

  /** Selector of the picture of another person's camera or screen. */
  video(of: Person, source: 'camera' | 'screen_share' = 'camera'): string {
    return `${testId('tile', { name: of.name, local: String(of === this), source })} video`;
  }

  picture(of: Person, source?: 'camera' | 'screen_share'): Promise<Picture | null> {
    return this.window.evaluate((selector) => window.probe.picture(selector), this.video(of, source));
  }

  /** Selector of the hidden audio element that plays another person. */
  async audio(of: Person): Promise<string> {
    return testId('remote-audio', { identity: await this.identityOf(of.name), source: 'microphone' });
  }

  /** Who somebody of this name is, once there is a tile of them. */
  identityOf(name: string): Promise<string> {
    return until(`${this.name} to have a tile of ${name}`, () =>
      this.window.evaluate(
        (selector) => document.querySelector(selector)?.getAttribute('data-identity') ?? null,
        testId('tile', { name, source: 'camera' }),
      ),
    );
  }

  async tone(of: Person): Promise<Tone | null> {
    return this.window.evaluate((selector) => window.probe.tone(selector), await this.audio(of));
  }

  received(kind: 'audio' | 'video'): Promise<Received> {
    return this.window.evaluate((which) => window.probe.received(which), kind);
  }

  /** Begins to note flashes and beeps in another's media, or in one's own as it is sent. */
  async watchSync(of: Person): Promise<void> {
    const sound = of === this ? null : await this.audio(of);
    await this.window.evaluate(([name, video, audio]) => window.probe.watch(name, video, audio), [
      of.name,
      this.video(of),
      sound,
    ] as [string, string, string | null]);
  }

  /** How long after the flash the beep comes, in ms, in the media of somebody watched. */
  lipSync(of: Person): Promise<number> {
    return measureSync(this.window, of.name);
  }

  /** Waits until the other's picture is there with the right colour, and its frame counter goes on. */
  async seesPictureOf(other: Person): Promise<void> {
    const { look } = other;
    const who = `${this.name} to see ${other.name}`;
    if (!look) {
      // Firefox's own fake camera has no counter: its picture has to be there and to change.
      const first = await until(who, () => this.picture(other));
      await until(`${who} move`, async () => {
        const next = await this.picture(other);
        return next !== null && String(next.rgb) !== String(first.rgb);
      });
      return;
    }
    let seen: Picture | null = null;
    const first = await until(
      `${who} in ${look.colour} with a counter`,
      async () => {
        seen = await this.picture(other);
        return seen !== null && seen.counter !== null && nearest(seen.rgb) === look.colour ? seen : undefined;
      },
      { timeout: 30_000 },
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; picture: ${JSON.stringify(seen)}`);
    });
    let last = first.counter!;
    let advanced = 0;
    // Two seconds of film. A step back is another layer's picture, a little older, and no progress.
    await until(`${who} for 30 frames`, async () => {
      const next = await this.picture(other);
      if (next?.counter == null) return false;
      const step = (next.counter - last + FRAMES) % FRAMES;
      if (step < FRAMES / 2) advanced += step;
      last = next.counter;
      return advanced >= 30;
    });
  }

  /** Waits until the other's tone arrives at its own frequency. */
  async hears(other: Person): Promise<void> {
    const { look } = other;
    let heard: Tone | null = null;
    await until(
      `${this.name} to hear ${other.name}`,
      async () => {
        heard = await this.tone(other);
        if (!heard || heard.db < -60) return false;
        return look ? Math.abs(heard.hz - look.tone) <= 10 : true;
      },
      { timeout: 30_000 },
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; tone: ${JSON.stringify(heard)}`);
    });
  }

  async seesAndHears(other: Person): Promise<void> {
    await this.seesPictureOf(other);
    await this.hears(other);
  }

  /** Nothing left the origin, nothing was refused by the content security policy, nothing was reported as an error. */
  async wasQuiet(origin: string): Promise<void> {
    const allowed = new URL(origin);
    const foreign = this.window.log.requests.filter((text) => {
      const url = new URL(text);
      return !['data:', 'blob:', 'about:'].includes(url.protocol) && url.host !== allowed.host;
    });
    expect(foreign, `${this.name}: requests that left the origin`).toEqual([]);
    expect(
      await this.window.evaluate(() => window.probe.violations, undefined),
      `${this.name}: content security policy`,
    ).toEqual([]);
    expect(this.window.log.errors, `${this.name}: console errors`).toEqual([]);
  }
}

/** What the browser and the library complain about while there is no way to the server: that is what such a test is about. */
export function forgetLost(person: Person): void {
  const { errors } = person.window.log;
  const expected =
    /ERR_(CONNECTION_(REFUSED|RESET|TIMED_OUT)|INTERNET_DISCONNECTED|ADDRESS_UNREACHABLE|NETWORK_CHANGED|TIMED_OUT)|Failed to fetch|data channel .* closed|reading from signal stream|leave request while trying to/;
  errors.splice(0, errors.length, ...errors.filter((error) => !expected.test(error)));
}

/** The palette's name for a colour that came through a codec; null when it is far from all of them. */
export function nearest(rgb: readonly number[]): Colour | null {
  const distance = (to: readonly number[]) => Math.hypot(...to.map((value, index) => value - rgb[index]!));
  const [best] = (Object.keys(COLOURS) as Colour[]).sort(
    (a, b) => distance(COLOURS[a]) - distance(COLOURS[b]),
  );
  return best && distance(COLOURS[best]) < 60 ? best : null;
}
