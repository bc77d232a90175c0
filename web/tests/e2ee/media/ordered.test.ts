import { describe, expect, it } from 'vitest';
import { pump } from '../../../src/e2ee/media/ordered';

function source(count: number): ReadableStream<number> {
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next < count) controller.enqueue(next++);
      else controller.close();
    },
  });
}

describe('frames', () => {
  it('leave in the order in which they came, however long each takes', async () => {
    const out: number[] = [];
    let [working, most] = [0, 0];
    const sink = new WritableStream<number>({ write: (frame) => void out.push(frame) });
    await pump(source(200), sink, async (frame) => {
      most = Math.max(most, ++working);
      await new Promise((done) => setTimeout(done, (frame * 7) % 5));
      working--;
      return frame % 10 === 3 ? null : frame;
    });
    expect(out).toEqual(Array.from({ length: 200 }, (_, frame) => frame).filter((frame) => frame % 10 !== 3));
    expect(most).toBeGreaterThan(4);
    expect(most).toBeLessThanOrEqual(17);
  });

  it('whose work fails are dropped', async () => {
    const out: number[] = [];
    const sink = new WritableStream<number>({ write: (frame) => void out.push(frame) });
    await pump(source(4), sink, (frame) =>
      frame === 2 ? Promise.reject(new Error('no')) : Promise.resolve(frame),
    );
    expect(out).toEqual([0, 1, 3]);
  });

  it('end when the sink takes no more', async () => {
    const sink = new WritableStream<number>({ write: () => Promise.reject(new Error('closed')) });
    await expect(pump(source(1000), sink, (frame) => Promise.resolve(frame))).rejects.toThrow('closed');
  });
});
