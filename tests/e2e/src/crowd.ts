/** Many participants without browsers: `konklave-crowd`, members of the meeting like everybody else. */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { until } from './until.ts';

const root = resolve(import.meta.dirname, '../../..');
const binary = process.env.KONKLAVE_CROWD ?? join(root, 'target/debug/konklave-crowd');

/** What a member sends. */
export interface Media {
  /** Sound without content whose loudness is told by `level`; quiet at first. */
  audio?: boolean;
  /** A moving picture, 320×180 at 15 frames a second. */
  video?: boolean;
}

/**
 * What a camera sends in place of sealed frames: frames as they are, frames again that were sealed under the key in force,
 * or frames again from before the last change of keys; `none` is honest again.
 */
export type Lie = 'none' | 'plain' | 'replay' | 'old';

/** What an RTP packet carries. */
export interface Packet {
  /** MIME type. */
  codec: string;
  payload: Buffer;
}

export class Crowd {
  /** Whom the answered lines were for, oldest first. */
  private readonly done: string[] = [];
  private asked = 0;
  private answered: Promise<string> = Promise.resolve('');
  private complaints = '';

  private constructor(private readonly process: ChildProcessWithoutNullStreams) {
    createInterface(process.stdout).on('line', (line) => this.done.push(line.split('\t')[1] ?? ''));
    process.stderr.on('data', (chunk: Buffer) => (this.complaints += chunk.toString()));
  }

  /** People who have this invitation. It holds the secret, so it is no argument of the process. */
  static async of(link: string): Promise<Crowd> {
    if (!existsSync(binary)) throw new Error(`${binary} is not built: cargo build --bin konklave-crowd`);
    const crowd = new Crowd(spawn(binary));
    await crowd.order('take the invitation', link);
    return crowd;
  }

  /**
   * Returns the identity, once this person holds the keys and what they send is there. Who is told to join before others
   * have is there before them, and shares the way to the keys with them.
   */
  join(name: string, media: Media = {}): Promise<string> {
    return this.order(`let ${name} join`, 'join', name, ...sources(media));
  }

  /**
   * Another program that has no keys, with metadata of any kind; neither may hold tabs or line breaks. What it says is sent
   * as it is, where sealed messages are expected.
   */
  async joinAs(identity: string, metadata: string, media: Media = {}): Promise<void> {
    await this.order('let a program join', 'joinAs', identity, metadata, ...sources(media));
  }

  /** How loud somebody's microphone is, in dBov: −127 is silence. */
  async level(identity: string, dbov: number): Promise<void> {
    await this.order('set a level', 'level', identity, String(dbov));
  }

  /** Writes to the chat, as often as told; `{n}` in the text becomes the number of the message. */
  async say(identity: string, text: string, times = 1): Promise<void> {
    await this.order('say something', 'say', identity, String(times), text);
  }

  /** What somebody's camera sends from now on. Done once the first such frame is on its way. */
  async lie(identity: string, lie: Lie): Promise<void> {
    await this.order(`lie (${lie})`, 'lie', identity, lie);
  }

  /** Says that as a host. Done once it stands in the meeting's log. */
  async host(
    identity: string,
    word: 'lock' | 'unlock' | 'kick' | 'password' | 'no-password',
    what?: string,
  ): Promise<void> {
    await this.order(`${word} as a host`, 'host', identity, word, ...(what ? [what] : []));
  }

  /**
   * Packets as the server sees them: those that it hands on to a program that has no keys, so many of sound and of
   * pictures.
   */
  async packets(count: number): Promise<Packet[]> {
    const folder = mkdtempSync(join(tmpdir(), 'konklave-e2e-packets-'));
    const file = join(folder, 'packets');
    try {
      await this.order('record packets', 'record', `recorder-${this.asked}`, file, String(count));
      const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
      return lines.map((line) => {
        const [codec = '', payload = ''] = line.split('\t');
        return { codec, payload: Buffer.from(payload, 'hex') };
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  async leave(identity: string): Promise<void> {
    await this.order('let somebody leave', 'leave', identity);
  }

  /** Everybody leaves. */
  async end(): Promise<void> {
    if (this.process.exitCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.stdin.end();
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
  }

  /** Orders are obeyed one after the other, but for those to join. Returns whom it was for. */
  private order(what: string, ...parts: string[]): Promise<string> {
    this.process.stdin.write(`${parts.join('\t')}\n`);
    const turn = this.asked++;
    this.answered = this.answered.then(() => this.answer(what, turn));
    return this.answered;
  }

  /** From when all before it are answered. */
  private async answer(what: string, turn: number): Promise<string> {
    await until(
      `the crowd to ${what}`,
      () => {
        if (this.process.exitCode !== null) throw new Error(`the crowd ended: ${this.complaints}`);
        return this.done.length > turn;
      },
      { timeout: 60_000, every: 20 },
    );
    return this.done[turn]!;
  }
}

function sources({ audio, video }: Media): string[] {
  return [...(audio ? ['audio'] : []), ...(video ? [film()] : [])];
}

/** A key frame each second: members do not encode, so nobody can ask them for one. */
function film(): string {
  const folder = join(tmpdir(), 'konklave-e2e-film-1');
  const file = join(folder, 'film.ivf');
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    const unfinished = join(folder, `${process.pid}.ivf`);
    const source = 'testsrc2=size=320x180:rate=15:duration=4';
    const vp8 = ['-c:v', 'libvpx', '-b:v', '150k', '-g', '15', '-deadline', 'realtime'];
    execFileSync('ffmpeg', ['-loglevel', 'error', '-f', 'lavfi', '-i', source, ...vp8, unfinished]);
    renameSync(unfinished, file);
  }
  return file;
}
