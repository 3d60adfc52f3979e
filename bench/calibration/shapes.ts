/** What the cost model is held against: models, links and the workload, small enough for a software adapter on two cores. */
import { formatLink, parseLink, type Link } from '../../src/collective/link.ts';
import { parseConfig } from '../../src/model/config.ts';
import type { ModelConfig } from '../../src/model/types.ts';
import { hashWords } from '../../src/sim/random.ts';

const COMMON = { model_type: 'qwen3_moe', vocab_size: 2048, intermediate_size: 512, norm_topk_prob: true, max_position_embeddings: 4096, torch_dtype: 'bfloat16', num_hidden_layers: 4 };

/** A model with random weights and the tokens of its workload. */
export interface BenchShape {
  readonly config: ModelConfig;
  /** Of the whole workload, about. */
  readonly tokens: number;
}

/**
 * Two ends of what there is: experts of little work for the rows that travel to them, and of much. A layer's experts are 6.3 and 12.6 MB, a token's
 * FLOPs in a layer 1.2 M and 4.5 M without attention scores.
 */
export const BENCH_SHAPES: Readonly<Record<string, BenchShape>> = {
  many: {
    config: parseConfig({
      ...COMMON, hidden_size: 256, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 32, num_experts: 32, num_experts_per_tok: 4, moe_intermediate_size: 128,
    }, 'many small experts'),
    tokens: 4096,
  },
  wide: {
    config: parseConfig({
      ...COMMON, hidden_size: 512, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 64, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 512,
    }, 'few wide experts'),
    tokens: 1536,
  },
};

/** As fast as shared memory; a gather is about hidden; nothing is hidden. null: not shaped. */
export const BENCH_LINKS: Readonly<Record<string, Link | null>> = { none: null, middle: parseLink('100MB/s,0.1ms'), slow: parseLink('25MB/s,1ms') };

export const linkText = (name: string): string => {
  const link = BENCH_LINKS[name];
  return link == null ? name : `${name} ${formatLink(link)}`;
};

const [SHORTEST, LONGEST] = [16, 192];

/** Lengths of `tokens` tokens in all: as many short prompts as long ones on a logarithmic scale. */
export function benchLengths(tokens: number): number[] {
  const lengths: number[] = [];
  for (let left = tokens; left > 0; left -= lengths.at(-1) as number) {
    const length = Math.round(SHORTEST * (LONGEST / SHORTEST) ** (hashWords(lengths.length) / 2 ** 32));
    lengths.push(Math.min(length, left));
  }
  return lengths;
}
