/**
 * Firefox runs no AudioContext on a machine without a sound card, and then nobody can hear what arrives there. So the
 * tests bring one: a PulseAudio of their own whose only output is a null sink, reached through a socket in a folder
 * that goes with it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.ts';

/**
 * Starts it, leaves its address in `E2E_SOUND_CARD` for the tests' processes, and returns what ends it. Chromium does
 * without: it has a clock of its own, and the null sink's buffer would delay its sound by 350 ms.
 */
export async function startSoundCard(): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'konklave-sound-'));
  const socket = join(folder, 'native');
  const modules = ['module-null-sink', `module-native-protocol-unix socket=${socket} auth-anonymous=1`];
  const daemon = spawn(
    'pulseaudio',
    [
      '-n',
      '--daemonize=no',
      '--exit-idle-time=-1',
      '--disable-shm=yes',
      ...modules.flatMap((m) => ['-L', m]),
    ],
    { stdio: 'ignore', env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder } },
  );
  await until('the sound card', () => {
    if (daemon.exitCode !== null) throw new Error(`pulseaudio ended with ${daemon.exitCode}`);
    return existsSync(socket);
  });
  process.env.E2E_SOUND_CARD = `unix:${socket}`;
  return async () => {
    if (daemon.exitCode === null) {
      daemon.kill('SIGTERM');
      await once(daemon, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  };
}
