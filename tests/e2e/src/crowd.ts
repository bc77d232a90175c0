/** Many participants without browsers: `konklave-client crowd`, with names sealed as the page seals them. */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseFragment } from '../../../web/src/crypto/link.ts';
import { nameSealer, type NameSealer } from '../../../web/src/crypto/name.ts';
import { until } from './until.ts';

const root = resolve(import.meta.dirname, '../../..');
const binary = process.env.KONKLAVE_CLIENT ?? join(root, 'target/debug/konklave-client');

/** What a member sends. */
export interface Media {
  /** Sound without content whose loudness is told by `level`; quiet at first. */
  audio?: boolean;
  /** A moving picture, 320×180 at 15 frames a second. */
  video?: boolean;
}

export class Crowd {
  /** Answered lines, oldest first. */
  private readonly done: string[] = [];
  private asked = 0;
  private complaints = '';

  private constructor(
    private readonly process: ChildProcessWithoutNullStreams,
    private readonly sealer: NameSealer,
  ) {
    createInterface(process.stdout).on('line', (line) => this.done.push(line));
    process.stderr.on('data', (chunk: Buffer) => (this.complaints += chunk.toString()));
  }

  /** People who have this invitation. */
  static async of(link: string): Promise<Crowd> {
    if (!existsSync(binary)) throw new Error(`${binary} is not built: scripts/build`);
    const { origin, pathname, hash } = new URL(link);
    const room = decodeURIComponent(pathname.slice(1));
    const code = parseFragment(hash);
    if (!code?.ok) throw new Error('not an invitation');
    const url = origin.replace(/^http/, 'ws');
    return new Crowd(
      spawn(binary, ['crowd', '--url', url, '--room', room]),
      await nameSealer(code.secret, room, (count) => randomBytes(count)),
    );
  }

  /** Returns the identity. */
  async join(name: string, media: Media = {}): Promise<string> {
    const identity = randomBytes(12).toString('base64url');
    await this.joinAs(identity, await this.sealer.seal(name, identity), media);
    return identity;
  }

  /** With metadata of any kind, as another program may have it; it must not hold tabs or line breaks. */
  joinAs(identity: string, metadata: string, { audio, video }: Media = {}): Promise<void> {
    return this.order('join', identity, metadata, ...(audio ? ['audio'] : []), ...(video ? [film()] : []));
  }

  /** How loud somebody's microphone is, in dBov: −127 is silence. */
  level(identity: string, dbov: number): Promise<void> {
    return this.order('level', identity, String(dbov));
  }

  /** Writes to the chat, as often as told; `{n}` in the text becomes the number of the message. */
  say(identity: string, text: string, times = 1): Promise<void> {
    const packet = { v: 1, type: 'chat', id: `${this.asked}-{n}`, text, at: 0 };
    return this.order('say', identity, String(times), JSON.stringify(packet));
  }

  leave(identity: string): Promise<void> {
    return this.order('leave', identity);
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

  /** Orders are obeyed one after the other. */
  private async order(...parts: string[]): Promise<void> {
    const turn = this.asked++;
    this.process.stdin.write(`${parts.join('\t')}\n`);
    await until(
      `the crowd to ${parts.slice(0, 2).join(' ')}`,
      () => {
        if (this.process.exitCode !== null) throw new Error(`the crowd ended: ${this.complaints}`);
        return this.done.length > turn;
      },
      { timeout: 60_000, every: 20 },
    );
  }
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
