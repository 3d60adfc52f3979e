/** The page at `/` that shows how the server does, and what it is drawn from. */
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import { readStatusPage } from '../../node/status-page.ts';
import { endUs } from '../../trace/events.ts';
import { pageData } from '../../trace/page.ts';
import type { ServedModel } from '../operations/operation.ts';
import type { Service } from '../service.ts';
import { StatusFeed, type StatusSource } from '../status/feed.ts';
import { lastStretch } from '../status/last-stretch.ts';
import { RecentAnswers } from '../status/recent.ts';
import { statusOf } from '../status/report.ts';
import { statusSchema } from '../status/schema.ts';

const epochMs = (): number => performance.timeOrigin + performance.now();

/** Reads the service whenever it is asked. */
function statusSource(service: Service, model: ServedModel, recent: RecentAnswers): StatusSource {
  return {
    status() {
      const snapshot = service.snapshot();
      const timelineVersion = Math.round(snapshot.trace.reduce((last, event) => Math.max(last, endUs(event)), 0));
      return statusOf(snapshot, model, recent.figures(), { nowMs: epochMs(), timelineVersion });
    },
    timeline() {
      const { trace, engines } = service.snapshot();
      const rankNames = new Map(engines.map(({ info: { engine, adapter } }) => [engine, `rank ${engine}: ${adapter}`]));
      return pageData([{ label: 'last passes', events: lastStretch(trace), rankNames }]);
    },
  };
}

/** The page is always the same: its numbers come later. */
const PAGE_HEADERS = {
  'cache-control': 'no-cache',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "frame-ancestors 'none'", // the page itself says the rest
};

const tags = ['server'];

/**
 * Adds `/` (the page), `/status` (JSON), `/status/timeline` (JSON) and `/status/events` (server-sent events).
 * The page needs no key; what it shows does, where there is one.
 */
export function registerStatusPage(app: FastifyInstance, service: Service, model: ServedModel): void {
  const page = readStatusPage();
  const recent = new RecentAnswers(() => performance.now());
  service.observe(recent);
  const source = statusSource(service, model, recent);
  const feed = new StatusFeed(source);
  service.observe({ engine: () => feed.changed() });
  app.addHook('preClose', async () => feed.close());

  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.headers(PAGE_HEADERS).type('text/html; charset=utf-8').send(page));
  app.get('/status', { schema: { summary: 'How the server does: engines, queue, rates, last passes.', tags, response: { 200: statusSchema } } }, (_request, reply) => {
    void reply.header('cache-control', 'no-store');
    return source.status();
  });
  app.get('/status/timeline', {
    schema: { summary: 'The end of the timeline as the status page draws it.', description: 'Of no fixed form; `--trace` writes one for other tools.', tags, response: { 200: z.looseObject({}) } },
  }, (_request, reply) => {
    void reply.header('cache-control', 'no-store');
    return source.timeline();
  });
  app.get('/status/events', {
    exposeHeadRoute: false, // it would never end
    schema: { summary: 'Server-sent events: `status` with what /status tells, once a second and when an engine changes, and `timeline`.', tags, produces: ['text/event-stream'] },
  }, (_request, reply) => reply.headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no', connection: 'close' }).type('text/event-stream; charset=utf-8').send(feed.watch()));
}
