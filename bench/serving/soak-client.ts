/**
 * A thousand clients in one process, each on a connection of its own: most ask and check the answer, some ask nonsense, some leave in the middle. What is right was
 * asked once before, when nobody else did: each question of its own, so that an answer that went to somebody else is seen.
 */
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashWords } from '../../src/sim/random.ts';
import { EXAMPLES } from '../../test/serving/http-examples.ts';
import { malformedRequests, nearlyHttp, reseed, wrongAnswer } from '../../test/serving/malformed-requests.ts';
import { answerParent } from './child.ts';
import { readMails } from './mails.ts';
import { type Answered, type Asked, post } from './post.ts';

export interface Soak {
  readonly url: string;
  readonly clients: number;
  readonly seconds: number;
  readonly seed: number;
}

export interface Tally {
  /** Right answers of each path. */
  readonly right: Readonly<Record<string, number>>;
  /** Times that a client was told to come back (429). */
  readonly toldToWait: number;
  /** Answers to nonsense, by status. */
  readonly nonsense: Readonly<Record<string, number>>;
  readonly rawConnections: number;
  readonly left: number;
  /** Milliseconds from asking to the right answer, those of waiting to come back included. */
  readonly latencyMs: { readonly median: number; readonly p99: number; readonly max: number };
  /** What should not have been: the first of them, and how many. */
  readonly faults: readonly string[];
  readonly faultCount: number;
}

interface Question extends Asked {
  readonly right: string;
}

/** Prompts are cut to so many tokens, that there are many requests; some are whole. */
const CUTS = [32, 48, 64, 96, 160, -1];
const MAILS = 240;
const SHARES = { mail: 0.65, example: 0.19, nonsense: 0.1, leaves: 0.04 } as const;
const MAX_WAIT_MS = 10_000;
const SHOWN_FAULTS = 12;

/** Without what differs between two answers to the same question. */
function comparable(body: string): string {
  const { id: _, created: __, usage, ...answer } = JSON.parse(body) as Record<string, any>;
  return JSON.stringify({ ...answer, ...(usage !== undefined && { usage: { ...usage, prompt_tokens_details: undefined } }) });
}

const json = { 'content-type': 'application/json' };
const mailQuestions = (): Asked[] => readMails(MAILS).map((input, i) => ({ path: '/v1/classify', headers: json, body: JSON.stringify({ input, truncate_prompt_tokens: CUTS[i % CUTS.length] }) }));
const exampleQuestions = (): Asked[] => EXAMPLES.map(({ path, body }) => ({ path, headers: json, body: JSON.stringify(body) }));

/** The first one says what to learn; then the clients come. */
export type Order = Soak | 'run';

let clients: Clients | null = null;

answerParent(async (order: Order): Promise<Tally | null> => {
  if (order === 'run') return clients!.run();
  clients = new Clients(order);
  await clients.learn();
  return null;
});

class Clients {
  readonly #url: URL;
  readonly #agents = { questions: new Agent({ keepAlive: true, maxFreeSockets: Infinity }), nonsense: new Agent({ keepAlive: true, maxFreeSockets: Infinity }), leaves: new Agent({ keepAlive: false }) };
  #mails: Question[] = [];
  #examples: Question[] = [];
  #draw: ReturnType<typeof malformedRequests> = malformedRequests({});
  #drawn = 0;
  readonly #right: Record<string, number> = {};
  readonly #nonsense: Record<string, number> = {};
  #toldToWait = 0;
  #left = 0;
  #rawConnections = 0;
  readonly #latencies: number[] = [];
  readonly #faults: string[] = [];
  #faultCount = 0;

  constructor(private readonly soak: Soak) {
    this.#url = new URL(soak.url);
    reseed(soak.seed);
  }

  /** Asks everything once, one after the other. */
  async learn(): Promise<void> {
    const learn = async (questions: readonly Asked[]): Promise<Question[]> => {
      const learnt: Question[] = [];
      for (const question of questions) {
        const { status, body } = await post(this.#url, this.#agents.questions, question);
        if (status !== 200) throw new Error(`${question.path}: ${status} ${body}`);
        learnt.push({ ...question, right: comparable(body) });
      }
      return learnt;
    };
    this.#mails = await learn(mailQuestions());
    this.#examples = await learn(exampleQuestions());
    const { body } = await post(this.#url, this.#agents.questions, { path: '/openapi.json', method: 'GET', body: '', headers: {} });
    this.#draw = malformedRequests((JSON.parse(body) as { paths: Record<string, unknown> }).paths);
    this.#agents.questions.destroy(); // closes what is idle
  }

  async run(): Promise<Tally> {
    const until = Date.now() + this.soak.seconds * 1000;
    await Promise.all(Array.from({ length: this.soak.clients }, async () => {
      // They do not all come in one moment.
      await sleep(this.#random() * 5000);
      while (Date.now() < until) await this.#one();
    }));
    for (const agent of Object.values(this.#agents)) agent.destroy();
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;
    return {
      right: this.#right, toldToWait: this.#toldToWait, nonsense: this.#nonsense, rawConnections: this.#rawConnections, left: this.#left,
      latencyMs: { median: at(0.5), p99: at(0.99), max: at(1) }, faults: this.#faults, faultCount: this.#faultCount,
    };
  }

  #random(): number {
    return hashWords(this.soak.seed, this.#drawn++) / 2 ** 32;
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)]!;
  }

  #fault(what: string): void {
    this.#faultCount++;
    if (this.#faults.length < SHOWN_FAULTS) this.#faults.push(what.slice(0, 600));
  }

  async #one(): Promise<void> {
    const draw = this.#random();
    if (draw < SHARES.mail) return this.#ask(this.#pick(this.#mails));
    if (draw < SHARES.mail + SHARES.example) return this.#ask(this.#pick(this.#examples));
    if (draw < SHARES.mail + SHARES.example + SHARES.nonsense) return this.#askNonsense();
    if (draw < SHARES.mail + SHARES.example + SHARES.nonsense + SHARES.leaves) return this.#leave(this.#pick(this.#mails));
    return this.#talkNonsense();
  }

  async #ask(question: Question): Promise<void> {
    const startMs = performance.now();
    const answered = await this.#patiently(question).catch((error: Error) => error);
    if (answered instanceof Error) return this.#fault(`${question.path}: ${answered.message}`);
    const { status, body } = answered;
    if (status !== 200) return this.#fault(`${question.path}: ${status} ${body}`);
    if (comparable(body) !== question.right) return this.#fault(`${question.path}: answered ${comparable(body)}, right is ${question.right}`);
    this.#latencies.push(performance.now() - startMs);
    this.#right[question.path] = (this.#right[question.path] ?? 0) + 1;
  }

  /** Comes back when it is told to. */
  async #patiently(question: Question): Promise<Answered> {
    for (;;) {
      const answered = await post(this.#url, this.#agents.questions, question);
      if (answered.status !== 429) return answered;
      if (!(answered.retryAfter >= 1)) this.#fault('429 without retry-after');
      this.#toldToWait++;
      await sleep(Math.min(answered.retryAfter * 1000, MAX_WAIT_MS) * (0.5 + this.#random()));
    }
  }

  async #askNonsense(): Promise<void> {
    const drawn = this.#draw();
    const { method, url: path, headers, payload: body } = drawn;
    try {
      const answered = await post(this.#url, this.#agents.nonsense, { path, method, headers, body });
      this.#nonsense[answered.status] = (this.#nonsense[answered.status] ?? 0) + 1;
      const wrong = wrongAnswer(drawn, answered.status, answered.contentType, answered.body);
      if (wrong !== null) this.#fault(`nonsense: ${wrong}: ${JSON.stringify(drawn).slice(0, 300)}`);
    } catch (error) {
      this.#fault(`nonsense: ${(error as Error).message}: ${JSON.stringify(drawn).slice(0, 300)}`);
    }
  }

  /** Asks and goes: at once, while the request waits, or in its pass. */
  async #leave(question: Question): Promise<void> {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), this.#random() ** 3 * 10_000);
    await post(this.#url, this.#agents.leaves, question, controller.signal).catch(() => undefined);
    this.#left++;
  }

  async #talkNonsense(): Promise<void> {
    const socket = connect(Number(this.#url.port), this.#url.hostname);
    socket.on('error', () => {});
    socket.resume();
    socket.end(nearlyHttp());
    this.#rawConnections++;
    await once(socket, 'close');
  }
}
