import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/model/config.ts';
import { ropeFrequencies } from '../../src/model/rope.ts';

/*
 * Made with transformers 5.23.0 and torch 2.15.0 on a CPU:
 *
 *     from transformers import Qwen3MoeConfig
 *     from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeRotaryEmbedding
 *     r = Qwen3MoeRotaryEmbedding(Qwen3MoeConfig(hidden_size=64, num_attention_heads=4, **config))
 *     [float(f'{x:.9g}') for x in r.inv_freq.numpy()], r.attention_scaling
 */
const CASES = [
  {
    name: 'default',
    config: {'head_dim': 16, 'max_position_embeddings': 40960, 'rope_parameters': {'rope_type': 'default', 'rope_theta': 1000000.0}},
    inverseFrequencies: [1.0, 0.177827939, 0.0316227786, 0.00562341325, 0.00100000005, 0.00017782794, 3.16227743e-05, 5.62341347e-06],
    attentionFactor: 1.0,
  },
  {
    name: 'default d128',
    config: {'head_dim': 128, 'max_position_embeddings': 40960, 'rope_parameters': {'rope_type': 'default', 'rope_theta': 1000000.0}},
    every: 7,
    inverseFrequencies: [1.0, 0.220673397, 0.0486967526, 0.0107460786, 0.00237137382, 0.000523299095, 0.000115478193, 2.54829665e-05, 5.62341347e-06, 1.24093776e-06],
    attentionFactor: 1.0,
  },
  {
    name: 'linear',
    config: {'head_dim': 16, 'max_position_embeddings': 2048, 'rope_parameters': {'rope_type': 'linear', 'factor': 3.0, 'rope_theta': 10000.0}},
    inverseFrequencies: [0.333333343, 0.105409257, 0.0333333351, 0.0105409259, 0.00333333318, 0.00105409266, 0.000333333359, 0.000105409265],
    attentionFactor: 1.0,
  },
  {
    name: 'yarn',
    config: {'head_dim': 32, 'max_position_embeddings': 131072, 'rope_parameters': {'rope_type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 32768, 'rope_theta': 1000000.0}},
    inverseFrequencies: [1.0, 0.421696514, 0.177827939, 0.0749894157, 0.0316227786, 0.0133352149, 0.00477990136, 0.00165996165, 0.000549999997, 0.000168678584, 4.44569851e-05, 1.87473561e-05, 7.90569356e-06, 3.33380353e-06, 1.40585337e-06, 5.92843435e-07],
    attentionFactor: 1.138629436111989,
  },
  {
    name: 'yarn no original',
    config: {'head_dim': 32, 'max_position_embeddings': 4096, 'rope_parameters': {'rope_type': 'yarn', 'factor': 4.0, 'rope_theta': 10000.0}},
    inverseFrequencies: [1.0, 0.562341332, 0.316227764, 0.177827939, 0.100000001, 0.0562341288, 0.0282346234, 0.0139721958, 0.00678571407, 0.00321337907, 0.00146820047, 0.00063509983, 0.000250000012, 0.000140585325, 7.90569466e-05, 4.44569851e-05],
    attentionFactor: 1.138629436111989,
  },
  {
    name: 'yarn betas, no truncation',
    config: {'head_dim': 32, 'max_position_embeddings': 16384, 'rope_parameters': {'rope_type': 'yarn', 'factor': 8.0, 'original_max_position_embeddings': 2048, 'beta_fast': 16.0, 'beta_slow': 2.0, 'truncate': false, 'rope_theta': 10000.0}},
    inverseFrequencies: [1.0, 0.562341332, 0.316227764, 0.177827939, 0.100000001, 0.0562341288, 0.0257716179, 0.0101850266, 0.00330522214, 0.000702926656, 0.000395284733, 0.000222284929, 0.000125000006, 7.02926627e-05, 3.95284733e-05, 2.22284925e-05],
    attentionFactor: 1.2079441541679836,
  },
  {
    name: 'yarn attention factor',
    config: {'head_dim': 24, 'max_position_embeddings': 8192, 'rope_parameters': {'rope_type': 'yarn', 'factor': 2.5, 'original_max_position_embeddings': 2048, 'attention_factor': 1.7, 'rope_theta': 10000.0}},
    inverseFrequencies: [1.0, 0.464158893, 0.215443447, 0.100000001, 0.0408459753, 0.0163737051, 0.00639999984, 0.00241362653, 0.000861773675, 0.00039999999, 0.000185663579, 8.6177366e-05],
    attentionFactor: 1.7,
  },
  {
    name: 'yarn mscale',
    config: {'head_dim': 24, 'max_position_embeddings': 8192, 'rope_parameters': {'rope_type': 'yarn', 'factor': 2.5, 'original_max_position_embeddings': 2048, 'mscale': 1.3, 'mscale_all_dim': 0.7, 'rope_theta': 500000.0}},
    inverseFrequencies: [1.0, 0.335031629, 0.112246193, 0.0319651254, 0.00881944597, 0.0023216242, 0.00056568539, 0.000189522572, 6.34960234e-05, 2.12731829e-05, 7.12719157e-06, 2.38783332e-06],
    attentionFactor: 1.051663715081231,
  },
  {
    name: 'yarn mscale zero',
    config: {'head_dim': 24, 'max_position_embeddings': 8192, 'rope_parameters': {'rope_type': 'yarn', 'factor': 2.5, 'original_max_position_embeddings': 2048, 'mscale': 1.3, 'mscale_all_dim': 0, 'rope_theta': 500000.0}},
    inverseFrequencies: [1.0, 0.335031629, 0.112246193, 0.0319651254, 0.00881944597, 0.0023216242, 0.00056568539, 0.000189522572, 6.34960234e-05, 2.12731829e-05, 7.12719157e-06, 2.38783332e-06],
    attentionFactor: 1.0916290731874154,
  },
  {
    name: 'yarn null factor',
    config: {'head_dim': 24, 'max_position_embeddings': 8192, 'rope_parameters': {'rope_type': 'yarn', 'factor': null, 'original_max_position_embeddings': 2048, 'rope_theta': 500000.0}},
    inverseFrequencies: [1.0, 0.335031629, 0.112246193, 0.0305548999, 0.00787450559, 0.00184674654, 0.000353553361, 0.0001184516, 3.96850155e-05, 1.32957393e-05, 4.45449496e-06, 1.49239588e-06],
    attentionFactor: 1.138629436111989,
  },
  {
    name: 'yarn min equals max',
    config: {'head_dim': 8, 'max_position_embeddings': 64, 'rope_parameters': {'rope_type': 'yarn', 'factor': 2.0, 'original_max_position_embeddings': 7, 'rope_theta': 10000.0}},
    inverseFrequencies: [1.0, 0.0500000007, 0.00499999989, 0.000500000024],
    attentionFactor: 1.0693147180559945,
  },
];

describe('rotary frequencies are those of transformers', () => {
  it.each(CASES)('$name', ({ config, inverseFrequencies, attentionFactor, every = 1 }) => {
    const rope = ropeFrequencies(parseConfig({ model_type: 'qwen3_moe', ...config }));
    expect(rope.inverseFrequencies.length).toBe(config.head_dim / 2);
    expect(rope.attentionFactor).toBeCloseTo(attentionFactor, 14);
    inverseFrequencies.forEach((expected, i) => {
      // One unit in the last place of a float32: torch's vectorised pow is not always rounded correctly.
      expect(Math.abs(rope.inverseFrequencies[i * every]! / expected - 1)).toBeLessThan(1.2e-7);
    });
  });

  it('reads yarn as transformers 4 writes it, with `type` and a theta outside', () => {
    const [newer, older] = [
      { rope_parameters: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 512, rope_theta: 5e5 } },
      { rope_theta: 5e5, rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 512 } },
    ].map((fields) => ropeFrequencies(parseConfig({ model_type: 'qwen3_moe', head_dim: 16, max_position_embeddings: 2048, ...fields })));
    expect(older).toEqual(newer);
  });
});
