/** Names and messages that were made to do harm or are simply odd: they are text, and nothing leaves its place. */
import { expect, test } from '../src/meeting.ts';
import { testId, type Person } from '../src/person.ts';
import { rest } from '../src/rest.ts';
import type { ChromiumWindow } from '../src/window.ts';

const NAMES = {
  script: '<script>window.hacked = 1</script>',
  image: '<img src=x onerror="window.hacked = 1">',
  emoji: '🦊🍕🎉',
  arabic: 'مرحبا \u202Egnp.exe\u202C \u2067שלום\u2069',
  marks: `Z${'\u0301\u0320'.repeat(25)}`,
  longest: 'W'.repeat(128),
};
/** What another program, which has no keys, calls itself: longer than any name, and not sealed. */
const FOREIGN = `<b>${'foreign '.repeat(25)}</b>`;
const FOREIGNER = `foreign-${'i'.repeat(100)}`;

const SCREENS = [
  { width: 1280, height: 720 },
  { width: 844, height: 390 },
  { width: 320, height: 640 },
];

/** What leaves the place it belongs to: parts of tiles and rows, and the page itself. */
async function escaped(person: Person): Promise<string[]> {
  await rest(person.window);
  return person.window.evaluate(
    ([tiles, rows, messages]) => {
      const found: string[] = [];
      const within = (inner: DOMRect, outer: DOMRect) =>
        inner.left >= outer.left - 1 &&
        inner.right <= outer.right + 1 &&
        inner.top >= outer.top - 1 &&
        inner.bottom <= outer.bottom + 1;
      const check = (selector: string, place: (element: Element) => Element) => {
        for (const outer of document.querySelectorAll(selector)) {
          const rect = place(outer).getBoundingClientRect();
          // What a parent clips may be as large as it likes.
          const clips = (element: Element): boolean =>
            element !== outer &&
            (/hidden|clip/.test(getComputedStyle(element).overflowX) || clips(element.parentElement!));
          for (const inner of outer.querySelectorAll('*')) {
            if (inner.parentElement && inner !== outer && clips(inner.parentElement)) continue;
            if (inner.getAttribute('class')?.includes('sr-only') || inner.closest('svg, video, button'))
              continue;
            if (!within(inner.getBoundingClientRect(), rect))
              found.push(
                `${inner.localName}.${inner.getAttribute('class')} of ${outer.getAttribute('data-name')}`,
              );
          }
        }
      };
      check(tiles, (tile) => tile);
      check(rows, (row) => row);
      check(messages, (message) => message);
      for (const element of [
        document.documentElement,
        ...document.querySelectorAll(':is([role="complementary"], [role="dialog"]) [role="group"]'),
      ])
        if (element.scrollWidth > element.clientWidth) found.push(`${element.localName} scrolls sideways`);
      return found;
    },
    [testId('tile'), testId('person'), testId('chat-message')] as [string, string, string],
  );
}

async function onEveryScreen(
  { window }: Person<ChromiumWindow>,
  look: (name: string) => Promise<void>,
): Promise<void> {
  for (const size of SCREENS) {
    await window.page.setViewportSize(size);
    await look(`${size.width}×${size.height}`);
  }
  await window.page.setViewportSize(SCREENS[0]!);
}

const hacked = (person: Person) => person.window.evaluate(() => 'hacked' in window, undefined);

test('odd names are text, and stay in their places', async ({ people, server }) => {
  const ada = await people.chromium('Ada');
  const link = await people.meet('names', ada);
  const crowd = await people.crowd(link);

  // With two people the other fills the stage, with three there is a grid.
  await crowd.join(NAMES.longest);
  await ada.sees('tile', { name: NAMES.longest });
  await onEveryScreen(ada, async (screen) => expect(await escaped(ada), screen).toEqual([]));
  for (const name of [NAMES.script, NAMES.image, NAMES.emoji, NAMES.arabic, NAMES.marks])
    await crowd.join(name);
  await crowd.joinAs(FOREIGNER, FOREIGN);
  await ada.sees('tile', {}, 8);
  await ada.sees('tile', { identity: FOREIGNER, name: '' });
  await onEveryScreen(ada, async (screen) => expect(await escaped(ada), screen).toEqual([]));

  await ada.press('toggle-people');
  await ada.sees('person', {}, 8);
  await onEveryScreen(ada, async (screen) => {
    expect(await escaped(ada), screen).toEqual([]);
    const rows = await ada.window.page.locator(testId('person')).evaluateAll((all) =>
      all.map((row) => {
        const name = row.querySelector('bdi')!;
        const { height } = row.getBoundingClientRect();
        return { name: name.textContent, width: name.getBoundingClientRect().width, height };
      }),
    );
    for (const { name, width, height } of rows) {
      expect(name, screen).not.toBe('');
      expect(width, `${screen}: ${name}`).toBeGreaterThan(8);
      expect(height, `${screen}: ${name}`).toBeLessThan(90);
    }
  });
  const names = await ada.window.page.locator(`${testId('person')} bdi`).allTextContents();
  expect(names).toContain(NAMES.script);
  expect(names).toContain(NAMES.image);
  // Of whom nothing is known by keys, nothing is believed.
  await expect(ada.window.page.locator('body')).not.toContainText('foreign');
  await ada.sees('tile', { identity: FOREIGNER, name: '', trust: 'keyless' });
  // What turns the letters of others round is taken out.
  expect(names.join('')).not.toMatch(/[\u202A-\u202E\u2066-\u2069]/);
  expect(await hacked(ada)).toBe(false);

  // Somebody who wrote such a name into the page itself.
  const ben = await people.chromium('Ben');
  await ben.window.open(link);
  await ben.window.fill(testId('prejoin-name'), NAMES.image);
  await ben.press('prejoin-join');
  await ben.sees('connection-state', { state: 'connected' });
  await ada.sees('tile', {}, 9);
  await ada.sees('person', {}, 9);
  await ben.sees('tile', {}, 9);
  expect(await escaped(ben)).toEqual([]);
  expect([await hacked(ada), await hacked(ben)]).toEqual([false, false]);
  expect(server.alive).toBe(true);
});

test('the name stops where no more fits, and says so', async ({ people, server }) => {
  const ada = await people.chromium('Ada');
  const { page } = ada.window;
  await ada.window.open(`${server.origin}/limit`);
  const field = page.locator(testId('prejoin-name'));
  await field.fill('W'.repeat(127));
  await ada.sees('error-message', { code: 'name-full' }, 0);
  await field.press('End');
  await page.keyboard.type('XYZ');
  await expect(field).toHaveValue(`${'W'.repeat(127)}X`);
  await ada.sees('error-message', { code: 'name-full' });
  await field.press('Backspace');
  await ada.sees('error-message', { code: 'name-full' }, 0);
  // In bytes, not in letters: 32 foxes.
  await field.fill('🦊'.repeat(40));
  await expect(field).toHaveValue('🦊'.repeat(32));
  await ada.sees('error-message', { code: 'name-full' });
  await ada.press('prejoin-join');
  await ada.sees('tile', { name: '🦊'.repeat(32) });
});

test('odd messages are text, links are safe, and a long paste is not lost', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const crowd = await people.crowd(await people.meet('messages', ada));
  const mallory = await crowd.join('Mallory');
  await ada.press('toggle-chat');
  const { page } = ada.window;
  const texts = page.locator(testId('chat-text'));

  const html = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">';
  await crowd.say(mallory, html);
  await expect(texts.last()).toHaveText(html);
  await crowd.say(
    mallory,
    'https://example.org/?q=<b> javascript:alert(1) http://example.net mailto:a@example.org data:text/html,x',
  );
  await expect(page.locator(`${testId('chat-text')} a`)).toHaveCount(2);
  const links = await page
    .locator(`${testId('chat-text')} a`)
    .evaluateAll((all) =>
      all.map((a) => [(a as HTMLAnchorElement).protocol, a.getAttribute('target'), a.getAttribute('rel')]),
    );
  for (const [protocol, target, rel] of links) {
    expect(protocol).toMatch(/^https?:$/);
    expect(target).toBe('_blank');
    expect(rel!.split(' ')).toEqual(expect.arrayContaining(['noopener', 'noreferrer']));
  }
  // One as long as it is shown at once, and one that is folded.
  await crowd.say(mallory, 'W'.repeat(900));
  await crowd.say(mallory, 'W'.repeat(3900));
  await crowd.say(mallory, `marks${'\u0301\u0320'.repeat(1500)}`);
  // Larger than any message: it is not shown at all, and the next one is.
  await crowd.say(mallory, 'x'.repeat(30_000));
  await crowd.say(mallory, 'after all of that');
  await expect(texts.last()).toHaveText('after all of that');
  await ada.sees('chat-message', {}, 6);
  await onEveryScreen(ada, async (screen) => expect(await escaped(ada), screen).toEqual([]));

  // 100 KB: nothing is cut, and nothing is sent before it fits.
  const input = page.locator(testId('chat-input'));
  const paste = 'long '.repeat(20_000);
  await input.fill(paste);
  await ada.sees('chat-left');
  await expect(page.locator(testId('chat-send'))).toBeDisabled();
  await input.press('Enter');
  await ada.press('toggle-chat');
  await ada.press('toggle-chat');
  await expect(input).toHaveValue(paste);
  await input.fill('long '.repeat(800));
  await input.press('Enter');
  await ada.sees('chat-message', { own: 'true' });
  expect(await escaped(ada)).toEqual([]);
  expect(await hacked(ada)).toBe(false);
});

test('who has no keys is not heard in the chat, whatever is sent', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const crowd = await people.crowd(await people.meet('keyless', ada));
  const ben = await crowd.join('Ben');
  const mallory = 'mallory';
  await crowd.joinAs(mallory, 'Mallory');
  await ada.sees('tile', { identity: mallory, trust: 'keyless' });

  const arrived = () => ada.window.evaluate(() => window.probe.dataMessages(), undefined);
  const before = await arrived();
  // What chat looks like inside of sealed messages, what it looked like before there were any, and noise.
  const chat = { type: 'chat', id: '{n}', text: 'from nobody' };
  for (const packet of [
    chat,
    { ...chat, v: 1, at: 0 },
    { type: 'received', from: ben, content: chat },
    {
      type: 'history',
      lines: [{ id: '1', from: ben, name: 'Ben', text: 'from nobody', at: 0 }],
      name_keys: [],
    },
  ])
    await crowd.say(mallory, JSON.stringify(packet), 100);
  await crowd.say(mallory, '{n} from nobody', 500);
  await crowd.say(mallory, 'x'.repeat(60_000), 5);
  await expect.poll(arrived).toBeGreaterThanOrEqual(before + 905);

  await crowd.say(ben, 'after all of that');
  await expect.poll(() => ada.attribute('toggle-chat', 'data-unread')).toBe('1');
  await ada.press('toggle-chat');
  const texts = ada.window.page.locator(testId('chat-text'));
  await expect(texts).toHaveText(['after all of that']);
  await ada.sees('chat-message', { identity: ben });
  await ada.sees('encryption-state', { state: 'e2e' });
});

test('5,000 messages: a few are drawn, all can be reached', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const crowd = await people.crowd(await people.meet('flood', ada));
  const mallory = await crowd.join('Mallory');
  const nodes = () => ada.window.evaluate(() => document.querySelectorAll('*').length, undefined);
  await crowd.say(mallory, 'first {n}', 2500);
  await expect.poll(() => ada.attribute('toggle-chat', 'data-unread')).toBe('2500');
  await ada.press('toggle-chat');
  await ada.sees('chat-older');
  const before = await nodes();
  await crowd.say(mallory, 'second {n}', 2500);
  const last = ada.window.page.locator(testId('chat-text')).last();
  await expect(last).toHaveText('second 2499');
  await expect(last).toBeInViewport();
  // Two pages of 200 at most, however many there are.
  const drawn = await ada.count('chat-message');
  expect(drawn).toBeLessThanOrEqual(400);
  expect(await nodes()).toBeLessThan(before + 2500);
  // Whoever scrolls up gets a page more.
  await last.evaluate((text) => (text.closest('[role="group"]')!.scrollTop = 0));
  await ada.sees('chat-message', {}, drawn + 200);
  // Pressing the button scrolls to it first, which counts as well, sooner or later.
  await ada.press('chat-older');
  await expect.poll(() => ada.count('chat-message')).toBeGreaterThanOrEqual(drawn + 400);
  expect((await ada.count('chat-message')) % 200).toBe(0);
  await crowd.say(mallory, 'after the flood');
  await ada.press('toggle-chat');
  await ada.press('toggle-chat');
  await expect(last).toHaveText('after the flood');
});
