/**
 * A server that lies: it stands between browsers and the real one, and changes what that says over WebSockets. Media
 * goes past it; lies about those are told by members of a `Crowd`.
 */
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server as Listener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { SignalResponse } from '@livekit/protocol';
import { WebSocket, WebSocketServer, type RawData } from 'ws';
import type { components } from '../../../web/src/api/schema.d.ts';
import type { Server } from './server.ts';

type FromServer = components['schemas']['FromServer'];

export interface Lies {
  /** Changes a message of the signalling in place, and may say more after it; `to` is the identity that gets it. */
  signal?: (message: SignalResponse, to: string) => SignalResponse[] | void;
  /** What is said instead of a message of the channel; nothing holds it back. */
  channel?: (message: FromServer, to: string) => FromServer[];
}

export class Liar {
  /** Told to everybody, and changed at any time. */
  lies: Lies = {};
  /** What browsers said to the server by this way: heads and bodies of requests, messages of WebSockets. */
  readonly heard: Buffer[] = [];
  private readonly open = new Set<Socket>();
  private readonly sockets = new WebSocketServer({ noServer: true });

  private constructor(
    private readonly listener: Listener,
    private readonly server: Server,
  ) {
    listener.on('connection', (socket) => {
      this.open.add(socket);
      socket.on('close', () => this.open.delete(socket));
    });
    listener.on('request', (asked, answer) => {
      const { method, url, headers } = asked;
      this.heard.push(Buffer.from(JSON.stringify({ method, url, headers })));
      asked.on('data', (chunk: Buffer) => this.heard.push(chunk));
      const onward = request(
        { port: server.port, host: 'localhost', method, path: url, headers },
        (answered) => {
          answer.writeHead(answered.statusCode ?? 502, answered.rawHeaders);
          answered.pipe(answer);
        },
      );
      onward.on('error', () => answer.destroy());
      asked.pipe(onward);
    });
    listener.on('upgrade', (asked: IncomingMessage, socket: Socket, head: Buffer) => {
      this.sockets.handleUpgrade(asked, socket, head, (browser) => this.between(browser, asked));
    });
  }

  static async before(server: Server): Promise<Liar> {
    const listener = createServer().listen(0, 'localhost');
    await once(listener, 'listening');
    return new Liar(listener, server);
  }

  /** Address of the page by this way, without a slash at its end. */
  get origin(): string {
    return `http://localhost:${(this.listener.address() as AddressInfo).port}`;
  }

  /** What the server says, by way of the liar. */
  link(link: string): string {
    const { pathname, hash } = new URL(link);
    return `${this.origin}${pathname}${hash}`;
  }

  close(): void {
    this.listener.close();
    for (const socket of this.open) socket.destroy();
  }

  private between(browser: WebSocket, asked: IncomingMessage): void {
    const url = new URL(asked.url ?? '', `ws://localhost:${this.server.port}`);
    const to = subjectOf(url.searchParams.get('access_token') ?? '');
    const { host = '', origin = '' } = asked.headers;
    const server = new WebSocket(url, { headers: { host, origin }, perMessageDeflate: false });
    const early: [RawData, boolean][] = [];
    this.heard.push(Buffer.from(JSON.stringify({ url: asked.url, headers: asked.headers })));
    browser.on('message', (data, binary) => {
      this.heard.push(data as Buffer);
      if (server.readyState === WebSocket.OPEN) server.send(data, { binary });
      else early.push([data, binary]);
    });
    server.on('open', () => {
      for (const [data, binary] of early.splice(0)) server.send(data, { binary });
    });
    server.on('message', (data, binary) => {
      for (const told of this.told(url.pathname, data as Buffer, binary, to)) browser.send(told, { binary });
    });
    // Codes that only stand for "no code" cannot be sent.
    const code = (code: number) =>
      code >= 1000 && code < 5000 && code !== 1005 && code !== 1006 ? code : 1000;
    server.on('close', (reason) => browser.close(code(reason)));
    browser.on('close', (reason) => server.close(code(reason)));
    server.on('error', () => browser.terminate());
    browser.on('error', () => server.terminate());
  }

  private told(path: string, data: Buffer, binary: boolean, to: string): Buffer[] {
    const { signal, channel } = this.lies;
    if (path.endsWith('/channel')) {
      const told = channel?.(JSON.parse(data.toString()) as FromServer, to);
      return told?.map((one) => Buffer.from(JSON.stringify(one))) ?? [data];
    }
    if (!signal || !binary) return [data];
    const message = SignalResponse.fromBinary(data);
    const more = signal(message, to) ?? [];
    return [message, ...more].map((one) => Buffer.from(one.toBinary()));
  }
}

/** Whom a token names. */
function subjectOf(token: string): string {
  const [, claims = ''] = token.split('.');
  return (JSON.parse(Buffer.from(claims, 'base64url').toString() || '{}') as { sub?: string }).sub ?? '';
}
