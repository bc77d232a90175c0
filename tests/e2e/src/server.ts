/** Starts the real binary on a free port and ends it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { until } from './until.ts';

const root = resolve(import.meta.dirname, '../../..');
const binary = process.env.KONKLAVE_BINARY ?? join(root, 'target/debug/konklave');

/** A running server. */
export class Server {
  private constructor(
    readonly port: number,
    private process: ChildProcess,
  ) {}

  /** Address of the page, without a slash at its end. */
  get origin(): string {
    return `http://localhost:${this.port}`;
  }

  /** Starts it with the development keys and returns once it answers. */
  static async start(): Promise<Server> {
    if (!existsSync(binary)) throw new Error(`${binary} is not built: scripts/build`);
    const port = await freePort();
    return new Server(port, await launch(port));
  }

  /** Ends it, with a word to everybody (SIGTERM) or without (SIGKILL), and starts another one in its place. */
  async restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.stop(signal);
    this.process = await launch(this.port);
  }

  /** Of the process that runs now. */
  get pid(): number {
    return this.process.pid!;
  }

  /** Whether the process is still there. */
  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (!this.alive) return;
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }
}

const logs = join(root, 'target/ci/logs');
const logFile = (port: number) => join(logs, `server-${port}.log`);

/** What the server on this port has written so far. */
export const logOf = (port: number): string => readFileSync(logFile(port), 'utf8');

/** Starts the process and returns once it answers. */
async function launch(port: number): Promise<ChildProcess> {
  mkdirSync(logs, { recursive: true });
  const log = createWriteStream(logFile(port), { flags: 'a' });
  const child = spawn(binary, ['serve', '--dev', '--port', String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  await until(`the server to answer on port ${port}`, async () => {
    if (child.exitCode !== null)
      throw new Error(`konklave ended with ${child.exitCode}; see ${log.path.toString()}`);
    const answer = await fetch(`http://localhost:${port}`).catch(() => undefined);
    return answer?.ok ?? false;
  }).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  return child;
}

/** A port that is free for TCP and for UDP. */
async function freePort(): Promise<number> {
  for (;;) {
    const tcp = createServer().listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const port = (tcp.address() as { port: number }).port;
    const udp = createSocket('udp4').bind(port, '0.0.0.0');
    const free = await Promise.race([
      once(udp, 'listening').then(() => true),
      once(udp, 'error').then(() => false),
    ]);
    tcp.close();
    if (!free) continue;
    udp.close();
    return port;
  }
}
