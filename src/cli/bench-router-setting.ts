/** What `bench router` runs: its flags, the workload and the model. */
import { InputError } from '../errors.ts';
import { presetConfig, presetNames } from '../model/presets.ts';
import type { ModelConfig } from '../model/types.ts';
import { parseSaturation } from '../serving/saturation.ts';
import { MAX_ENGINES, SCHEDULERS, type SchedulerKind } from '../serving/scheduling.ts';
import { hardwareOf } from '../sim/hardware.ts';
import type { SimStrategy } from '../sim/run-shape.ts';
import { machineOf, type Machine } from '../sim/serving/machine.ts';
import type { ServingWorkload } from '../sim/serving/prompts.ts';
import { syntheticWorkload, type Order } from '../sim/serving/synthetic.ts';
import { traceRecord, traceWorkload } from '../sim/serving/trace.ts';
import { workloadNames } from '../sim/workload.ts';
import { readRecords, whereIs } from './input.ts';
import { chooseModel } from './model-source.ts';

export interface RouterFlags {
  readonly workload: string;
  readonly trace?: string;
  /** Infinity: everything at once. */
  readonly rate: number;
  readonly requests?: number;
  readonly order: Order;
  readonly seed: number;
  readonly schedulers: readonly SchedulerKind[];
  readonly strategy: SimStrategy;
  readonly engines: readonly number[];
  readonly model: string;
  readonly hardware: string;
  readonly gatherMs?: number;
  readonly cacheTokens: number;
  readonly batchTokens: number;
  readonly saturation: string;
  readonly gamma: number;
  /** Milliseconds. */
  readonly maxWait: number;
  readonly timeline?: string;
  readonly timelinePasses: number;
  readonly json?: string;
  readonly csv?: string;
}

/** Everything that does not depend on the number of engines. */
export interface RouterSetting {
  readonly flags: RouterFlags;
  readonly config: ModelConfig;
  readonly workload: ServingWorkload;
}

/** @throws InputError for a name that is none of a scheduler */
export function schedulerKind(name: string): SchedulerKind {
  const kind = SCHEDULERS.find((known) => known === name);
  if (kind === undefined) throw new InputError('--schedulers', name, `is unknown; expected some of ${SCHEDULERS.join(', ')}`);
  return kind;
}

const chooseConfig = async (model: string): Promise<ModelConfig> => (presetNames.includes(model) ? presetConfig(model) : (await chooseModel({ model })).config);

async function chooseRouterWorkload({ trace, rate, workload, requests, order, seed }: RouterFlags): Promise<ServingWorkload> {
  if (trace !== undefined) {
    const records = await readRecords([trace], { schema: traceRecord });
    return traceWorkload(trace, records.map((record) => ({ value: record.value, where: whereIs(record) })), rate);
  }
  if (!workloadNames.includes(workload)) throw new InputError('--workload', workload, `is unknown; expected ${workloadNames.join(', ')}, or --trace with a file`);
  if (rate !== Infinity) throw new InputError('--rate', String(rate), `${workload} has no arrival times; expected inf, or --trace`);
  return syntheticWorkload(workload, { order, seed, ...(requests === undefined ? {} : { requests }) });
}

/** @throws InputError for whatever is wrong with the flags or the trace */
export async function prepareRouter(flags: RouterFlags): Promise<RouterSetting> {
  const tooMany = flags.engines.find((engines) => engines > MAX_ENGINES);
  if (tooMany !== undefined) throw new InputError('--engines', '', `${tooMany} engines asked for; expected whole numbers from 1 to ${MAX_ENGINES}`);
  const setting = { flags, config: await chooseConfig(flags.model), workload: await chooseRouterWorkload(flags) };
  for (const ranks of flags.engines) machineFor(setting, ranks);
  if (flags.timeline !== undefined && (flags.schedulers.length > 1 || flags.engines.length > 1)) {
    throw new InputError('--timeline', flags.timeline, `shows one run, and ${flags.schedulers.length * flags.engines.length} were asked for; expected one of --schedulers and one of --engines`);
  }
  return setting;
}

/** @throws InputError for a saturation or a gamma that is no such thing, or a strategy that cannot be on such ranks */
export function machineFor({ flags, config }: Pick<RouterSetting, 'flags' | 'config'>, ranks: number): Machine {
  const { hardware, strategy, cacheTokens, batchTokens, gamma, saturation, gatherMs } = flags;
  return machineOf({
    hardware: hardwareOf(hardware), config, strategy, ranks, cacheTokens, batchTokens, gamma, saturation: parseSaturation(saturation),
    ...(gatherMs === undefined ? {} : { gatherMs }),
  });
}
