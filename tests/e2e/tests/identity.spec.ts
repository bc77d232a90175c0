/** One identity is one participant: a second tab is somebody else, and of two with the same identity the newer stays. */
import { expect, test } from '../src/meeting.ts';
import { forgetLost, testId } from '../src/person.ts';
import { PythonParticipant } from '../src/python.ts';

test('a duplicated tab takes part as somebody else', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('two-tabs', ada, ben);
  // Inherits everything that the first tab has stored.
  const opened = ada.window.page.context().waitForEvent('page');
  await ada.window.evaluate(() => void window.open(location.href), undefined);
  const second = await opened;
  await second.locator(testId('prejoin-join')).click();
  await expect(second.locator(testId('connection-state', { state: 'connected' }))).toBeAttached({
    timeout: 30_000,
  });
  await ben.sees('tile', { name: 'Ada', source: 'camera' }, 2);
  const pictures = `${testId('tile', { source: 'camera' })} video`;
  await expect(second.locator(pictures)).toHaveCount(3, { timeout: 30_000 });
  await ben.sees('remote-audio', {}, 2);
  // Also in the window behind, so that nothing is underway to it when the tab is closed.
  await ada.sees('remote-audio', {}, 2);
  await expect(ada.window.page.locator(pictures)).toHaveCount(3, { timeout: 30_000 });
  await ada.sees('connection-state', { state: 'connected' });
  await second.close();
  await ben.sees('tile', { name: 'Ada', source: 'camera' });
  await ben.seesAndHears(ada);
});

test('who takes part elsewhere with the same identity is told so, and may come back', async ({
  people,
  server,
}) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('elsewhere', ada, ben);
  await ben.seesAndHears(ada);
  const own = testId('tile', { local: 'true', source: 'camera' });
  const identity = await ada.window.evaluate(
    (selector) => document.querySelector(selector)?.getAttribute('data-identity') ?? null,
    own,
  );
  expect(identity).not.toBeNull();
  // The token proves the identity (only the server gives one, and not for an identity that is present).
  const newer = await PythonParticipant.join(server.origin, 'elsewhere', identity!, {
    colour: 'yellow',
    tone: 1300,
  });
  try {
    await ada.sees('error-message', { code: 'elsewhere' });
    await ada.sees('left-rejoin');
    await ben.sees('tile', { identity: identity!, source: 'camera' });
    // The page does not fight for its place: the newer one stays until Ada wants back, and then both are there.
    await ada.press('left-rejoin');
    await ada.sees('connection-state', { state: 'connected' });
    await ben.seesAndHears(ada);
    await ben.sees('tile', { identity: identity!, source: 'camera' });
    await ben.sees('tile', { source: 'camera' }, 3);
    forgetLost(ada);
    const { errors } = ada.window.log;
    errors.splice(0, errors.length, ...errors.filter((error) => !error.includes('409'))); // the identity is present
  } finally {
    await newer.leave();
  }
});
