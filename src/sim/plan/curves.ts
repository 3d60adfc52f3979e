/** Throughput of every strategy over the tokens of a batch, and where asyncep overtakes the others. */
import { InputError } from '../../errors.ts';
import { BASELINES, SIM_STRATEGIES, type SimStrategy } from '../run-shape.ts';
import type { PlanSetting } from './setting.ts';
import { predict, unsuited } from './strategies.ts';

/** Tokens of a device's batch: 512 to 128K. */
export const BATCH_TOKENS: readonly number[] = Array.from({ length: 9 }, (_, power) => 512 * 2 ** power);

export interface Curve {
  readonly strategy: SimStrategy;
  /** Tokens/s of all devices, for each of {@link BATCH_TOKENS}. */
  readonly tokensPerSecond: readonly number[];
}

/** Batches of each device; a pipeline has more, of at most so many tokens. */
const BATCHES = 2;
/** More sequences a batch take long to count; where these would be more, they are longer. */
const MOST_SEQUENCES = 256;

/** Tokens/s when batches have `tokens` tokens, in sequences of about `length`. */
function rateAt(setting: PlanSetting, strategy: SimStrategy, tokens: number, length: number): number {
  const wanted = Math.min(MOST_SEQUENCES, Math.max(1, Math.round(tokens / length)));
  const sequences = wanted === 1 ? 1 : 2 * Math.floor(wanted / 2); // two passes share a batch where rows travel
  const each = Math.max(1, Math.round(tokens / sequences));
  const lengths = Array.from({ length: sequences * setting.ranks * BATCHES }, () => each);
  return predict(setting, { lengths, batchTokens: each * sequences }, strategy).tokensPerSecond;
}

/** Whether the model can be split so: strategies that cannot have no curve. */
function curveOf(setting: PlanSetting, strategy: SimStrategy, length: number): Curve[] {
  try {
    return [{ strategy, tokensPerSecond: BATCH_TOKENS.map((tokens) => rateAt(setting, strategy, tokens, length)) }];
  } catch (error) {
    if (error instanceof InputError) return [];
    throw error;
  }
}

/** Those that could run so, whether or not they fit the memory. */
export const curveStrategies = (setting: PlanSetting): SimStrategy[] => SIM_STRATEGIES.filter((strategy) => unsuited(setting, strategy) === null);

/**
 * Of {@link curveStrategies}.
 * @param length of the sequences, about
 * @param onPart told before each
 */
export function planCurves(setting: PlanSetting, length: number, onPart: (what: string) => void): Curve[] {
  return curveStrategies(setting).flatMap((strategy) => {
    onPart(`${strategy}, batches of ${BATCH_TOKENS[0]} to ${BATCH_TOKENS.at(-1)} tokens`);
    return curveOf(setting, strategy, length);
  });
}

/** Rates this near to each other are the same. */
const EQUAL = 0.999;
const REFINEMENTS = 2;

/**
 * Tokens of a batch from which asyncep is predicted to be as fast as each baseline, whether or not these fit; null: not up to 128K, 512: always. Between
 * the points of the curves by the rule of false position, on logarithms.
 */
export function planCrossOvers(setting: PlanSetting, curves: readonly Curve[], length: number): Partial<Record<SimStrategy, number | null>> {
  const asyncep = curves.find(({ strategy }) => strategy === 'asyncep');
  if (asyncep === undefined) return {};
  const ahead = (own: number, other: number): number => Math.log(own / (EQUAL * other));
  return Object.fromEntries(curves.filter(({ strategy }) => BASELINES.includes(strategy)).map(({ strategy, tokensPerSecond }) => {
    const leads = tokensPerSecond.map((other, i) => ahead(asyncep.tokensPerSecond[i] as number, other));
    const leadAt = (tokens: number): number => ahead(rateAt(setting, 'asyncep', tokens, length), rateAt(setting, strategy, tokens, length));
    return [strategy, crossing(leads, leadAt)];
  }));
}

/** @param leads of asyncep at {@link BATCH_TOKENS}; at least 0 once it is as fast */
export function crossing(leads: readonly number[], leadAt: (tokens: number) => number): number | null {
  const lastBehind = leads.findLastIndex((lead) => lead < 0);
  if (lastBehind === leads.length - 1) return null;
  if (lastBehind < 0) return BATCH_TOKENS[0] as number;
  let [low, high] = [Math.log(BATCH_TOKENS[lastBehind] as number), Math.log(BATCH_TOKENS[lastBehind + 1] as number)];
  let [behind, before] = [leads[lastBehind] as number, leads[lastBehind + 1] as number];
  for (let i = 0; i < REFINEMENTS && before > 0; i++) {
    const middle = low + ((high - low) * behind) / (behind - before);
    const lead = leadAt(Math.round(Math.exp(middle)));
    if (lead < 0) [low, behind] = [middle, lead];
    else [high, before] = [middle, lead];
  }
  return Math.ceil(Math.exp(low + ((high - low) * behind) / (behind - before)));
}
