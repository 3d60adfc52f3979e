/** Stands between two ranks, and can cut or stall what goes through it: what networks do. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class TcpProxy {
  readonly #pairs: [Socket, Socket][] = [];

  private constructor(private readonly server: Server, private readonly target: URL) {}

  /** Lets everything through to `address`, for now. */
  static async to(address: string): Promise<TcpProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const proxy = new TcpProxy(server, new URL(address));
    server.on('connection', (socket) => proxy.#join(socket));
    return proxy;
  }

  get address(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  #join(near: Socket): void {
    const far = connect(Number(this.target.port), this.target.hostname);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
    this.#pairs.push([near, far]);
  }

  /** Nothing gets through any more, and nobody is told. */
  stall(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far).pause();
      far.unpipe(near).pause();
    }
  }

  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  close(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    this.server.close();
  }
}
