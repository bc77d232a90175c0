/** Another program in the room of an encrypted meeting: everybody sees that somebody is there, and it gets nothing. */
import { expect, LOOKS, test } from '../src/meeting.ts';
import { testId } from '../src/person.ts';
import { PythonParticipant } from '../src/python.ts';

test('a program without the keys is seen as nobody, and neither side gets anything of the other', async ({
  people,
  server,
}) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  await people.meet('mixed', ada, ben);
  await ben.seesAndHears(ada);
  const look = { colour: 'yellow', tone: 1300 } as const;
  const python = await PythonParticipant.join(server.origin, 'mixed', 'python', look);
  try {
    await ada.sees('tile', { identity: 'python', name: '', trust: 'keyless' });
    const video = `${testId('tile', { identity: 'python', source: 'camera' })} video`;
    expect(await ada.window.evaluate((selector) => window.probe.picture(selector), video)).toBeNull();
    const audio = testId('remote-audio', { identity: 'python' });
    const tone = await ada.window.evaluate((selector) => window.probe.tone(selector), audio);
    expect(tone?.db ?? -Infinity).toBeLessThan(-80);

    await ada.press('toggle-chat');
    python.send(JSON.stringify({ v: 1, type: 'chat', id: 'p1', text: 'hello everybody', at: 0 }));
    await ada.window.fill(testId('chat-input'), 'hello Ben');
    await ada.press('chat-send');
    await ben.press('toggle-chat');
    await ben.sees('chat-message', { own: 'false' });
    await ada.sees('chat-message', {}, 1);

    // It hears that something is said, and not what; its decoders get nothing that they could use.
    await python.notice('data', ({ topic }) => topic === 'k');
    expect(JSON.stringify(python.notices)).not.toContain('hello');
    const heard = python.notices.filter((seen) => seen.event === 'tone' && seen.hz === LOOKS.Ada.tone);
    expect(heard).toEqual([]);
    await ada.sees('encryption-state', { state: 'e2e' });
  } finally {
    await python.leave();
  }
});
