/** Real ranks under a coordinator that ends nobody: each must find out on its own that another one is missing. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { reviveFailure } from '../../src/cluster/failure.ts';
import { fromRankSchema, type FromRank, type RankSetup, type ToRank } from '../../src/cluster/messages.ts';
import { spawnRank } from '../../src/cluster/spawn.ts';
import type { AsyncepError } from '../../src/errors.ts';
import { fixtureFolder } from '../strategy/golden.ts';
import { CUTTABLE } from './faults.ts';

const START_MS = 60_000;
let worlds = 0;

export type World = Pick<RankSetup, 'strategy' | 'transport' | 'world' | 'deadlineMs'>;

class LoneRank {
  readonly child: ChildProcess;
  /** What it says when it gives up. */
  readonly failure: Promise<AsyncepError>;
  readonly exit: Promise<number | null>;
  readonly #replies: ((message: FromRank) => void)[] = [];

  constructor(readonly rank: number, world: number) {
    this.child = spawnRank(world, undefined, CUTTABLE[0]?.command);
    this.exit = once(this.child, 'exit').then(([code]) => code as number | null);
    let tell!: (error: AsyncepError) => void;
    this.failure = new Promise((resolve) => (tell = resolve));
    this.child.on('message', (raw) => {
      const message = fromRankSchema.parse(raw);
      if (message.type === 'failed') tell(reviveFailure(rank, message.error));
      else if (message.type !== 'heartbeat' && message.type !== 'progress') this.#replies.shift()?.(message);
    });
  }

  send(message: ToRank): void {
    if (this.child.connected) this.child.send(message, () => undefined);
  }

  /** The next reply; passes may be answered in any order. */
  ask(message: ToRank): Promise<FromRank> {
    const reply = new Promise<FromRank>((resolve) => void this.#replies.push(resolve));
    this.send(message);
    return reply;
  }
}

export class LoneRanks {
  readonly ranks: readonly LoneRank[];
  readonly #runId = `lone${process.pid}x${worlds++}`;

  private constructor(private readonly world: World) {
    this.ranks = Array.from({ length: world.world }, (_, rank) => new LoneRank(rank, world.world));
  }

  /** Ready to run passes. */
  static async start(world: World): Promise<LoneRanks> {
    const lone = new LoneRanks(world);
    const late = new Promise<never>((_, reject) => void setTimeout(() => reject(new Error('the ranks were not ready in time')), START_MS).unref());
    const failed = Promise.race(lone.ranks.map(async ({ failure }) => Promise.reject(await failure)));
    failed.catch(() => undefined);
    await Promise.race([lone.#start(), failed, late]);
    return lone;
  }

  #all(message: (rank: number) => ToRank): Promise<FromRank[]> {
    return Promise.all(this.ranks.map((each) => each.ask(message(each.rank))));
  }

  async #start(): Promise<void> {
    const hellos = await this.#all((rank) => ({ type: 'start', setup: this.#setup(rank) }));
    const addresses = hellos.flatMap((hello) => (hello.type === 'hello' && hello.address !== null ? hello.address : []));
    if (addresses.length > 0) await this.#all(() => ({ type: 'connect', addresses }));
    const published = await this.#all(() => ({ type: 'publish' }));
    const shards = published.map((message) => (message as Extract<FromRank, { type: 'published' }>).address);
    await this.#all(() => ({ type: 'prepare', addresses: shards, tuning: {} }));
    await this.#all(() => ({ type: 'warm', chunkTokens: null }));
  }

  #setup(rank: number): RankSetup {
    return {
      ...this.world, runId: this.#runId, rank, model: { kind: 'folder', path: fixtureFolder('base-f32') }, adapter: 'lavapipe', dtype: null, activations: 'f32',
      tune: false, engine: {}, stream: { deadlineMs: 2 * this.world.deadlineMs }, link: null, wire: 'f32', dispatch: 'rank', kv: 'layer', memoryLimitBytes: null,
      token: 'secret', listen: '127.0.0.1', tls: null, bankBytes: null, trace: false,
    };
  }

  /** Passes of all ranks until they give up; each rank always has one more to do. */
  run(): void {
    const lengths = this.ranks.map(() => [30]);
    for (const rank of this.ranks) {
      let pass = 0;
      const lane = async (): Promise<void> => {
        for (;;) await rank.ask({ type: 'pass', pass: pass++, sequences: [new Uint32Array(30).fill(5)], candidates: Uint32Array.of(1), scored: null, top: 0, lengths });
      };
      for (let lanes = 0; lanes < 2; lanes++) void lane();
    }
  }

  /** Ends what is left. */
  async close(): Promise<void> {
    for (const { child } of this.ranks) child.kill('SIGKILL');
    await Promise.all(this.ranks.map(({ exit }) => exit));
  }
}
