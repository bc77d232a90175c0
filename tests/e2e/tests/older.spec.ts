/**
 * Clients that have a peer connection for each direction, as LiveKit's older SDKs do: the page's own library,
 * told to speak the older protocol.
 */
import type { WebSocketRoute } from '@playwright/test';
import { expect, test } from '../src/meeting.ts';
import type { Person } from '../src/person.ts';
import { until } from '../src/until.ts';
import type { ChromiumWindow } from '../src/window.ts';

/** Makes a browser's page speak the older protocol; returns what it opens for signalling from then on. */
async function makeOlder(person: Person<ChromiumWindow>): Promise<WebSocketRoute[]> {
  const { page } = person.window;
  // Not workers: to Chromium a script that did not come from this machine may not open WebSockets to it.
  await page.route('**/livekit-*.js', async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replaceAll('singlePeerConnection:!0', 'singlePeerConnection:!1');
    await route.fulfill({ response, body });
  });
  const sockets: WebSocketRoute[] = [];
  await page.routeWebSocket(/\/rtc/, (socket) => {
    socket.connectToServer();
    sockets.push(socket);
  });
  return sockets;
}

test('an older client and a newer one see and hear each other', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const sockets = await makeOlder(ada);
  await people.meet('older', ada, ben);
  await ben.seesAndHears(ada);
  await ada.seesAndHears(ben);
  expect(sockets.map((socket) => new URL(socket.url()).pathname)).toEqual(['/rtc']);
});

test('two older clients meet, and one resumes when its signalling breaks', async ({ people }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const sockets = await makeOlder(ada);
  await makeOlder(ben);
  await people.meet('older-two', ada, ben);
  await ben.seesAndHears(ada);
  await ada.seesAndHears(ben);

  await sockets[0]!.close({ code: 4000 });
  await until('the resume', () => sockets.some((socket) => socket.url().includes('reconnect=1')));
  await ada.seesAndHears(ben);
  // What happens from now on reaches both as before.
  await ben.press('toggle-camera');
  await ada.sees('tile', { name: 'Ben', video: 'false' });
  await ben.press('toggle-camera');
  await ada.seesAndHears(ben);
  await ada.press('toggle-camera');
  await ben.sees('tile', { name: 'Ada', video: 'false' });
  await ada.press('toggle-camera');
  await ben.seesAndHears(ada);
});
