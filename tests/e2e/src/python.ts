/** LiveKit's Python SDK as a participant beside browsers: tests/interop/participant.py as a program. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Look } from './media.ts';
import { until } from './until.ts';

const root = resolve(import.meta.dirname, '../../..');

/** One thing that the participant noticed. */
export type Notice =
  | { event: 'joined'; identity: string }
  /** A picture that goes on: at least ten frames. */
  | { event: 'frames'; from: string }
  | { event: 'colour'; from: string; colour: string }
  | { event: 'tone'; from: string; hz: number }
  | { event: 'data'; from: string; topic: string; text: string };

export class PythonParticipant {
  readonly notices: Notice[] = [];
  private complaints = '';

  private constructor(
    readonly identity: string,
    private readonly process: ChildProcessWithoutNullStreams,
  ) {
    createInterface(process.stdout).on('line', (line) => this.notices.push(JSON.parse(line) as Notice));
    process.stderr.on('data', (chunk: Buffer) => (this.complaints += chunk.toString()));
  }

  /** Joins with a token of the development keys, shows its colour and plays its tone. */
  static async join(origin: string, room: string, identity: string, look: Look): Promise<PythonParticipant> {
    const script = join(root, 'tests/interop/participant.py');
    const url = origin.replace(/^http/, 'ws');
    const participant = new PythonParticipant(
      identity,
      spawn(join(root, '.venv/bin/python'), [script, url, room, identity, look.colour, String(look.tone)]),
    );
    await participant.notice('joined', () => true);
    return participant;
  }

  /** Waits for a notice of one kind that fits. */
  async notice<E extends Notice['event']>(
    event: E,
    fits: (notice: Extract<Notice, { event: E }>) => boolean,
  ): Promise<Extract<Notice, { event: E }>> {
    return until(`${this.identity} to notice ${event}`, () => {
      if (this.process.exitCode !== null) throw new Error(`participant.py ended: ${this.complaints}`);
      return this.notices.find(
        (seen): seen is Extract<Notice, { event: E }> =>
          seen.event === event && fits(seen as Extract<Notice, { event: E }>),
      );
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; noticed: ${JSON.stringify(this.notices)}`);
    });
  }

  /** Sends one line as data on the topic `k`. */
  send(text: string): void {
    this.process.stdin.write(`${text}\n`);
  }

  async leave(): Promise<void> {
    if (this.process.exitCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.stdin.end();
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }
}
