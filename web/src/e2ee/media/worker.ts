/**
 * The worker that seals what is sent and opens what is received. The page says which stream is whose and what; keys come
 * over a port of their own. Nothing passes in clear: a stream without a key, a kind or an expected leaf passes nothing.
 */

import { Keyring } from './keyring';
import type { KeyMessage, PageMessage, PayloadTypes } from './messages';
import { pump } from './ordered';
import { Reports } from './reporting';
import { ReceivedStream, SentStream } from './streams';
import type { MediaWorkerScope, Transformer } from './transform';

type StreamMessage = Extract<PageMessage, { id: number }>;

const scope = self as unknown as MediaWorkerScope;
const NONE: PayloadTypes = {};

const keyring = new Keyring();
const reports = new Reports(
  (report) => scope.postMessage(report),
  (work, ms) => setTimeout(work, ms),
);
const streams = new Map<number, SentStream | ReceivedStream>();
/** What was last said of a stream: it may come before the stream does. */
const said = new Map<number, StreamMessage>();
const codecs = new Map<number, { sent: PayloadTypes; received: PayloadTypes }>();
let keys: MessagePort | null = null;

scope.onmessage = ({ data: message }) => {
  switch (message.type) {
    case 'keys-from':
      if (keys) return;
      keys = message.port;
      keys.onmessage = (event: MessageEvent<KeyMessage>) => keyring.handle(event.data);
      return;
    case 'codecs':
      codecs.set(message.connection, message);
      return;
    default:
      said.set(message.id, message);
      tell(message);
  }
};

function tell(message: StreamMessage): void {
  const stream = streams.get(message.id);
  if (stream instanceof SentStream && message.type === 'sender') stream.be(message.kind);
  if (stream instanceof ReceivedStream && message.type === 'receiver')
    stream.expect(message.kind, message.leaf);
}

scope.onrtctransform = ({ transformer }) => void run(transformer);

async function run(transformer: Transformer): Promise<void> {
  const { id } = transformer.options;
  const stream = streamOf(transformer);
  streams.set(id, stream);
  const message = said.get(id);
  if (message) tell(message);
  try {
    await pump(transformer.readable, transformer.writable, (frame) => stream.frame(frame));
  } catch {
    // The connection has ended, and what was on its way is lost with it.
  } finally {
    streams.delete(id);
    said.delete(id);
    // Nobody waits for it to open any more.
    if (stream instanceof ReceivedStream) stream.expect(null, null);
    reports.gone(stream);
  }
}

function streamOf(transformer: Transformer): SentStream | ReceivedStream {
  const { id, connection, side } = transformer.options;
  if (side === 'sender')
    return new SentStream(id, keyring, () => codecs.get(connection)?.sent ?? NONE, reports);
  // Refused where the stream has ended or is sound; the decoder asks for itself later.
  const ask = () => void transformer.sendKeyFrameRequest?.().catch(() => undefined);
  const received = () => codecs.get(connection)?.received ?? NONE;
  return new ReceivedStream(id, keyring, received, reports, () => performance.now(), ask);
}
