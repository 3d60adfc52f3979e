import { describe, expect, it } from 'vitest';
import { RankError } from '../../../src/errors.ts';
import { AnsweredLines } from '../../../src/serving/batch/answered-lines.ts';
import { type BatchAnswer, batchAnswerSchema } from '../../../src/serving/batch/format.ts';
import { linesToAnswer } from '../../../src/serving/batch/input-lines.ts';
import { runBatch } from '../../../src/serving/batch/run.ts';
import { GivenUpError, NoEnginesError } from '../../../src/serving/requests.ts';
import { countLine, type FakeService, fakeService, find, IN_PASSES, MODEL } from './fakes.ts';

interface Outcome {
  readonly answers: readonly BatchAnswer[];
  readonly ended: boolean;
  readonly error: unknown;
}

/** Runs lines through the service and collects what is written. */
async function run(lines: readonly string[], service: FakeService, { room = 8, stop = new AbortController(), stopAfter = Infinity } = {}): Promise<Outcome> {
  const answers: BatchAnswer[] = [];
  let [ended, error]: [boolean, unknown] = [false, null];
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(lines.join('\n'));
  }
  try {
    ended = await runBatch({
      lines: linesToAnswer(source(), new AnsweredLines(), 'in.jsonl'), service, room, find, model: MODEL, stop: stop.signal, abandon: new AbortController().signal,
      sink: {
        write: async (line) => {
          answers.push(batchAnswerSchema.parse(JSON.parse(line)));
          if (answers.length >= stopAfter) stop.abort();
        },
      },
    });
  } catch (caught) {
    error = caught;
  }
  return { answers: answers.toSorted((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true })), ended, error };
}

describe('a batch', () => {
  it('gives every line one answer, with its number and custom_id', async () => {
    const texts = Array.from({ length: 500 }, (_, index) => 'x'.repeat(1 + index % 17));
    const { answers, ended } = await run(texts.map((text, index) => countLine(index, text)), fakeService());
    expect(ended).toBe(true);
    expect(answers.map(({ id, custom_id, error, response }) => [id, custom_id, error, response?.status_code, response?.body]))
      .toEqual(texts.map(({ length }, index) => [`batch_req_${index + 1}`, `id-${index}`, null, 200, { length, logits: [length] }]));
    expect(new Set(answers.map(({ response }) => response?.request_id)).size).toBe(500);
  });

  it('keeps the queue full, and never asks for more than it takes: not even where a line has many requests', async () => {
    const service = fakeService({ limit: 16, delayMs: 5 });
    const { answers } = await run(Array.from({ length: 200 }, (_, index) => countLine(index, 'text', { copies: 1 + index % 40 })), service, { room: 16 });
    expect(service.most).toBe(16);
    expect(answers.filter(({ response }) => response?.status_code === 200)).toHaveLength(200);
  });

  it('answers what is no request by an error that names the line, and goes on', async () => {
    const { answers, ended } = await run([countLine('a', 'good'), '{"custom_id": "b"', '', '{"custom_id":"c","method":"POST","url":"/v1/count"}', '[]', countLine('d', 'good')], fakeService());
    expect(ended).toBe(true);
    expect(answers.map(({ id, custom_id, error }) => [id, custom_id, error?.code, error?.line])).toEqual([
      ['batch_req_1', 'id-a', undefined, undefined], ['batch_req_2', null, 'invalid_line', 2], ['batch_req_4', 'c', 'invalid_line', 4],
      ['batch_req_5', null, 'invalid_line', 5], ['batch_req_6', 'id-d', undefined, undefined],
    ]);
    expect(answers[1]?.error?.message).toMatch(/^line 2: is not valid JSON: /);
    expect(answers.slice(2, 4).map(({ error }) => error?.message)).toEqual(['line 4: body: expected a JSON object', 'line 5: expected a JSON object']);
  });

  it('answers a request that cannot be answered by the status and the error that a server would give', async () => {
    const lines = [
      countLine('good', 'good'), countLine('type', 'x').replace('"x"', '3'), countLine('bad', 'bad text'),
      countLine('url', 'x').replace('/v1/count', '/v1/images'), countLine('method', 'x').replace('POST', 'GET'),
    ];
    const { answers } = await run(lines, fakeService());
    expect(answers.map(({ response }) => [response?.status_code, (response?.body as { error?: object } | undefined)?.error])).toEqual([
      [200, undefined],
      [400, { message: 'text: expected a text, got 3', type: 'invalid_request_error', param: 'text', code: null }],
      [400, { message: 'text: is bad; expected a good one', type: 'invalid_request_error', param: 'text', code: null }],
      [404, { message: 'url: "/v1/images" is no operation of this server', type: 'invalid_request_error', param: 'url', code: 'unknown_url' }],
      [405, { message: 'method: "GET" is not answered; expected "POST"', type: 'invalid_request_error', param: 'method', code: 'method_not_allowed' }],
    ]);
  });

  it('answers a request that ends its engines by an error of its own', async () => {
    const service = fakeService({ fail: (tokens) => (tokens.length === 5 ? new GivenUpError(3, 'rank 0: is gone') : undefined) });
    const { answers, error } = await run([countLine(1, 'good'), countLine(2, 'crash'), countLine(3, 'good')], service);
    expect(error).toBe(null);
    expect(answers.map(({ response }) => response?.status_code)).toEqual([200, 500, 200]);
  });

  it('answers a request that fails in a way nobody foresaw, and goes on', async () => {
    const service = fakeService({ fail: (tokens) => (tokens.length === 5 ? new TypeError('x is undefined') : undefined) });
    const { answers, error } = await run([countLine(1, 'worse'), countLine(2, 'good')], service);
    expect(error).toBe(null);
    expect(answers.map(({ response }) => [response?.status_code, (response?.body as { error?: { message: string } } | undefined)?.error?.message])).toEqual([[500, 'unexpected error: x is undefined'], [200, undefined]]);
  });

  it.each([new RankError(1, 'is gone'), new NoEnginesError('rank 1: is gone')])('ends when the engines are gone (%o), and leaves the lines without an answer for another run', async (gone) => {
    const lines = Array.from({ length: 100 }, (_, index) => countLine(index, 'text'));
    const { answers, error } = await run(lines, fakeService({ fail: (_, nth) => (nth > 20 ? gone : undefined) }));
    expect(error).toBe(gone);
    expect(answers).toHaveLength(20);
    expect(answers.every(({ response }) => response?.status_code === 200)).toBe(true);
  });

  it('finishes what is in passes when it is stopped, and withdraws what waits', async () => {
    const service = fakeService();
    const { answers, ended, error } = await run(Array.from({ length: 100 }, (_, index) => countLine(index, 'text')), service, { stopAfter: 10 });
    expect([ended, error]).toEqual([false, null]);
    // Eight are held at a time, three of them in passes; the one whose answer stops the run is held no more.
    expect(service.withdrawn).toBe(8 - 1 - IN_PASSES);
    expect(answers).toHaveLength(service.asked - service.withdrawn);
  });

  it.each([
    [['hello'], 'in.jsonl: line 1: is not valid JSON: '],
    [['', '{"text": "a record of another command"}'], 'in.jsonl: line 2: custom_id: expected a string; expected requests as in OpenAI\'s batch files: {"custom_id": ..., "method": "POST", "url": ..., "body": {...}}'],
    [['', ''], 'in.jsonl: is empty; expected requests, one a line'],
  ])('refuses %j', async (lines, message) => {
    const service = fakeService();
    const { error } = await run(lines, service);
    expect(String((error as Error).message)).toContain(message);
    expect(service.asked).toBe(0);
  });
});
