/** What Node carries over a loopback TCP socket with nothing around it: a ring of streams. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

const WRITE = Buffer.alloc(1 << 20, 1);

export class TcpRing {
  readonly #server: Server;
  readonly #inbound: Promise<Socket>;
  #next: Socket | undefined;
  #received = 0;
  #wanted = { bytes: Infinity, resolve: (): void => undefined };

  private constructor() {
    this.#server = createServer();
    this.#inbound = once(this.#server, 'connection').then(([socket]: Socket[]) => socket as Socket);
  }

  static async listen(): Promise<{ ring: TcpRing; address: string }> {
    const ring = new TcpRing();
    ring.#server.listen(0, '127.0.0.1');
    await once(ring.#server, 'listening');
    return { ring, address: String((ring.#server.address() as AddressInfo).port) };
  }

  async connect(address: string): Promise<void> {
    const next = (this.#next = connect(Number(address), '127.0.0.1'));
    const [inbound] = await Promise.all([this.#inbound, once(next, 'connect')]);
    inbound.on('data', (data: Buffer) => {
      this.#received += data.length;
      if (this.#received >= this.#wanted.bytes) this.#wanted.resolve();
    });
  }

  /** Sends `bytes` to the next rank and waits for as many from the one before. */
  async run(bytes: number): Promise<void> {
    const received = new Promise<void>((resolve) => (this.#wanted = { bytes, resolve }));
    if (this.#received >= bytes) this.#wanted.resolve();
    const next = this.#next as Socket;
    for (let left = bytes; left > 0; left -= WRITE.length) {
      if (!next.write(left < WRITE.length ? WRITE.subarray(0, left) : WRITE)) await once(next, 'drain');
    }
    await received;
    this.#received -= bytes;
    this.#wanted = { bytes: Infinity, resolve: () => undefined };
  }
}
