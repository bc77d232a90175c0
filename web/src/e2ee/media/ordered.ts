/**
 * Carries frames from one stream to another through work that takes a moment. Several are worked on at a time, and they
 * leave in the order in which they came.
 */

/** So many frames are worked on at a time; then it waits for the oldest, so that nothing piles up. */
const AT_A_TIME = 16;

/** `work` answers `null` for a frame that is dropped. Ends with its source; rejects when the sink takes no more. */
export async function pump<Frame>(
  source: ReadableStream<Frame>,
  sink: WritableStream<Frame>,
  work: (frame: Frame) => Promise<Frame | null>,
): Promise<void> {
  const reader = source.getReader();
  const writer = sink.getWriter();
  const leaving: Promise<void>[] = [];
  let last: Promise<void> = Promise.resolve();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    last = leave(writer, work(value), last);
    // Its failure is seen when it is waited for.
    last.catch(() => undefined);
    leaving.push(last);
    if (leaving.length >= AT_A_TIME) await leaving.shift();
  }
  await last;
  await writer.close();
}

async function leave<Frame>(
  writer: WritableStreamDefaultWriter<Frame>,
  worked: Promise<Frame | null>,
  before: Promise<void>,
): Promise<void> {
  const frame = await worked.catch(() => null);
  await before;
  if (frame !== null) await writer.write(frame);
}
