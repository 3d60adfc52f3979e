/**
 * A rank of a real cluster is killed, stopped, or cut off: whatever the strategy, the transport and the moment, the run ends within the deadline
 * with an error that names this rank, and nothing is left of the cluster.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { launchCluster, type Cluster, type ClusterOptions, type Progress } from '../../src/cluster/index.ts';
import { RankError } from '../../src/errors.ts';
import { fixtureFolder } from '../strategy/golden.ts';
import { chance, CUTTABLE, ranksOf, seed, segmentsOfTheirOwn, strike, type Fault } from './faults.ts';

const DEADLINE_MS = 1_500;
/** While ranks start, drivers compile. */
const SILENCE_MS = 4_000;
/** For a machine that has other things to do. */
const GRACE_MS = 4_000;

const FAKE = new URL('./fake-backend.ts', import.meta.url).href;
const segments = segmentsOfTheirOwn();

/** What must not be there after a cluster. */
const leftBehind = (): unknown[] => [...ranksOf(process.pid), ...segments()];

/** When the fault happens: some time after the first such event. */
type Moment = Progress['phase'];

interface Case {
  readonly strategy: ClusterOptions['strategy'];
  readonly transport: NonNullable<ClusterOptions['transport']>;
  readonly fault: Fault;
  readonly moment: Moment;
  readonly ranks: number;
  readonly fake?: true;
}

interface Outcome {
  /** That the cluster ended with. */
  readonly error: unknown;
  readonly atFault: number;
  readonly pids: readonly number[];
  readonly tookMs: number;
  /** When the error came. */
  readonly left: readonly unknown[];
}

/** Far more passes than there is time for. */
const sequences = Array.from({ length: 4_000 }, () => new Uint32Array(40).fill(7));

async function runWith({ strategy, transport, fault, moment, ranks, fake }: Case): Promise<Outcome> {
  const random = chance(`${strategy} ${transport} ${fault} ${moment}`);
  const atFault = random(ranks);
  let pids: number[] = [];
  let struckMs: number | undefined;
  const onProgress = ({ phase, done }: Progress): void => {
    if (phase !== moment || (phase === 'passes' && done === 0) || pids.length > 0) return;
    pids = ranksOf(process.pid);
    void sleep(random(200)).then(() => {
      struckMs = performance.now();
      strike(fault, pids[atFault] as number);
    });
  };
  let cluster: Cluster | undefined;
  let error: unknown;
  try {
    cluster = await launchCluster({
      model: fake ? { kind: 'random', preset: 'none', seed: 0 } : { kind: 'folder', path: fixtureFolder('base-f32') },
      ...(fake ? { backendModule: FAKE, engine: { slowMs: 300 } } : { adapters: ['lavapipe'] }),
      ranks, strategy, transport, hosts: CUTTABLE, batchTokens: 160, deadlineMs: DEADLINE_MS, silenceMs: SILENCE_MS, onProgress,
    });
    await cluster.run(sequences, Uint32Array.of(1, 2));
  } catch (caught) {
    error = caught;
  }
  const tookMs = performance.now() - (struckMs ?? NaN);
  const left = leftBehind();
  await cluster?.close();
  return { error, atFault, pids, tookMs, left };
}

const real = (strategy: Case['strategy'], transport: Case['transport'], fault: Fault, moment: Moment, ranks = 2): Case => ({ strategy, transport, fault, moment, ranks });
const fake = (transport: Case['transport'], fault: Fault, moment: Moment): Case => ({ strategy: 'asyncep', transport, fault, moment, ranks: 3, fake: true });

/** Every strategy is killed and stopped, every transport suffers everything, at every moment. */
const CASES: readonly Case[] = [
  fake('shared-memory', 'kill', 'loading'),
  fake('shared-memory', 'stop', 'loading'),
  fake('websocket', 'stop', 'warm-up'),
  real('asyncep', 'websocket', 'kill', 'passes', 3),
  real('asyncep', 'websocket', 'stop', 'passes', 3),
  real('asyncep', 'websocket', 'cut', 'passes', 3),
  real('sync', 'shared-memory', 'kill', 'warm-up'),
  real('sync', 'websocket', 'stop', 'passes'),
  real('resident', 'shared-memory', 'stop', 'passes'),
  real('resident', 'websocket', 'kill', 'loading'),
  real('ep', 'websocket', 'kill', 'warm-up', 3),
  real('ep', 'shared-memory', 'stop', 'passes', 3),
  real('ep', 'shared-memory', 'cut', 'passes', 3),
  real('dp-tp', 'shared-memory', 'kill', 'passes'),
  real('dp-tp', 'websocket', 'stop', 'passes'),
  real('tp-ep', 'websocket', 'kill', 'passes'),
  real('tp-ep', 'shared-memory', 'stop', 'warm-up'),
  real('tp', 'shared-memory', 'kill', 'loading'),
  real('tp', 'websocket', 'stop', 'passes'),
  real('tp', 'websocket', 'cut', 'passes'),
  real('pp', 'shared-memory', 'kill', 'passes', 3),
  real('pp', 'websocket', 'stop', 'passes', 3),
  real('pp', 'shared-memory', 'cut', 'warm-up', 3),
];

describe(`the error names the rank at fault (ASYNCEP_TEST_SEED=${seed})`, () => {
  it.each(CASES.map((each) => [`${each.strategy} over ${each.transport}: ${each.fault} during ${each.moment}${each.fake ? ', no device' : ''}`, each] as const))('%s', async (_, each) => {
    const { error, atFault, pids, tookMs, left } = await runWith(each);
    expect(pids).toHaveLength(each.ranks);
    expect(error).toBeInstanceOf(RankError);
    const { rank, message, exitCode } = error as RankError;
    // Of a link between two that is cut, each end says that it is the other's; in a pipeline only neighbours use theirs.
    const twoSay = each.fault === 'cut' && (each.ranks === 2 || each.strategy === 'pp');
    const named = twoSay ? [...pids.keys()].filter((other) => Math.abs(other - atFault) <= 1) : [atFault];
    expect(named, message).toContain(rank);
    expect(exitCode).toBe(1);
    expect(left).toEqual([]);
    expect(tookMs).toBeLessThan((each.moment === 'passes' ? DEADLINE_MS : SILENCE_MS) + GRACE_MS);
  });
});

describe('a rank that is stopped', () => {
  it('does not hold up the end of its cluster', async () => {
    const cluster = await launchCluster({ model: { kind: 'random', preset: 'none', seed: 0 }, ranks: 2, strategy: 'asyncep', backendModule: FAKE });
    strike('stop', cluster.ranks[1]?.pid as number);
    const startMs = performance.now();
    await cluster.close();
    // It is given time to end on its own.
    expect(performance.now() - startMs).toBeLessThan(5_000 + GRACE_MS);
    expect(leftBehind()).toEqual([]);
  });
});
