/** A way to the server that can be cut: it stands between a browser and the server for all that goes over TCP. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server as Listener, type Socket } from 'node:net';
import type { Server } from './server.ts';

export class Network {
  private readonly open = new Set<Socket>();
  /** Connections that came while the way was cut: they hear nothing until it is mended. */
  private readonly waiting: Socket[] = [];
  private whole = true;

  private constructor(
    private readonly listener: Listener,
    private readonly server: Server,
    private readonly address: string,
  ) {
    listener.on('connection', (socket) => {
      this.keep(socket);
      if (this.whole) this.forward(socket);
      else this.waiting.push(socket);
    });
  }

  /** `address` is the one at which the browser finds it. */
  static async to(server: Server, address = 'localhost'): Promise<Network> {
    const listener = createServer({ pauseOnConnect: true }).listen(0, address);
    await once(listener, 'listening');
    return new Network(listener, server, address);
  }

  /** Address of the page by this way, without a slash at its end. */
  get origin(): string {
    return `http://${this.address}:${(this.listener.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.whole = false;
    for (const socket of this.open) socket.destroy();
  }

  mend(): void {
    this.whole = true;
    for (const socket of this.waiting.splice(0)) if (!socket.destroyed) this.forward(socket);
  }

  close(): void {
    this.cut();
    this.listener.close();
  }

  private keep(socket: Socket): void {
    this.open.add(socket);
    socket.on('close', () => this.open.delete(socket));
    // An end that is torn off is what this is for.
    socket.on('error', () => undefined);
  }

  private forward(socket: Socket): void {
    const onward = connect(this.server.port, 'localhost');
    this.keep(onward);
    socket.pipe(onward);
    onward.pipe(socket);
    socket.on('close', () => onward.destroy());
    onward.on('close', () => socket.destroy());
    socket.resume();
  }
}
