/** A forward pass in float64, straight from the formulas of Qwen3MoeForCausalLM: slow, plain, and free of any device. */
import { bf16ToF32, f16ToF32 } from '../../src/model/float16.ts';
import { ropeFrequencies } from '../../src/model/rope.ts';
import type { LayerWeights, MlpWeights, ModelConfig, ModelWeights, RawTensor } from '../../src/model/types.ts';

type Vector = Float64Array;
type Matrix = Vector[];

function numbers({ dtype, bytes }: RawTensor): Vector {
  const own = bytes.slice().buffer;
  if (dtype === 'F32') return Float64Array.from(new Float32Array(own));
  return Float64Array.from(new Uint16Array(own), dtype === 'F16' ? f16ToF32 : bf16ToF32);
}

const rows = (tensor: RawTensor): Matrix => {
  const [n, k] = tensor.shape as [number, number];
  const all = numbers(tensor);
  return Array.from({ length: n }, (_, r) => all.subarray(r * k, (r + 1) * k));
};
const dot = (a: Vector, b: Vector): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const apply = (matrix: Matrix, x: Vector, bias?: Vector): Vector => Float64Array.from(matrix, (row, r) => dot(row, x) + (bias?.[r] ?? 0));
const plus = (a: Vector, b: Vector): Vector => a.map((x, i) => x + b[i]!);
const softmax = (x: Vector): Vector => {
  const top = Math.max(...x);
  const weights = x.map((value) => Math.exp(value - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
};
const norm = (x: Vector, weight: Vector, eps: number): Vector => {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => value * scale * weight[i]!);
};

/** Told the experts that each token chose in a layer, and by how much (probability) the last chosen beat the next one, at least. */
export type OnRoute = (layer: number, chosen: readonly (readonly number[])[], margin: number) => void;

/** Logits of the whole vocabulary after the last token. */
export async function referenceLogits(weights: ModelWeights, tokens: readonly number[], onRoute: OnRoute = () => undefined): Promise<Vector> {
  const { config } = weights;
  const embedding = rows(await weights.embeddingRows(0, config.vocabSize));
  let states = tokens.map((token) => embedding[token]!);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const parts = await weights.layer(layer);
    const mixed = attention(config, parts, states.map((x) => norm(x, numbers(parts.inputNorm), config.rmsNormEps)));
    states = states.map((x, t) => plus(x, mixed[t]!));
    const inputs = states.map((x) => norm(x, numbers(parts.postAttentionNorm), config.rmsNormEps));
    const outputs = parts.mlp ? dense(parts.mlp, inputs) : await experts(weights, layer, rows(parts.router!), inputs, onRoute);
    states = states.map((x, t) => plus(x, outputs[t]!));
  }
  const last = norm(states.at(-1)!, numbers(await weights.finalNorm()), config.rmsNormEps);
  return apply(rows(await weights.headRows(0, config.vocabSize)), last);
}

function attention(config: ModelConfig, parts: LayerWeights, inputs: Matrix): Matrix {
  const { headDim: d, numAttentionHeads: heads, numKeyValueHeads: keyHeads } = config;
  const { inverseFrequencies, attentionFactor } = ropeFrequencies(config);
  const bias = (tensor?: RawTensor): Vector | undefined => tensor && numbers(tensor);
  const [q, k, v, o] = [parts.qProj, parts.kProj, parts.vProj, parts.oProj].map(rows) as [Matrix, Matrix, Matrix, Matrix];
  const head = (x: Vector, h: number): Vector => x.subarray(h * d, (h + 1) * d);
  const rotate = (x: Vector, t: number): Vector => x.map((value, i) => {
    const angle = t * inverseFrequencies[i % (d / 2)]!;
    const other = i < d / 2 ? -x[i + d / 2]! : x[i - d / 2]!;
    return attentionFactor * (value * Math.cos(angle) + other * Math.sin(angle));
  });
  const perHead = (all: Matrix, count: number, weight: RawTensor): Vector[][] =>
    all.map((x, t) => Array.from({ length: count }, (_, h) => rotate(norm(head(x, h), numbers(weight), config.rmsNormEps), t)));
  const queries = perHead(inputs.map((x) => apply(q, x, bias(parts.qBias))), heads, parts.qNorm);
  const keys = perHead(inputs.map((x) => apply(k, x, bias(parts.kBias))), keyHeads, parts.kNorm);
  const values = inputs.map((x) => apply(v, x, bias(parts.vBias)));
  return inputs.map((_, t) => {
    const mixed = new Float64Array(heads * d);
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / keyHeads));
      const scores = softmax(Float64Array.from({ length: t + 1 }, (__, s) => dot(queries[t]![h]!, keys[s]![g]!) / Math.sqrt(d)));
      scores.forEach((p, s) => head(values[s]!, g).forEach((value, i) => { mixed[h * d + i]! += p * value; }));
    }
    return apply(o, mixed, bias(parts.oBias));
  });
}

function dense(mlp: MlpWeights, inputs: Matrix): Matrix {
  const [gate, up, down] = [mlp.gate, mlp.up, mlp.down].map(rows) as [Matrix, Matrix, Matrix];
  return inputs.map((x) => {
    const ups = apply(up, x);
    return apply(down, apply(gate, x).map((g, i) => (g / (1 + Math.exp(-g))) * ups[i]!));
  });
}

async function experts(weights: ModelWeights, layer: number, router: Matrix, inputs: Matrix, onRoute: OnRoute): Promise<Matrix> {
  const { numExperts, numExpertsPerTok, normTopkProb } = weights.config;
  const outputs: Matrix = inputs.map((x) => new Float64Array(x.length));
  let margin = Infinity;
  const routes = inputs.map((x) => {
    const probabilities = softmax(apply(router, x));
    const ranked = [...probabilities.keys()].toSorted((a, b) => probabilities[b]! - probabilities[a]!);
    const chosen = ranked.slice(0, numExpertsPerTok);
    margin = Math.min(margin, probabilities[chosen.at(-1)!]! - (probabilities[ranked[numExpertsPerTok]!] ?? -Infinity));
    const sum = normTopkProb ? chosen.reduce((total, e) => total + probabilities[e]!, 0) : 1;
    return new Map(chosen.map((e) => [e, probabilities[e]! / sum]));
  });
  onRoute(layer, routes.map((route) => [...route.keys()]), margin);
  for (let e = 0; e < numExperts; e++) {
    const tokens = routes.flatMap((route, t) => (route.has(e) ? [t] : []));
    const results = dense(await weights.expert(layer, e), tokens.map((t) => inputs[t]!));
    tokens.forEach((t, i) => { outputs[t] = plus(outputs[t]!, results[i]!.map((value) => value * routes[t]!.get(e)!)); });
  }
  return outputs;
}
