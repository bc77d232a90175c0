/** The test object of every scenario: one server for a file's tests, and people who come with their own browsers. */
import { randomBytes } from 'node:crypto';
import { test as base } from '@playwright/test';
import { fragmentOf, newSecret } from '../../../web/src/crypto/link.ts';
import { Crowd } from './crowd.ts';
import { lookFiles, type Look, type MediaFiles } from './media.ts';
import { Person } from './person.ts';
import { Server } from './server.ts';
import { openChromium, openFirefox, type ChromiumWindow, type WindowOptions } from './window.ts';

export { expect } from '@playwright/test';

/** Who is who: no two alike, so that a mix-up shows. Tones lie between the harmonics of one another. */
export const LOOKS = {
  Ada: { colour: 'red', tone: 440 },
  Ben: { colour: 'green', tone: 620 },
  Cem: { colour: 'blue', tone: 850 },
  Dana: { colour: 'yellow', tone: 1130 },
} as const satisfies Record<string, Look>;
export type Name = keyof typeof LOOKS;

/** Makes people; closes their browsers after the test and checks that their pages were quiet. */
export interface People {
  chromium(
    name: Name,
    options?: Omit<WindowOptions, 'media'> & { media?: MediaFiles },
  ): Promise<Person<ChromiumWindow>>;
  firefox(name: string): Promise<Person>;
  /** People without browsers, who have this invitation. */
  crowd(link: string): Promise<Crowd>;
  /** A link to a room in which nobody is yet. */
  invitation(room: string): string;
  /** The first person starts a meeting of this name from the start page; all others come by the link. */
  meet(room: string, ...people: Person[]): Promise<string>;
  /** Closes somebody's browser before the test ends, with the same check; `origin` if their way to the server is another. */
  goodbye(person: Person, origin?: string): Promise<void>;
}

/** A link to a room, with a secret of its own. */
export function invitation({ origin }: Server, room: string): string {
  return `${origin}/${room}${fragmentOf(newSecret((count) => randomBytes(count)))}`;
}

export const test = base.extend<{ people: People }, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = await Server.start();
      await use(server);
      const { alive } = server;
      await server.stop();
      if (!alive) throw new Error('the server ended by itself');
    },
    { scope: 'worker' },
  ],
  people: async ({ server }, use, testInfo) => {
    const all: Person[] = [];
    const crowds: Crowd[] = [];
    const add = <P extends Person>(person: P) => {
      all.push(person);
      return person;
    };
    await use({
      chromium: async (name, options = {}) => {
        const media = options.media ?? lookFiles(LOOKS[name]);
        return add(new Person(name, await openChromium({ ...options, media }), LOOKS[name]));
      },
      firefox: async (name) => add(new Person(name, await openFirefox(), undefined)),
      crowd: async (link) => {
        const crowd = await Crowd.of(link);
        crowds.push(crowd);
        return crowd;
      },
      invitation: (room) => invitation(server, room),
      meet: async (room, first, ...others) => {
        if (!first) throw new Error('a meeting needs somebody');
        await first.window.open(`${server.origin}/`);
        await first.window.fill('[data-testid="start-room"]', room);
        await first.press('start-submit');
        await first.sees('prejoin-name');
        const link = await first.link();
        // All pages are there before the first camera is encoded, which is what these machines are short of.
        await Promise.all(others.map((other) => other.window.open(link)));
        await first.joinFromPrejoin();
        for (const other of others) await other.joinFromPrejoin();
        return link;
      },
      goodbye: async (person, origin = server.origin) => {
        await person.wasQuiet(origin);
        all.splice(all.indexOf(person), 1);
        await person.window.close();
      },
    });
    try {
      if (testInfo.status === testInfo.expectedStatus) {
        for (const person of all) await person.wasQuiet(server.origin);
      }
    } finally {
      await Promise.all([
        ...all.map((person) => person.window.close()),
        ...crowds.map((crowd) => crowd.end()),
      ]);
    }
  },
});
