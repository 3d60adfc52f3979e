import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createScheduler } from '../../src/serving/scheduler.ts';
import { SCHEDULERS, type Routable, type Scheduler, type SchedulerKind, type SchedulerOptions } from '../../src/serving/scheduling.ts';
import type { ServingRequest } from '../../src/serving/requests.ts';
import type { Service } from '../../src/serving/service.ts';
import { hashWords } from '../../src/sim/random.ts';
import type { FakePool, Loss } from './fake-pool.ts';
import { PlainScheduler } from './plain-scheduler.ts';
import { after, asking, rightAnswer, start, watch, type Watched } from './service-fixture.ts';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

const ENGINES = 3;
const TICKS = 500;
const [POISON, REFUSED] = [250, 251];

type Kind = 'good' | 'poisonous' | 'refused';

interface Sent {
  readonly kind: Kind;
  readonly request: ServingRequest;
  readonly controller: AbortController | null;
  readonly watched: Watched;
}

/** Numbers from 0 to 1. */
const randomOf = (seed: number): (() => number) => {
  let drawn = 0;
  return () => hashWords(seed, drawn++) / 2 ** 32;
};

/** One of a few prefixes of whole blocks, and a suffix that no other prompt has. */
function makeRequest(id: number, random: () => number, signal: AbortSignal | undefined): { kind: Kind; request: ServingRequest } {
  const draw = random();
  const kind = draw < 0.002 ? 'poisonous' : draw < 0.006 ? 'refused' : 'good';
  const mark = kind === 'poisonous' ? POISON : kind === 'refused' ? REFUSED : 0;
  const prefix = Array.from({ length: 16 * Math.floor(random() * 4) }, (_, i) => (i * 7 + Math.floor(random() * 1.02)) % 200);
  const tokens = Uint32Array.from([...prefix, mark, id >> 8, id & 255, 1]);
  return { kind, request: asking(0, { tokens, candidates: [id % 50, 60], ...(random() < 0.1 && { scored: 2, top: id % 4 }), ...(signal && { signal }) }) };
}

const has = (mark: number) => (tokens: Uint32Array): boolean => tokens.at(-4) === mark;

/** @param idle the engine has no pass: then the pool tells at once, or the next pass would be lost for nothing */
function randomLoss(random: () => number, idle: boolean): Loss {
  const [first, second] = [Math.floor(random() * 20), Math.floor(random() * 20)];
  const order = random();
  return { backAfterMs: 5 + second, ...(order < 0.3 && !idle ? { tellAfterMs: first } : order < 0.6 ? { failAfterMs: first } : {}) };
}

/** Not an engine that gives a request its last run: that would be given up, and rightly. */
function loseOne(pool: FakePool, random: () => number): void {
  const engine = Math.floor(random() * ENGINES);
  const prompts = pool.options.together ? [0, 1, 2].flatMap((each) => pool.promptsOf(each)) : pool.promptsOf(engine);
  if (prompts.every((tokens) => pool.runsOf(tokens) < 3)) pool.lose(engine, randomLoss(random, prompts.length === 0));
}

async function traffic(service: Service, pool: FakePool, random: () => number): Promise<Sent[]> {
  const sent: Sent[] = [];
  for (let tick = 0; tick < TICKS; tick++) {
    const burst = random() < 0.02 ? 200 : Math.floor(random() * 8);
    for (let i = 0; i < burst; i++) {
      const controller = random() < 0.1 ? new AbortController() : null;
      const { kind, request } = makeRequest(sent.length, random, controller?.signal);
      sent.push({ kind, request, controller, watched: watch(service.submit(request)) });
      if (controller && random() < 0.8) setTimeout(() => controller.abort(), random() * 60);
    }
    if (random() < 0.04) loseOne(pool, random);
    await after(Math.floor(random() * 6));
  }
  return sent;
}

const stateOf = ({ kind, request, watched }: Sent): string => {
  if (watched.answer) return JSON.stringify(rightAnswer(request).answer.logits) === JSON.stringify(watched.answer.logits) ? `${kind} answered` : `${kind} answered wrongly`;
  return watched.error ? `${kind} ${watched.error.name}` : `${kind} open`;
};

/** Of every request, how often the service told of its end. */
function countEnds(service: Service): Map<ServingRequest, number> {
  const ends = new Map<ServingRequest, number>();
  const end = (request: ServingRequest): unknown => ends.set(request, (ends.get(request) ?? 0) + 1);
  service.observe({ answered: end, failed: end });
  return ends;
}

const CASES = [...(['plain', ...SCHEDULERS] as const).map((name) => ({ name, together: false })), { name: 'prefix', together: true }] as const;

describe.each(CASES)('under losses (of all together: $together), withdrawals, refusals and poison, with scheduler $name', ({ name, together }) => {
  it.each([1, 2])('every accepted request comes to one end, the right one, and nothing is left behind (seed %i)', async (seed) => {
    const random = randomOf(seed);
    const schedulers: Scheduler<Routable>[] = [];
    const { pool, service } = start({
      engines: ENGINES, together, poisonous: has(POISON), refused: has(REFUSED), poisonLoss: { backAfterMs: 15 }, starting: [2],
      serviceMs: (work, engine) => 2 + engine + Math.floor(work.sequences.length / 20),
    }, {
      threshold: 5e7, batchTokens: 512, maxWaiting: 400, maxWaitMs: 4, scheduler: name === 'plain' ? 'prefix' : name satisfies SchedulerKind,
      createScheduler: <R extends Routable>(options: SchedulerOptions): Scheduler<R> => {
        const scheduler = name === 'plain' ? new PlainScheduler<R>(options) : createScheduler<R>(options);
        schedulers.push(scheduler as unknown as Scheduler<Routable>);
        return scheduler;
      },
    });
    setTimeout(() => pool.back(2), 30);
    const ends = countEnds(service);
    const sent = await traffic(service, pool, random);
    const drained = service.drain();
    await after(30_000);
    await drained;

    const states = new Set(sent.map(stateOf));
    const allowed = new Set(['good answered', 'good CancelledError', 'good OverloadedError', 'poisonous GivenUpError', 'poisonous CancelledError', 'poisonous OverloadedError', 'refused InputError', 'refused CancelledError', 'refused OverloadedError']);
    expect([...states].filter((state) => !allowed.has(state))).toEqual([]);
    expect(states).toContain('poisonous GivenUpError');
    expect(states).toContain('refused InputError');
    expect(sent.filter(({ request: { signal }, watched }) => watched.error?.name === 'CancelledError' && !signal?.aborted)).toEqual([]);

    const of = (error: string): number => sent.filter(({ watched }) => watched.error?.name === error).length;
    const answered = sent.filter(({ watched }) => watched.answer).length;
    const { counts, waiting, underWay, engines } = service.snapshot();
    expect(counts).toMatchObject({
      accepted: sent.length - of('OverloadedError'), answered, rejected: of('OverloadedError'), cancelled: of('CancelledError'), failed: of('GivenUpError') + of('InputError'),
    });
    expect(Math.max(...ends.values())).toBe(1);
    expect(ends.size).toBe(counts.answered + counts.failed);
    expect(counts.retried).toBeGreaterThan(0);

    expect(Math.max(...sent.filter(({ kind }) => kind !== 'refused').map(({ request }) => pool.runsOf(request.tokens)))).toBe(3);
    expect([pool.mostUnderWay, pool.givenToLost]).toEqual([2, 0]);
    expect([waiting, underWay, schedulers[0]!.waiting]).toEqual([0, 0, 0]);
    for (const { load } of engines) expect(load).toMatchObject({ filling: 0, fillingRequests: 0, underWay: 0, pendingBlocks: 0 });
    expect(sent.filter(({ controller }) => controller && getEventListeners(controller.signal, 'abort').length > 0)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
