import { expect, LOOKS, test } from '../src/meeting.ts';
import { nearest, testId } from '../src/person.ts';
import { PythonParticipant } from '../src/python.ts';
import { until } from '../src/until.ts';

test('a Python participant and Chromium see, hear and write to each other', async ({ people, server }) => {
  const ada = await people.chromium('Ada');
  await people.meet('mixed', ada);
  const look = { colour: 'yellow', tone: 1300 } as const;
  const python = await PythonParticipant.join(server.origin, 'mixed', 'python', look);
  try {
    await ada.sees('tile', { identity: 'python', source: 'camera' });
    const video = `${testId('tile', { identity: 'python', source: 'camera' })} video`;
    await until('the yellow picture', async () => {
      const picture = await ada.window.evaluate((selector) => window.probe.picture(selector), video);
      return picture && nearest(picture.rgb) === 'yellow';
    });
    const audio = testId('remote-audio', { identity: 'python' });
    await until('the tone', async () => {
      const tone = await ada.window.evaluate((selector) => window.probe.tone(selector), audio);
      return tone && tone.db > -60 && Math.abs(tone.hz - look.tone) <= 10;
    });

    const { from } = await python.notice('colour', ({ colour }) => colour === LOOKS.Ada.colour);
    await python.notice('tone', (heard) => heard.from === from && heard.hz === LOOKS.Ada.tone);

    await ada.press('toggle-chat');
    await ada.window.fill(testId('chat-input'), 'hello');
    await ada.press('chat-send');
    const { text, topic } = await python.notice('data', (data) => data.from === from);
    expect(topic).toBe('k');
    expect(JSON.parse(text)).toMatchObject({ v: 1, type: 'chat', text: 'hello' });
    python.send(JSON.stringify({ v: 1, type: 'chat', id: 'p1', text: 'hello back', at: 0 }));
    await ada.sees('chat-message', { identity: 'python' });
  } finally {
    await python.leave();
  }
});
