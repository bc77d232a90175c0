/** How long it takes from the click on "join" to the first picture of somebody who is there already. */
import { keep, spread } from '../src/bench.ts';
import { expect, test } from '../src/meeting.ts';
import { testId } from '../src/person.ts';

const ROUNDS = 7;

test('from join to the first picture', async ({ people }) => {
  const ada = await people.chromium('Ada');
  const link = await people.meet('bench', ada);
  const milliseconds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const ben = await people.chromium('Ben');
    await ben.window.open(link);
    await ben.window.fill(testId('prejoin-name'), 'Ben');
    milliseconds.push(
      await ben.window.evaluate(
        ([button, picture]) =>
          new Promise<number>((done) => {
            const begin = performance.now();
            document.querySelector<HTMLButtonElement>(button)!.click();
            const look = () => {
              const video = document.querySelector<HTMLVideoElement>(picture);
              if (video) video.requestVideoFrameCallback((now) => done(now - begin));
              else requestAnimationFrame(look);
            };
            look();
          }),
        [testId('prejoin-join'), `${testId('tile', { name: 'Ada', local: 'false' })} video`] as [
          string,
          string,
        ],
      ),
    );
    await ben.press('leave');
    await ada.sees('tile', { name: 'Ben' }, 0);
    await people.goodbye(ben);
  }
  expect(milliseconds).toHaveLength(ROUNDS);
  const result = { rounds: ROUNDS, unit: 'ms', ...spread(milliseconds.map(Math.round)) };
  keep('join', result);
  console.log(
    `join click to first picture, ms: min ${result.min}, median ${result.median}, max ${result.max}`,
  );
});
