/** Serves the built gallery (web/gallery-dist) on a free port of the loopback, under the product's content security policy. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');
const folder = join(root, 'web/gallery-dist');

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** The policy as the server's source says it, so that the two cannot drift apart. */
async function policy(): Promise<string> {
  const source = await readFile(join(root, 'crates/server/src/http/headers.rs'), 'utf8');
  const text = /const POLICY: &str = "([^"]+)"/.exec(source)?.[1];
  if (!text) throw new Error('the server has no POLICY any more');
  return text.replace(/\\\n\s*/g, '');
}

export interface Gallery {
  origin: string;
  close(): void;
}

export async function serveGallery(): Promise<Gallery> {
  const headers = { 'content-security-policy': await policy() };
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://gallery').pathname;
    const file = path === '/' ? 'index.html' : path;
    readFile(join(folder, file)).then(
      (body) => {
        response.writeHead(200, {
          ...headers,
          'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
        });
        response.end(body);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, close: () => void server.close() };
}
