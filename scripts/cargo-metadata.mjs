// The workspace's packages and their direct dependencies, as `cargo metadata` tells them.
import { execFileSync } from 'node:child_process';

/** Ends the program with cargo's own message when the workspace cannot be read or Cargo.lock is behind. */
export function cargoMetadata() {
  try {
    const command = ['metadata', '--no-deps', '--format-version', '1', '--locked'];
    return JSON.parse(
      execFileSync('cargo', command, {
        encoding: 'utf8',
        maxBuffer: 64 << 20,
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    );
  } catch {
    process.exit(1);
  }
}
