/** The memory of a process that this one has started, as the system shows it. */
import { open, readFile } from 'node:fs/promises';

/** Read at once: large heaps do not have to fit into memory twice. */
const CHUNK = 1 << 20;

export interface Memory {
  /** Whether a text is in it, in UTF-8 or UTF-16. */
  holds(text: string): boolean;
}

/** Everything that is readable and writable: code and files are not the process's own. */
export async function memoryOf(pid: number): Promise<Memory> {
  const chunks: Buffer[] = [];
  const memory = await open(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of (await readFile(`/proc/${pid}/maps`, 'utf8')).split('\n')) {
      const [, from, to, access] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
      if (!access?.startsWith('rw')) continue;
      const end = Number.parseInt(to!, 16);
      const parts: Buffer[] = [];
      for (let at = Number.parseInt(from!, 16); at < end; at += CHUNK) {
        const buffer = Buffer.alloc(Math.min(CHUNK, end - at));
        // A page may have gone meanwhile.
        const read = await memory.read(buffer, 0, buffer.length, at).catch(() => null);
        if (read) parts.push(buffer.subarray(0, read.bytesRead));
      }
      chunks.push(Buffer.concat(parts));
    }
  } finally {
    await memory.close();
  }
  return {
    holds: (text) =>
      chunks.some(
        (chunk) => chunk.includes(Buffer.from(text)) || chunk.includes(Buffer.from(text, 'utf16le')),
      ),
  };
}
