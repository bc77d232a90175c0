/** What the browser or the network refuses: it is said in words, and nothing is lost. */
import { expect, test } from '../src/meeting.ts';
import { Network } from '../src/network.ts';
import { forgetLost, testId, type Person } from '../src/person.ts';
import { until } from '../src/until.ts';
import type { ChromiumWindow } from '../src/window.ts';

type Somebody = Person<ChromiumWindow>;

const DRAFT = 'half a sentence that is not sent yet';

/** Opens the chat, writes something into it, and begins something more. */
async function beginToWrite(person: Somebody): Promise<void> {
  await person.press('toggle-chat');
  await person.write('before');
  await person.sees('chat-message', { own: 'true' });
  await person.window.fill(testId('chat-input'), DRAFT);
}

/** People, chat and draft are where they were. */
async function hasLostNothing(person: Somebody, others: Person[], written = 1): Promise<void> {
  for (const other of others) await person.sees('tile', { name: other.name, local: 'false' });
  await person.sees('tile', { local: 'true' });
  await person.sees('chat-message', { own: 'true' }, written);
  await expect(person.window.page.locator(testId('chat-input'))).toHaveValue(DRAFT);
}

test('a browser that stores nothing', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await ada.window.page.addInitScript(() => {
    for (const storage of ['localStorage', 'sessionStorage'])
      Object.defineProperty(window, storage, {
        get: () => {
          throw new DOMException('refused', 'SecurityError');
        },
      });
  });
  const link = await people.meet('storage', ben);
  await ada.window.open(link);
  await ada.sees('prejoin-forgetful');
  await ada.joinFromPrejoin();
  await ben.seesAndHears(ada);
  await ben.sees('prejoin-forgetful', {}, 0);
  // What was chosen holds for the visit, and so does the name.
  await ada.press('toggle-more');
  await ada.press('option-sounds');
  await expect(ada.window.page.locator(testId('option-sounds'))).toHaveAttribute('aria-checked', 'false');
  await ada.window.page.keyboard.press('Escape');
  await ada.press('leave');
  await ada.press('left-rejoin');
  await ben.sees('tile', { name: 'Ada' });
  await ada.press('toggle-more');
  await expect(ada.window.page.locator(testId('option-sounds'))).toHaveAttribute('aria-checked', 'false');
});

test('a full storage', async ({ people }) => {
  const ada = await people.chromium('Ada');
  await ada.window.page.addInitScript(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
  });
  await people.meet('full', ada);
  await ada.sees('tile', { name: 'Ada' });
  await ada.window.page.reload();
  await ada.sees('prejoin-forgetful');
});

test('a clipboard that is refused', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const { page } = ada.window;
  await page.addInitScript(() => {
    navigator.clipboard.writeText = () => Promise.reject(new DOMException('refused', 'NotAllowedError'));
  });
  const link = await people.meet('clipboard', ada);
  /** The text stands there, selected, to be copied by hand. */
  const isOffered = async (text: string) => {
    await ada.sees('copy-text');
    const selected = () =>
      page
        .locator(testId('copy-text'))
        .evaluate((field: HTMLTextAreaElement) =>
          field.value.slice(field.selectionStart, field.selectionEnd),
        );
    await expect.poll(selected).toContain(text);
  };
  await ada.press('copy-invite');
  await isOffered(link);
  await page.keyboard.press('Escape');
  await ada.sees('copy-text', {}, 0);
  await beginToWrite(ada);
  await ada.press('chat-copy');
  await isOffered('before');
  await page.keyboard.press('Escape');
  await ada.sees('copy-text', {}, 0);
  await hasLostNothing(ada, []);
});

test('a browser without WebRTC', async ({ people, server }) => {
  const ada = await people.chromium('Ada');
  await ada.window.page.addInitScript(() => {
    Object.defineProperty(window, 'RTCPeerConnection', { value: undefined });
  });
  await ada.window.open(`${server.origin}/`);
  await ada.window.fill(testId('start-room'), 'old');
  await ada.press('start-submit');
  await ada.sees('error-message', { code: 'unsupported' });
  await expect(ada.window.page.locator(testId('prejoin-join'))).toBeDisabled();
});

for (const missing of ['RTCRtpScriptTransform', 'WebAssembly']) {
  test(`a browser without ${missing}`, async ({ people, server }) => {
    const ada = await people.chromium('Ada');
    await ada.window.page.addInitScript((name) => {
      Object.defineProperty(window, name, { value: undefined });
    }, missing);
    await ada.window.open(`${server.origin}/no-keys-here`);
    // Nobody is in the room, so a secret is made for it; the words stay.
    await until('a secret', async () => (await ada.window.url()).includes('#1'));
    await ada.sees('error-message', { code: 'encryption-unsupported' });
    await ada.window.fill(testId('prejoin-name'), 'Ada');
    await ada.press('prejoin-join');
    await ada.sees('error-message', { code: 'encryption-unsupported' });
    await ada.sees('tile', {}, 0);
  });
}

test('the connection is lost and found', async ({ people, server }) => {
  const network = await Network.to(server);
  try {
    const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
    const link = await people.meet('lost', ben);
    await ada.join(link.replace(server.origin, network.origin));
    await ben.seesAndHears(ada);
    await beginToWrite(ada);
    network.cut();
    await ada.sees('connection-state', { state: 'reconnecting' });
    // What cannot be sent now waits until it can be.
    await ada.press('chat-send');
    await ada.sees('chat-message', { pending: 'true' });
    await ada.window.fill(testId('chat-input'), DRAFT);
    await hasLostNothing(ada, [ben], 2);
    network.mend();
    await ada.sees('connection-state', { state: 'connected' });
    await hasLostNothing(ada, [ben], 2);
    await ada.sees('chat-message', { pending: 'true' }, 0);
    // At once: whoever is said to be connected can be read.
    await ada.write('after');
    await ben.press('toggle-chat');
    await ben.sees('chat-message', { own: 'false' }, 3);
    await ben.seesAndHears(ada);
    await ada.seesAndHears(ben);
    forgetLost(ada);
    await people.goodbye(ada, network.origin);
  } finally {
    network.close();
  }
});

test('the server crashes and comes back', async ({ people, server }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('crash', ada, ben);
  await ada.seesAndHears(ben);
  await beginToWrite(ada);
  const lost = ada.sees('connection-state', { state: 'reconnecting' });
  await server.restart('SIGKILL');
  await lost;
  await ada.sees('connection-state', { state: 'connected' });
  await ben.sees('connection-state', { state: 'connected' });
  await hasLostNothing(ada, [ben]);
  await ada.seesAndHears(ben);
  await ben.seesAndHears(ada);
  await ada.write('after');
  await ben.press('toggle-chat');
  await ben.sees('chat-message', { own: 'false' }, 2);
  for (const person of [ada, ben]) forgetLost(person);
});

test('the server is restarted, and everybody comes back by themselves', async ({ people, server }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('restart', ada, ben);
  await ada.seesAndHears(ben);
  await beginToWrite(ada);
  const lost = ada.sees('connection-state', { state: 'reconnecting' });
  await server.restart('SIGTERM');
  await lost;
  await hasLostNothing(ada, [ben]);
  for (const person of [ada, ben]) await person.sees('connection-state', { state: 'connected' });
  await hasLostNothing(ada, [ben]);
  await ada.seesAndHears(ben);
  await ben.seesAndHears(ada);
  for (const person of [ada, ben]) forgetLost(person);
});
