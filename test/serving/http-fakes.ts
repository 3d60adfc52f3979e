/** An API over the fake service, in the process or on a port. */
import { onTestFinished } from 'vitest';
import { createApp, type AppOptions } from '../../src/serving/http/app.ts';
import { openListener, type Listener, type ListenerOptions } from '../../src/serving/http/listener.ts';
import { fakeService, servedModel, type FakeService } from './operations-fakes.ts';

type App = Awaited<ReturnType<typeof createApp>>;

export const METRICS = { contentType: 'text/plain; version=0.0.4', text: () => Promise.resolve('asyncep_requests_total 3\n') };

export interface FakeServer {
  readonly app: App;
  readonly service: FakeService;
}

/** The API, to be asked by `app.inject`. */
export async function fakeApp(options: Partial<Omit<AppOptions, 'service'>> & { readonly service?: FakeService } = {}): Promise<FakeServer> {
  const service = options.service ?? fakeService();
  const app = await createApp({ model: servedModel({ labels: ['spam', 'ham'] }), metrics: METRICS, maxBodyBytes: 1 << 20, timeoutMs: 0, ...options, service });
  return { app, service };
}

/** The API on a free port of this machine, until the test has ended. */
export async function fakeServer(options: Parameters<typeof fakeApp>[0] = {}, listening: Partial<ListenerOptions> = {}): Promise<FakeServer & { readonly listener: Listener }> {
  const listener = await openListener({ host: '127.0.0.1', port: 0, requestTimeoutMs: 60_000, keepAliveMs: 60_000, ...listening });
  onTestFinished(() => listener.close());
  const server = await fakeApp(options);
  listener.serve((request, response) => server.app.routing(request, response));
  return { ...server, listener };
}

/** Waits until `is` holds; fails after ten seconds. */
export async function until(is: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 10_000; !is();) {
    if (Date.now() > end) throw new Error(`${what}: still not so after 10 s`);
    await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
}
