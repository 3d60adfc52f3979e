/** The engine on one device against the logits of Hugging Face transformers (float32), on both software adapters. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createEngine, storedDtype, type Engine } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { openFolder } from '../../src/node/files.ts';
import { defaultPlan, type KernelPlan } from '../../src/runtime/plan.ts';
import type { SlotStream } from '../../src/engine/slot-stream.ts';
import { adapters, useDevice, type Rig } from '../runtime/adapters.ts';
import { fixtureFolder, goldenCases, relativeError } from '../strategy/golden.ts';
import { localSlots } from './local-slots.ts';

const FIXTURES = [
  'base-f32', 'fused-v5', 'head-dim-128', 'mixed-layers', 'one-expert-hot', 'rope-linear', 'rope-yarn', 'rope-yarn-factor', 'rope-yarn-mscale',
  'sharded-bf16', 'tied-f16',
];
const CHUNK_TOKENS = 512; // the prompts of 1,000 and 2,000 tokens take several chunks
const MOST_EXPERTS_A_BANK = 3;

const F32: KernelPlan['operands'] = { attention: 'f32', experts: 'f32' };

async function load(rig: Rig, folder: string, operands: KernelPlan['operands']): Promise<{ engine: Engine; stream: SlotStream }> {
  const weights = await openCheckpoint(await openFolder(folder));
  const engine = await createEngine(rig.gpu, weights, { plan: defaultPlan(rig.gpu, operands), chunkTokens: CHUNK_TOKENS });
  const stream = await localSlots(rig.gpu, weights, storedDtype(weights.config), MOST_EXPERTS_A_BANK);
  await weights.close();
  return { engine, stream };
}

const cases = adapters.flatMap((adapter) => [
  { adapter, name: adapter.name, operands: F32, tolerance: 1e-4 },
  ...(adapter.operands.includes('f16') ? [{ adapter, name: adapter.name, operands: { attention: 'f32', experts: 'f16' } as const, tolerance: 1e-3 }] : []),
]);

describe.each(cases)('on $name with $operands.experts operands', ({ adapter, operands, tolerance }) => {
  const rig = useDevice(adapter);

  it.each(FIXTURES)('%s has the logits of transformers for every prompt', async (name) => {
    const { engine, stream } = await load(rig, fixtureFolder(name), operands);
    for (const { tokens, logits } of goldenCases(name, Infinity)) {
      const result = await engine.forward({ sequences: [{ tokens }], candidates: null }, stream);
      expect(relativeError(result.logits, logits), `${tokens.length} tokens`).toBeLessThan(tolerance);
    }
  }, 180_000);

  it('real mails on the demo model have the candidates\' logits of transformers, packed into one batch', async () => {
    const file = fileURLToPath(new URL('../fixtures/spam-mail/cases.json', import.meta.url));
    const golden = JSON.parse(readFileSync(file, 'utf8')) as { model: string; candidates: number[]; cases: { tokens: number[]; logits: string }[] };
    const { engine, stream } = await load(rig, fileURLToPath(new URL(`../../${golden.model}`, import.meta.url)), operands);
    const some = golden.cases.slice(0, 12);
    const sequences = some.map(({ tokens }) => ({ tokens: Uint32Array.from(tokens) }));
    const { logits } = await engine.forward({ sequences, candidates: Uint32Array.from(golden.candidates) }, stream);
    const width = golden.candidates.length;
    for (const [i, { logits: text }] of some.entries()) {
      const expected = new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
      expect(relativeError(logits.subarray(i * width, (i + 1) * width), expected), `mail ${i}`).toBeLessThan(tolerance);
    }
  }, 180_000);
});
