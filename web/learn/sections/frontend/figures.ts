/** What a run comes to, or came to so far. */
import type { Pass } from './moments.ts';

export interface FrontendFigures {
  readonly batches: number;
  /** Cached tokens over tokens of prompts. */
  readonly hitRate: number;
  /** FLOPs that the caches saved, over those of the same prompts computed whole. */
  readonly savedShare: number;
  /** Batches with fewer FLOPs than T. */
  readonly belowThreshold: number;
  /** Most over mean of the engines' FLOPs. */
  readonly balance: number;
  /** Of the time in which engines had a batch: waiting for experts. */
  readonly exposedShare: number;
  /** Until the last answer. */
  readonly wallMs: number;
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** Figures of these passes; null before the first one. */
export function figuresOfPasses(passes: readonly Pass[], engines: number, threshold: number): FrontendFigures | null {
  if (passes.length === 0) return null;
  const flops = sum(passes.map((pass) => pass.flops));
  const whole = sum(passes.flatMap(({ requests }) => requests.map((request) => request.flops(0))));
  const perEngine = Array.from({ length: engines }, (_, engine) => sum(passes.filter((pass) => pass.engine === engine).map((pass) => pass.flops)));
  const exposedMs = sum(passes.map((pass) => pass.exposedMs));
  return {
    batches: passes.length,
    hitRate: sum(passes.flatMap(({ cachedTokens }) => cachedTokens)) / sum(passes.flatMap(({ requests }) => requests.map(({ tokens }) => tokens))),
    savedShare: 1 - flops / whole,
    belowThreshold: passes.filter((pass) => pass.flops < threshold).length,
    balance: (Math.max(...perEngine) * engines) / flops,
    exposedShare: exposedMs / (exposedMs + sum(passes.map(({ computeMs }) => computeMs))),
    wallMs: Math.max(...passes.map(({ endMs }) => endMs)),
  };
}
