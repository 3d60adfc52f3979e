/** Steps that are played as soon as they are added, and forgotten when they are over: what is kept are sums, and steps of which someone wants the times. */
import type { Schedule } from './schedule.ts';
import { Simulation, type StepId } from './simulation.ts';
import { isDevice, StepBuilder, stepOf, type Rates, type Step, type StepDraft } from './steps.ts';

/** Sums over all steps of each rank. */
export class RankTotals {
  readonly flops: Float64Array;
  /** Its device computes. */
  readonly computeMs: Float64Array;
  readonly receivedBytes: Float64Array;
  /** From host memory to the device. */
  readonly loadedBytes: Float64Array;
  /** By messages and single reads. */
  readonly #sentBytes: Float64Array;
  /** Of whole layers, by reader: what each of them reads is always the same. */
  readonly #gathers: Float64Array;
  #shards: readonly number[] | null = null;

  constructor(ranks: number) {
    const zeros = (): Float64Array => new Float64Array(ranks);
    [this.flops, this.computeMs, this.receivedBytes, this.loadedBytes, this.#sentBytes, this.#gathers] = [zeros(), zeros(), zeros(), zeros(), zeros(), zeros()];
  }

  /** What others read or were sent. */
  get sentBytes(): Float64Array {
    const gathers = this.#gathers.reduce((sum, count) => sum + count, 0);
    return this.#sentBytes.map((bytes, rank) => bytes + (gathers - (this.#gathers[rank] as number)) * (this.#shards?.[rank] ?? 0));
  }

  add({ kind, rank, to, flops, busyMs, bytes, shards }: Readonly<StepDraft>): void {
    switch (kind) {
      case 'compute':
        (this.flops[rank] as number) += flops;
        (this.computeMs[rank] as number) += busyMs;
        break;
      case 'load':
        (this.loadedBytes[rank] as number) += bytes;
        break;
      case 'read':
      case 'message':
        (this.receivedBytes[to] as number) += bytes;
        if (shards === null) {
          (this.#sentBytes[rank] as number) += bytes;
        } else {
          this.#shards = shards;
          (this.#gathers[to] as number)++;
        }
        break;
      default: kind satisfies never;
    }
  }
}

/** Steps of the first passes, with their times. */
class KeptSteps {
  readonly #steps: Step[] = [];
  readonly #startMs: number[] = [];
  readonly #endMs: number[] = [];
  /** Their places by their names, and by their numbers. */
  readonly #byId = new Map<StepId, number>();
  readonly #byNumber = new Map<number, number>();

  constructor(private readonly passes: number) {}

  add(draft: Readonly<StepDraft>, id: StepId, number: number): void {
    if (draft.place.pass >= this.passes) return;
    const after = draft.after.flatMap((before) => this.#byId.get(before) ?? []);
    const index = this.#steps.push(stepOf(draft, after)) - 1;
    this.#byId.set(id, index);
    this.#byNumber.set(number, index);
  }

  started(number: number, startMs: number, endMs: number): void {
    const index = this.#byNumber.get(number);
    if (index === undefined) return;
    [this.#startMs[index], this.#endMs[index]] = [startMs, endMs];
  }

  schedule(): Schedule {
    const endMs = Float64Array.from(this.#endMs);
    return { steps: this.#steps, startMs: Float64Array.from(this.#startMs), endMs, wallMs: endMs.reduce((last, end) => Math.max(last, end), 0) };
  }
}

export interface LiveOptions {
  readonly ranks: number;
  /** See {@link simulate}. */
  readonly processors?: number;
  /** Steps of so many passes are kept (of each rank, where ranks run passes of their own); 0 by default. */
  readonly keptPasses?: number;
}

export class LiveSteps extends StepBuilder {
  readonly simulation: Simulation;
  readonly totals: RankTotals;
  readonly #kept: KeptSteps | null;

  constructor(rates: Rates, { ranks, processors = Infinity, keptPasses = 0 }: LiveOptions) {
    super(rates);
    const kept = keptPasses > 0 ? new KeptSteps(keptPasses) : null;
    this.#kept = kept;
    this.totals = new RankTotals(ranks);
    this.simulation = new Simulation({
      processors, needsProcessor: isDevice, ...(kept !== null && { onStart: (number, startMs, endMs) => kept.started(number, startMs, endMs) }),
    });
  }

  override later(step: StepId, add: () => void): void {
    this.simulation.whenOver(step, add);
  }

  protected add(draft: Readonly<StepDraft>): StepId {
    const number = this.simulation.steps;
    const id = this.simulation.add(draft.after, draft.busyMs, draft.delayMs, draft.channel, draft.other);
    this.totals.add(draft);
    this.#kept?.add(draft, id, number);
    return id;
  }

  /** The steps that were kept, when all is over; null when none were. */
  schedule(): Schedule | null {
    return this.#kept?.schedule() ?? null;
  }
}
