import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { after, asking, passesOf, rightAnswer, start, watch } from './service-fixture.ts';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

describe('the loss of an engine', () => {
  const orders = [
    ['the pool tells first', { failAfterMs: 3, backAfterMs: 100 }],
    ['the passes fail first', { tellAfterMs: 3, backAfterMs: 100 }],
    ['both at once', { backAfterMs: 100 }],
    ['the passes fail when it is back already', { failAfterMs: 20, backAfterMs: 5 }],
  ] as const;

  it.each(orders)('its requests run again and are answered once: %s', async (_, loss) => {
    const { pool, service, scheduler } = start({ engines: 2 }, { batchTokens: 3 });
    const requests = Array.from({ length: 8 }, (_, i) => watch(service.submit(asking(i))));
    await after(5);
    pool.lose(0, loss);
    await after(300);
    expect(requests).toMatchObject(requests.map((_, i) => rightAnswer(asking(i))));
    expect(service.snapshot()).toMatchObject({ waiting: 0, underWay: 0, counts: { accepted: 8, answered: 8, failed: 0, retried: 2 } });
    expect(scheduler.open).toEqual([true, true]);
    expect([pool.givenToLost, pool.given.length]).toEqual([0, 10]);
  });

  it('its requests go to the head of the queue, in their order, whichever of its passes failed first', async () => {
    const { pool, service } = start({}, { batchTokens: 6 });
    for (let i = 0; i < 8; i++) void service.submit(asking(i));
    await after(1);
    pool.lose(0, { backAfterMs: 20 });
    await after(100);
    expect(passesOf(pool)).toEqual([[0, 1], [2, 3], [0, 1], [2, 3], [4, 5], [6, 7]]);
  });

  it('a request that ends every engine is given up after three runs; all others are answered within three', async () => {
    const poison = asking(66);
    const { pool, service } = start(
      { engines: 2, poisonous: ([first]) => first === 66, poisonLoss: { backAfterMs: 30 } }, { batchTokens: 30 },
    );
    const fellows = Array.from({ length: 60 }, (_, i) => asking(i));
    const requests = [...fellows.slice(0, 30), poison, ...fellows.slice(30)];
    const outcomes = requests.map((request) => watch(service.submit(request)));
    await after(3000);
    const message = expect.stringMatching(/^the engine was lost in each of 3 attempts to answer; the last time: rank [01]: was killed$/);
    expect(outcomes).toMatchObject(requests.map((request) => (request === poison ? { error: { name: 'GivenUpError', attempts: 3, message } } : rightAnswer(request))));
    expect(Math.max(...requests.map(({ tokens }) => pool.runsOf(tokens)))).toBe(3);
    expect(service.snapshot().counts).toMatchObject({ accepted: 61, answered: 60, failed: 1 });
  });

  it('a third run is alone, on an engine that has nothing else; others go on meanwhile', async () => {
    const poisonous = ([first]: Uint32Array): boolean => first === 66;
    const { pool, service } = start({ engines: 2, poisonous, poisonLoss: { backAfterMs: 30 } }, { batchTokens: 30 });
    const alone: boolean[] = [];
    const pass = pool.pass.bind(pool);
    vi.spyOn(pool, 'pass').mockImplementation((engine, work) => {
      if (work.sequences.some(({ tokens }) => poisonous(tokens))) alone.push(work.sequences.length === 1 && pool.underWay(engine) === 0);
      return pass(engine, work);
    });
    const outcomes = Array.from({ length: 300 }, (_, i) => watch(service.submit(asking(i === 15 ? 66 : i % 60))));
    await after(5000);
    expect(alone).toEqual([false, false, true]);
    expect(outcomes.filter(({ answer }) => answer !== undefined).length).toBe(299);
  });

  it('a last run waits until all engines are up, so that one cause that ends all of them costs no answer', async () => {
    const { pool, service } = start({ engines: 3 });
    const request = watch(service.submit(asking(1)));
    await after(2);
    // One after the other, each when it has the request.
    for (const _ of [1, 2]) {
      const engine = pool.given.at(-1)!.engine;
      pool.lose(engine, { backAfterMs: 500 });
      await after(2);
    }
    expect(pool.given.length).toBe(2);
    pool.lose(2, { backAfterMs: 1000 });
    await after(990);
    expect(pool.given.length).toBe(2);
    await after(50);
    expect([pool.given.length, request]).toMatchObject([3, rightAnswer(asking(1))]);
  });

  it('a last run does not wait for ever for an engine that stays lost', async () => {
    const { pool, service, scheduler } = start({ engines: 3 });
    const request = watch(service.submit(asking(1)));
    await after(2);
    for (const _ of [1, 2]) {
      pool.lose(pool.given.at(-1)!.engine);
      await after(2);
    }
    await after(59_000);
    const other = watch(service.submit(asking(2)));
    await after(20);
    expect(request).toEqual({});
    expect(other).toMatchObject(rightAnswer(asking(2)));
    await after(1000);
    expect(request).toMatchObject(rightAnswer(asking(1)));
    expect(scheduler.open.filter((open) => open).length).toBe(1);
  });

  it('where engines end together, a last run is the only one of all of them', async () => {
    const { pool, service } = start({ engines: 3, together: true, poisonous: ([first]) => first! >= 60, poisonLoss: { backAfterMs: 30 } }, { batchTokens: 15 });
    const requests = Array.from({ length: 64 }, (_, i) => asking((i * 5) % 64));
    const outcomes = requests.map((request) => watch(service.submit(request)));
    await after(20_000);
    expect(outcomes).toMatchObject(requests.map((request) => (request.tokens[0]! >= 60 ? { error: { name: 'GivenUpError' } } : rightAnswer(request))));
    expect(Math.max(...requests.map(({ tokens }) => pool.runsOf(tokens)))).toBe(3);
  });

  it('a failure that is nobody\'s loss ends the requests of its batch alone', async () => {
    const { pool, service } = start({ serviceMs: ({ sequences }) => { if (sequences[0]?.tokens[0] === 1) throw new TypeError('a bug'); return 10; } }, { batchTokens: 3 });
    const outcomes = [1, 2].map((first) => watch(service.submit(asking(first))));
    await after(50);
    expect(outcomes).toMatchObject([{ error: { name: 'TypeError', message: 'a bug' } }, { answer: { engine: 0 } }]);
    expect(pool.given.length).toBe(2);
  });
});

describe('when every engine is gone for good', () => {
  const orders = [['the pool tells first', { failAfterMs: 3 }], ['the passes fail first', { tellAfterMs: 3 }]] as const;

  it.each(orders)('what waits and what was under way is told so, and nothing more is taken: %s', async (_, loss) => {
    const { pool, service } = start({ engines: 2 }, { batchTokens: 3 });
    const outcomes = Array.from({ length: 8 }, (_, i) => watch(service.submit(asking(i))));
    await after(5);
    pool.lose(0, { ...loss, forGood: true });
    await after(5);
    expect(outcomes.filter(({ error }) => error !== undefined)).toEqual([]);
    pool.lose(1, { ...loss, forGood: true });
    await after(10);
    const error = { name: 'NoEnginesError', message: 'no engine is left; the last one: rank 1: was killed' };
    const errors = outcomes.flatMap((outcome) => outcome.error ?? []);
    expect(errors.length).toBeGreaterThan(0);
    expect(outcomes.filter((outcome) => outcome.error === undefined && outcome.answer === undefined)).toEqual([]);
    expect(errors).toMatchObject(errors.map(() => error));
    await expect(service.submit(asking(1))).rejects.toMatchObject(error);
    await service.drain();
    expect(service.snapshot()).toMatchObject({ waiting: 0, underWay: 0 });
  });
});

describe('a request that engines refuse', () => {
  it('fails with their error, and its fellows are answered without a loss of anything', async () => {
    const { service, scheduler } = start({ refused: ([first]) => first === 13 || first === 29 });
    const outcomes = Array.from({ length: 40 }, (_, i) => watch(service.submit(asking(i))));
    await after(500);
    const refusal = { error: { name: 'InputError', message: 'sequence 0: tokens: are refused' } };
    expect(outcomes).toMatchObject(outcomes.map((_, i) => (i === 13 || i === 29 ? refusal : rightAnswer(asking(i)))));
    expect(service.snapshot().counts).toMatchObject({ answered: 38, failed: 2, retried: 0 });
    expect(scheduler.load(0).underWay).toBe(0);
  });
});

describe('withdrawal', () => {
  it('before it has left, a request is never run', async () => {
    const { pool, service } = start({}, { threshold: 1e15 });
    const leaves = new AbortController();
    const gone = watch(service.submit(asking(1, { signal: leaves.signal })));
    const stays = watch(service.submit(asking(2)));
    await after(5);
    leaves.abort();
    await after(1);
    expect(gone).toMatchObject({ error: { name: 'CancelledError', message: 'the request was withdrawn' } });
    await after(100);
    expect([passesOf(pool), stays.answer !== undefined]).toEqual([[[2]], true]);
    expect(service.snapshot().counts).toMatchObject({ accepted: 2, answered: 1, cancelled: 1 });
  });

  it('afterwards its answer is dropped, and its loss is nobody\'s', async () => {
    const { pool, service } = start();
    const leaves = new AbortController();
    const gone = watch(service.submit(asking(1, { signal: leaves.signal })));
    await after(5);
    leaves.abort();
    pool.lose(0, { backAfterMs: 10 });
    await after(100);
    expect(gone).toMatchObject({ error: { name: 'CancelledError' } });
    expect([pool.given.length, service.snapshot().counts]).toMatchObject([1, { cancelled: 1, answered: 0, retried: 0 }]);
  });

  it('one signal withdraws all its requests, is listened to once, and no more when they are answered', async () => {
    const { service } = start();
    const [used, aborted] = [new AbortController(), new AbortController()];
    const added = vi.spyOn(used.signal, 'addEventListener');
    const removed = vi.spyOn(used.signal, 'removeEventListener');
    const answered = Array.from({ length: 20 }, (_, i) => watch(service.submit(asking(i, { signal: used.signal }))));
    const gone = Array.from({ length: 20 }, (_, i) => watch(service.submit(asking(i, { signal: aborted.signal }))));
    aborted.abort();
    await after(50);
    expect([answered.every(({ answer }) => answer !== undefined), gone.every(({ error }) => error !== undefined)]).toEqual([true, true]);
    expect([added.mock.calls.length, removed.mock.calls.length]).toEqual([1, 1]);
    used.abort();
    expect(service.snapshot().counts).toMatchObject({ answered: 20, cancelled: 20 });
  });

  it('a request that was withdrawn before it came is not accepted', async () => {
    const { service } = start();
    await expect(service.submit(asking(1, { signal: AbortSignal.abort() }))).rejects.toThrow('the request was withdrawn');
    expect(service.snapshot().counts.accepted).toBe(0);
  });
});
