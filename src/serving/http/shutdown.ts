/** The way down: what was accepted is answered, what comes is refused, then everything is closed. */
import type { Service } from '../service.ts';
import type { Listener } from './listener.ts';

export interface Running {
  readonly app: { close(): PromiseLike<unknown> };
  readonly listener: Listener;
  readonly service: Pick<Service, 'drain' | 'close'>;
  /** Milliseconds that accepted requests have. */
  readonly deadlineMs: number;
}

/**
 * While it drains the port stays open and new requests are told to go elsewhere, as is who asks whether the server is ready.
 * @returns requests that had no answer when the deadline came
 */
export async function drainAndClose({ app, listener, service, deadlineMs }: Running): Promise<{ unanswered: number }> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => { timer = setTimeout(resolve, deadlineMs); });
  const answered = service.drain().then(() => listener.idle());
  await Promise.race([answered, deadline]);
  clearTimeout(timer);
  const unanswered = listener.underWay;
  await app.close();
  await listener.close();
  await service.close();
  return { unanswered };
}
