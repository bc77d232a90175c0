/**
 * A line between a browser and everybody else that can be taken down, narrowed, made lossy, and given another address.
 * The browser runs in a network namespace of its own behind a veth pair; works inside scripts/alone only.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.ts';

/** Where the server is, seen from the far end: the address that scripts/alone gives to the namespace. */
export const NEAR = '10.77.0.1';
const FAR = ['10.78.0.2', '10.78.0.3'];

export class Line {
  private addresses = FAR;

  private constructor(
    /** Keeps the namespace; ends with the line. */
    private readonly keeper: ChildProcess,
    private readonly folder: string,
  ) {}

  static async lay(): Promise<Line> {
    if (!process.env.KONKLAVE_ALONE) throw new Error('this test cuts lines; run it with scripts/alone');
    const keeper = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    await once(keeper, 'spawn');
    const line = new Line(keeper, mkdtempSync(join(tmpdir(), 'konklave-line-')));
    // `unshare` has become `sleep` when the namespace is there.
    await until('the namespace', () => name(keeper.pid!) === 'sleep');
    run('ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    run('ip', 'link', 'set', 'far', 'netns', String(keeper.pid));
    run('ip', 'link', 'set', 'near', 'up');
    // No address of its own: neither server nor browsers see another interface, or one that comes and goes.
    run('ip', 'route', 'add', '10.78.0.0/24', 'dev', 'near', 'src', NEAR);
    line.far('ip', 'link', 'set', 'lo', 'up');
    line.far('ip', 'addr', 'add', `${FAR[0]}/24`, 'dev', 'far');
    line.up();
    return line;
  }

  /** The browser's own address. */
  get address(): string {
    return this.addresses[0]!;
  }

  /** A program that starts Chromium at the far end. */
  chromium(): string {
    const script = join(this.folder, 'chromium');
    const program = process.env.CHROMIUM ?? '/usr/bin/chromium';
    writeFileSync(script, `#!/bin/sh\nexec nsenter --target ${this.keeper.pid} --net ${program} "$@"\n`);
    chmodSync(script, 0o755);
    return script;
  }

  /** As when the cable is pulled: the browser sees it. */
  down(): void {
    this.far('ip', 'link', 'set', 'far', 'down');
  }

  up(): void {
    this.far('ip', 'link', 'set', 'far', 'up');
    this.far('ip', 'route', 'replace', NEAR, 'dev', 'far');
    this.far('ip', 'route', 'replace', 'default', 'via', NEAR, 'dev', 'far');
  }

  /** Drops this share of the packets of both directions, in percent: with 100 the line is dead, and nobody is told. */
  lose(percent: number): void {
    run('nft', 'add table inet line');
    const some = percent < 100 ? `numgen random mod 100 < ${percent} ` : '';
    for (const [hook, direction] of [
      ['input', 'iifname'],
      ['output', 'oifname'],
    ]) {
      run('nft', `add chain inet line ${hook} { type filter hook ${hook} priority 0 ; }`);
      run('nft', `add rule inet line ${hook} ${direction} near ${some}drop`);
    }
  }

  loseNothing(): void {
    run('nft', 'delete table inet line');
  }

  /** In both directions, with a queue of half a second. */
  narrow(kilobits: number): void {
    const bucket = ['root', 'tbf', 'rate', `${kilobits}kbit`, 'burst', '4kb', 'latency', '500ms'];
    run('tc', 'qdisc', 'add', 'dev', 'near', ...bucket);
    this.far('tc', 'qdisc', 'add', 'dev', 'far', ...bucket);
  }

  widen(): void {
    run('tc', 'qdisc', 'del', 'dev', 'near', 'root');
    this.far('tc', 'qdisc', 'del', 'dev', 'far', 'root');
  }

  /** As from Wi-Fi to mobile: the old address is gone, connections by it are dead. */
  readdress(): void {
    const [old, next] = this.addresses;
    this.far('ip', 'addr', 'add', `${next}/24`, 'dev', 'far');
    this.far('ip', 'addr', 'del', `${old}/24`, 'dev', 'far');
    this.far('ip', 'addr', 'replace', `${next}/24`, 'dev', 'far');
    this.addresses = [next!, old!];
    this.up();
  }

  /** Leaves nothing behind, whatever state the line is in. */
  async remove(): Promise<void> {
    run('nft', 'add table inet line');
    run('nft', 'delete table inet line');
    run('ip', 'link', 'del', 'near');
    const ended = once(this.keeper, 'exit');
    this.keeper.kill();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  private far(...command: string[]): void {
    run('nsenter', '--target', String(this.keeper.pid), '--net', ...command);
  }
}

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

function run(program: string, ...options: string[]): void {
  execFileSync(program, options, { env, encoding: 'utf8' });
}

function name(pid: number): string {
  return execFileSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' }).trim();
}
