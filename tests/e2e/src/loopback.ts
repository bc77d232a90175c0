/**
 * Serves the pages of web/tests/e2ee/media/page, built as the product is and under its content security policy. One sends
 * to itself through the media worker, one takes part in a meeting on a server that may be elsewhere, one measures.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { policy } from './gallery.ts';

const web = resolve(import.meta.dirname, '../../../web');

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};

export interface Loopback {
  readonly address: string;
  close(): Promise<void>;
}

/** `elsewhere` is the origin of the server whose meetings the page may take part in. */
export async function serveLoopback(elsewhere = ''): Promise<Loopback> {
  const folder = await mkdtemp(join(tmpdir(), 'konklave-loopback-'));
  const config = join(web, 'tests/e2ee/media/page/vite.config.ts');
  const build = ['build', '--config', config, '--outDir', folder, '--logLevel', 'warn'];
  await promisify(execFile)(join(web, 'node_modules/.bin/vite'), build, { cwd: web });
  const connections = elsewhere && ` ${elsewhere} ${elsewhere.replace(/^http/, 'ws')}`;
  const headers = { 'content-security-policy': (await policy()) + connections };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const file = pathname === '/' ? 'index.html' : pathname;
    readFile(join(folder, file)).then(
      (body) => response.writeHead(200, { ...headers, 'content-type': TYPES[extname(file)] ?? '' }).end(body),
      () => response.writeHead(404).end(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `http://localhost:${(server.address() as { port: number }).port}/`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}
