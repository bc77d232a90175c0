/** Fifty people without browsers and one with: pages of pictures, one list of people, few words about it. */
import { expect, test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import { rest } from '../src/rest.ts';
import { until } from '../src/until.ts';
import type { ChromiumWindow } from '../src/window.ts';

const CROWD = 50;
const PAGE = 25;
/** Those who show a picture: the first of the first page and of the second. */
const showsPicture = (index: number) => index % PAGE < 6;
/** What is gathered into one announcement, in milliseconds. */
const BATCH = 3000;
const LOUD = -15;
const SILENT = -127;

type Somebody = Person<ChromiumWindow>;

/** Names and places of the tiles, in the order of the page. */
function places({ window }: Somebody): Promise<string[]> {
  return window.page.locator(testId('tile')).evaluateAll((tiles) =>
    tiles.map((tile) => {
      const { left, top, width, height } = tile.getBoundingClientRect();
      return [tile.getAttribute('data-name'), left, top, width, height].map(String).join(' ');
    }),
  );
}

/** Ids of the tracks that the tiles show, once each of these people is seen. */
async function shown(person: Somebody, names: string[]): Promise<string[]> {
  return until('pictures of everybody on the page', () =>
    person.window.evaluate(
      ([tile, wanted]) => {
        const ids = (wanted as string[]).map((name) => {
          const video = document.querySelector<HTMLVideoElement>(
            `${tile as string}[data-name="${name}"] video`,
          );
          const stream = video?.srcObject as MediaStream | null | undefined;
          return video && video.videoWidth > 0 ? stream?.getVideoTracks()[0]?.id : undefined;
        });
        return ids.includes(undefined) ? undefined : (ids as string[]);
      },
      [testId('tile'), names] as [string, string[]],
    ),
  );
}

/** While a second of the pictures that are shown arrives, nothing of the others does. */
async function onlyTheseArrive(person: Somebody, names: string[]): Promise<void> {
  const ids = await shown(person, names);
  const packets = () => person.window.evaluate(() => window.probe.videoPackets(), undefined);
  const others = (all: Record<string, number>) =>
    Object.entries(all)
      .filter(([id]) => !ids.includes(id))
      .map(([id, count]) => `${id}: ${count}`);
  await until('only the pictures on this page', async () => {
    const before = await packets();
    await until('a second of pictures', async () => {
      const now = await packets();
      return ids.every((id) => (now[id] ?? 0) >= (before[id] ?? 0) + 15);
    });
    return String(others(before)) === String(others(await packets()));
  });
}

test('fifty others', async ({ people }) => {
  test.setTimeout(180_000);
  const ada = await people.chromium('Ada');
  const { page } = ada.window;
  const crowd = await people.crowd(await people.meet('crowd', ada));
  await page.evaluate(() => {
    const said: string[] = ((window as { said?: string[] }).said = []);
    const live = document.querySelector('[aria-live="polite"]')!;
    new MutationObserver(() => said.push(live.textContent ?? '')).observe(live, {
      childList: true,
      characterData: true,
      subtree: true,
    });
  });
  const said = () => page.evaluate(() => (window as unknown as { said: string[] }).said);

  const names = Array.from({ length: CROWD }, (_, index) => `Guest ${String(index + 1).padStart(2, '0')}`);
  const begin = Date.now();
  const identities = await Promise.all(
    names.map((name, index) => crowd.join(name, { audio: true, video: showsPicture(index) })),
  );
  await ada.sees('tile', {}, PAGE);

  await test.step('who comes is announced in few words', async () => {
    await expect.poll(async () => (await said()).at(-1)).toMatch(/joined/);
    const batches = Math.ceil((Date.now() - begin) / BATCH) + 1;
    const joined = (await said()).filter((text) => /joined/.test(text));
    expect(joined.length, joined.join(' ')).toBeLessThanOrEqual(batches);
    expect(joined.length, joined.join(' ')).toBeLessThan(CROWD / 3);
  });

  await test.step('three pages; only the pictures of one arrive', async () => {
    await onlyTheseArrive(
      ada,
      names.filter((_, index) => index < PAGE && showsPicture(index)),
    );
    await ada.press('page-next');
    await ada.sees('tile', { name: names[PAGE]! });
    await ada.sees('tile', {}, PAGE);
    await onlyTheseArrive(
      ada,
      names.filter((_, index) => index >= PAGE && showsPicture(index)),
    );
    await ada.press('page-next');
    await ada.sees('tile', {}, 1);
    await ada.sees('tile', { local: 'true' });
    await ada.sees('pages', { page: '3', pages: '3' });
    await ada.press('page-previous');
    await ada.press('page-previous');
    await ada.sees('tile', { name: names[0]! });
    await ada.sees('tile', {}, PAGE);
  });

  await test.step('who speaks moves nobody', async () => {
    await rest(ada.window);
    const before = await places(ada);
    for (const speaker of [0, 12, 24]) {
      await crowd.level(identities[speaker]!, LOUD);
      await ada.sees('tile', { name: names[speaker]!, speaking: 'true' });
      expect(await places(ada)).toEqual(before);
      await crowd.level(identities[speaker]!, SILENT);
      await ada.sees('tile', { speaking: 'true' }, 0);
    }
    // Somebody on another page.
    await ada.press('toggle-people');
    await rest(ada.window);
    const beside = await places(ada);
    await crowd.level(identities[40]!, LOUD);
    await ada.sees('person', { name: names[40]!, speaking: 'true' });
    expect(await places(ada)).toEqual(beside);
    await crowd.level(identities[40]!, SILENT);
  });

  await test.step('the list holds everybody, and finds one', async () => {
    await ada.sees('person', {}, CROWD + 1);
    await ada.window.fill(testId('people-search'), 'guest 37');
    await ada.sees('person', {}, 1);
    await ada.sees('person', { name: 'Guest 37' });
    await ada.window.fill(testId('people-search'), '');
    await ada.press('toggle-people');
  });

  await test.step('who goes is announced in few words, and the page is filled again', async () => {
    const announced = (await said()).length;
    const end = Date.now();
    for (const identity of identities.slice(0, 12)) await crowd.leave(identity);
    await ada.sees('tile', { name: names[0]! }, 0);
    await ada.sees('tile', {}, PAGE);
    await ada.sees('tile', { name: names[36]! });
    await expect.poll(async () => (await said()).length).toBeGreaterThan(announced);
    const left = (await said()).slice(announced).filter((text) => text !== '');
    expect(left.join(' ')).toMatch(/left/);
    expect(left.length, left.join(' ')).toBeLessThanOrEqual(Math.ceil((Date.now() - end) / BATCH) + 1);
  });
});
