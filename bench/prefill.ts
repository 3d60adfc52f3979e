/**
 * Whole passes on one device with all experts resident, at several batch sizes, against the dense product's rate in the same rounds:
 * `npm run bench:prefill -- --help`. The model has random weights and a shape in which products dominate.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createEngine, expertLayout, packExpert, type Batch, type Engine } from '../src/engine/index.ts';
import { parseConfig } from '../src/model/config.ts';
import { randomWeights } from '../src/model/random-weights.ts';
import type { ModelWeights } from '../src/model/types.ts';
import type { GpuDevice } from '../src/runtime/device.ts';
import type { PackedDtype } from '../src/runtime/layout.ts';
import { kernelPlanSchema, type KernelPlan, defaultPlan } from '../src/runtime/plan.ts';
import { tunePlan } from '../src/runtime/tune.ts';
import type { Slot, SlotStream } from '../src/engine/slot-stream.ts';
import { denseCases, shapeName } from './kernels/matmul.ts';
import { kernelSubject, measure, printTable, ratio, showSpread, type Subject } from './measure.ts';
import { closeRig, describePlace, openRig, printPlace } from './rig.ts';

const HELP = `npm run bench:prefill -- [flags]
  --adapter NAME     part of the adapter's name (default: the preferred one)
  --tokens LIST      batch sizes (128,512,2048,4096)
  --length N         tokens of a sequence (128)
  --shape H,I,E,K,LAYERS   hidden size, expert width, experts, experts a token, layers (768,512,16,4,4)
  --dtype f32|f16|bf16     weights on the device (bf16)
  --f16              experts' operands in f16 (otherwise f32)
  --plan JSON        a kernel plan instead of the tuner's; "default" for the untuned one
  --rounds N         rounds (7)
  --json FILE        writes everything measured`;

const flags = process.argv.slice(2);
const { values: args } = parseArgs({
  args: flags,
  options: {
    adapter: { type: 'string' }, tokens: { type: 'string', default: '128,512,2048,4096' }, length: { type: 'string', default: '128' },
    shape: { type: 'string', default: '768,512,16,4,4' }, dtype: { type: 'string', default: 'bf16' }, f16: { type: 'boolean', default: false },
    plan: { type: 'string' }, rounds: { type: 'string', default: '7' }, json: { type: 'string' }, help: { type: 'boolean', default: false },
  },
});

const HEAD_DIM = 64;
const VOCABULARY = 512;

function modelConfig() {
  const [hidden_size, moe_intermediate_size, num_experts, num_experts_per_tok, num_hidden_layers] = args.shape.split(',').map(Number);
  return parseConfig({
    model_type: 'qwen3_moe', architectures: ['Qwen3MoeForCausalLM'], vocab_size: VOCABULARY, head_dim: HEAD_DIM, num_attention_heads: Math.max(1, Math.round(hidden_size! / HEAD_DIM)),
    num_key_value_heads: Math.max(1, Math.round(hidden_size! / HEAD_DIM / 4)), intermediate_size: moe_intermediate_size, norm_topk_prob: true, rms_norm_eps: 1e-6, rope_theta: 1e6,
    max_position_embeddings: 8192, torch_dtype: 'bfloat16', hidden_size, moe_intermediate_size, num_experts, num_experts_per_tok, num_hidden_layers,
  }, 'bench');
}

/** All experts of all layers on the device. */
async function residentStream(gpu: GpuDevice, weights: ModelWeights, dtype: PackedDtype): Promise<SlotStream> {
  const { config } = weights;
  const layout = expertLayout(config, dtype);
  const expertsPerBank = Math.min(config.numExperts, Math.floor(gpu.maxBindingBytes / layout.expertBytes));
  const blob = new Uint8Array(layout.expertBytes);
  const slots: Slot[] = [];
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const banks: GPUBuffer[] = [];
    for (let expert = 0; expert < config.numExperts; expert++) {
      if (expert % expertsPerBank === 0) {
        const bytes = Math.min(expertsPerBank, config.numExperts - expert) * layout.expertBytes;
        banks.push(gpu.createBuffer('slots', bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST));
      }
      packExpert(await weights.expert(layer, expert), layout, blob);
      gpu.upload(banks.at(-1)!, blob, (expert % expertsPerBank) * layout.expertBytes);
    }
    slots.push({ layer, banks, expertsPerBank, expertBytes: layout.expertBytes });
  }
  return { begin: () => undefined, ready: (layer) => Promise.resolve(slots[layer]!), done: () => undefined, end: () => undefined, close: () => Promise.resolve() };
}

function batchOf(tokens: number): Batch {
  const length = Number(args.length);
  const sequences = Array.from({ length: Math.ceil(tokens / length) }, (_, s) => ({
    tokens: Uint32Array.from({ length: Math.min(length, tokens - s * length) }, (_, i) => (s * 7919 + i * 104729) % VOCABULARY),
  }));
  return { sequences, candidates: Uint32Array.of(1, 2) };
}

/** A pass as a subject; its FLOPs are the engine's own count of what it computed. */
async function passSubject(engine: Engine, stream: SlotStream, tokens: number): Promise<Subject> {
  const batch = batchOf(tokens);
  const start = performance.now();
  const { stats } = await engine.forward(batch, stream);
  const firstMs = performance.now() - start;
  return {
    name: `${tokens} tokens`, why: `${batch.sequences.length} sequences, ${(stats.flops / 1e9).toFixed(1)} GFLOP`, flops: stats.flops, firstMs,
    async sample() {
      const before = process.cpuUsage();
      const from = performance.now();
      await engine.forward(batch, stream);
      const ms = performance.now() - from;
      const { user, system } = process.cpuUsage(before);
      return { ms, cpuMs: (user + system) / 1e3 };
    },
  };
}

const CONTROL = { M: 512, N: 1024, K: 1024 };

async function choosePlan(gpu: GpuDevice, dtype: PackedDtype): Promise<KernelPlan> {
  if (args.plan === 'default') return defaultPlan(gpu, { attention: 'f32', experts: args.f16 ? 'f16' : 'f32' });
  if (args.plan) return kernelPlanSchema.parse(JSON.parse(args.plan));
  const tuned = await tunePlan(gpu, { weightDtype: dtype, headDim: HEAD_DIM, budgetMs: 30_000 });
  return { ...tuned, operands: { attention: 'f32', experts: args.f16 ? 'f16' : 'f32' } };
}

if (args.help) {
  console.log(HELP);
  process.exit(0);
}
const rig = await openRig(args.adapter);
const { gpu, recorder } = rig;
const place = describePlace(rig, 'bench:prefill', flags);
printPlace(place);
const dtype = args.dtype as PackedDtype;
const plan = await choosePlan(gpu, dtype);
console.log(`plan     ${JSON.stringify(plan)}\n`);
const weights = await randomWeights(modelConfig(), { seed: 1 });
const stream = await residentStream(gpu, weights, dtype);
const engine = await createEngine(gpu, weights, { plan, weightDtype: dtype });

const subjects: Subject[] = [];
for (const aType of new Set(Object.values(plan.operands))) {
  const [control] = denseCases(gpu, [{ shape: plan.dense, aType, bType: dtype, why: 'the dense product alone' }], CONTROL);
  subjects.push({ ...(await kernelSubject(gpu, recorder, control!, 300)), name: `dense ${shapeName(plan.dense)} ${aType}x${dtype}` });
}
const controls = subjects.length;
for (const tokens of args.tokens.split(',').map(Number)) subjects.push(await passSubject(engine, stream, tokens));
const rows = await measure(subjects, Number(args.rounds));
const flopsOf = new Map(subjects.map(({ name, flops }) => [name, flops]));
const control = rows[controls - 1]!;
const key = rig.adapter.software ? 'cpuGflops' : 'gflops';
const { hiddenSize, moeIntermediateSize, numExperts, numExpertsPerTok, numHiddenLayers } = weights.config;
console.log(`whole passes: hidden ${hiddenSize}, ${numExperts} experts of ${moeIntermediateSize}, ${numExpertsPerTok} a token, ${numHiddenLayers} layers, ${dtype} weights   (ratio to: ${control.name}${rig.adapter.software ? ', by CPU seconds' : ''})`);
printTable([
  ['', 'GF/s', 'GF/CPU-s x cores', 'ratio', 'by wall time', 'tokens/s', ''],
  ...rows.map((row) => {
    const work = { subject: flopsOf.get(row.name)!, base: flopsOf.get(control.name)! };
    const tokens = Number(/^(\d+) tokens/.exec(row.name)?.[1]);
    const perSecond = tokens > 0 ? ((tokens / work.subject) * row.gflops.median * 1e9).toFixed(0) : '';
    return [row.name, showSpread(row.gflops), showSpread(row.cpuGflops), showSpread(ratio(row, control, key, work)), showSpread(ratio(row, control, 'gflops', work)), perSecond, row.why];
  }),
]);
if (args.json) writeFileSync(args.json, `${JSON.stringify({ ...place, plan, config: weights.config, rows }, null, 2)}\n`);
closeRig(rig);
process.exit(0);
