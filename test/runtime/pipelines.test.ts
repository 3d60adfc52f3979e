import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot, readShader } from '../../src/node/shaders.ts';
import { WIRE_DTYPES } from '../../src/runtime/kernels/exchange.ts';
import { ShaderRenderer, type ShaderOptions } from '../../src/runtime/shader-text.ts';
import { adapters, useDevice } from './adapters.ts';

const product = (axes: Record<string, readonly (string | number | boolean)[]>): ShaderOptions[] =>
  Object.entries(axes).reduce<ShaderOptions[]>((all, [name, values]) => all.flatMap((options) => values.map((value) => ({ ...options, [name]: value }))), [{}]);

const WEIGHTS = ['f32', 'f16', 'bf16'];
const OPERANDS = ['f32', 'f16'];
const BOTH = [false, true];

/** The options that a product of each use takes, whatever its tile. */
const PRODUCTS: readonly ShaderOptions[] = [
  ...product({ aType: OPERANDS, bType: WEIGHTS, out: ['rows'], grouped: [false], swiglu: [false], gatherA: [false], accumulate: BOTH, bias: BOTH }),
  ...product({ aType: OPERANDS, bType: WEIGHTS, out: ['rows'], grouped: [true], swiglu: [false], gatherA: [false], accumulate: [false], bias: [false] }),
  ...OPERANDS.flatMap((type) => product({ aType: [type], outType: [type], bType: WEIGHTS, out: ['packed'], grouped: [true], swiglu: [true], gatherA: [true], accumulate: [false], bias: [false] })),
];

const TILES = product({ L: [4, 8, 32], R: [8, 16, 32], C: [2, 4] });

/** Every combination of options that the kernels' functions can ask for. */
const OPTIONS: Readonly<Record<string, readonly ShaderOptions[]>> = {
  'attention-broadcast': product({ L: [4, 8, 16, 32], QB: [1, 2, 4], KT: [16, 32], d: [8, 24, 64, 128], kvType: OPERANDS }).map((o) => ({ ...o, aType: o['kvType']! })),
  'attention-tiled': product({ d: [8, 24, 64, 128], kvType: OPERANDS }).map((o) => ({ ...o, aType: o['kvType']! })),
  'candidate-head': product({ wType: WEIGHTS }),
  combine: product({ assign: BOTH }),
  embedding: product({ wType: WEIGHTS }),
  'exchange-decode': product({ wire: WIRE_DTYPES }),
  'exchange-encode': product({ wire: WIRE_DTYPES }),
  'exchange-owners': [{}],
  'exchange-pack': product({ wire: WIRE_DTYPES, aType: OPERANDS, listed: BOTH, counted: BOTH, meta: BOTH }),
  'exchange-plan': [{}],
  'exchange-reduce': product({ wire: WIRE_DTYPES, listed: BOTH }),
  'exchange-unpack': product({ wire: WIRE_DTYPES, aType: OPERANDS, listed: BOTH, meta: BOTH }),
  'expert-count': [{}],
  'expert-scan': [{}],
  'expert-scatter': [{}],
  fill: [{}],
  'gather-rows': [{}],
  'kv-copy': [{}],
  'matmul-broadcast': TILES.flatMap((tile) => PRODUCTS.map((options) => ({ ...tile, ...options }))),
  'matmul-tiled': PRODUCTS,
  rmsnorm: product({ L: [0, 4, 8, 32], aType: OPERANDS, dual: BOTH, gather: BOTH }),
  'rope-kv': product({ d: [8, 24, 64, 128], kvType: OPERANDS, parts: ['all', 'kv', 'q'] }),
  'router-topk': product({ k: [1, 2, 8], renormalise: BOTH }),
  'token-scores': [{}],
};

describe('shader templates', () => {
  const renderer = new ShaderRenderer(readShader);

  it('are all listed here', () => {
    const files = readdirSync(join(packageRoot, 'shaders')).filter((file) => file.endsWith('.wgsl')).map((file) => file.slice(0, -'.wgsl'.length));
    expect(Object.keys(OPTIONS).sort()).toEqual(files.sort());
  });

  it.each(Object.entries(OPTIONS))('%s renders without leftovers, whatever its options', (name, all) => {
    for (const options of all) {
      const text = renderer.render(name, options);
      // A comment may hold any word.
      const code = text.replaceAll(/\/\/.*/g, '');
      expect(code, JSON.stringify(options)).not.toMatch(/<%|%>|undefined|NaN|\[object|function|=>/);
      expect(text).not.toMatch(/\n[ \t]*\n/);
      for (const [open, close] of ['{}', '()', '[]'] as const) expect(code.split(open!).length).toBe(code.split(close!).length);
      expect(code.match(/@binding\((\d+)\)/g)).toEqual(code.match(/@binding\(\d+\)/g)!.map((_, i) => `@binding(${i})`));
      expect(code.match(/@compute/g)).toHaveLength(1);
    }
  });

  it('renders the same text for the same options, whatever was rendered between', () => {
    const first = renderer.render('rmsnorm', { aType: 'f16', dual: true, gather: false });
    renderer.render('rmsnorm', { aType: 'f32', dual: false, gather: true });
    expect(renderer.render('rmsnorm', { aType: 'f16', dual: true, gather: false })).toBe(first);
  });

  it('expands to what a reader would write', () => {
    expect(renderer.render('embedding', { wType: 'bf16' })).toMatchInlineSnapshot(`
      "// Embedding lookup: x[t, :] = E[token[t], :].
      //
      // One dispatch per bank of E (rows [firstRow, firstRow + bankRows)); a token of another bank is left alone.
      // tokens  u32 [T]                 x  f32 [T, H8] row-major, H8 = hidden size padded to 8 (the padding of E is zero)
      // table   packed [bankRows, H]    grid: (H8 / 8 / 64, T), a thread copies one cell row of 8 elements
      struct Params { tokens: u32, k8: u32, firstRow: u32, bankRows: u32 }
      @group(0) @binding(0) var<uniform> p: Params;
      @group(0) @binding(1) var<storage, read> tokens: array<u32>;
      @group(0) @binding(2) var<storage, read> table: array<vec4<u32>>;
      @group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;
      @compute @workgroup_size(64)
      fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let cell = id.x;
        let token = id.y;
        if (cell >= p.k8 || token >= p.tokens) { return; }
        let row = tokens[token] - p.firstRow; // wraps below the bank, so that one comparison is enough
        if (row >= p.bankRows) { return; }
        let source = (((row >> 3u) * p.k8 + cell) * 8u + (row & 7u)) * 1u;
        let w_0 = table[source];  let to = (token * p.k8 + cell) * 2u;
        x[to] = vec4<f32>(bitcast<f32>(w_0.x << 16u), bitcast<f32>(w_0.x & 0xffff0000u), bitcast<f32>(w_0.y << 16u), bitcast<f32>(w_0.y & 0xffff0000u));
        x[to + 1u] = vec4<f32>(bitcast<f32>(w_0.z << 16u), bitcast<f32>(w_0.z & 0xffff0000u), bitcast<f32>(w_0.w << 16u), bitcast<f32>(w_0.w & 0xffff0000u));
      }
      "
    `);
  });
});

/** A driver compiles at the first dispatch, but the validation of the text comes before: every kernel that is small, and a few that are not. */
describe.each(adapters)('pipelines on $name', (adapter) => {
  const rig = useDevice(adapter);
  const kernelsOf = (name: string): readonly ShaderOptions[] =>
    OPTIONS[name]!.filter(({ L, R, outType }) => (L === undefined || L === 0 || L === adapter.L) && R !== 32 && (outType !== 'f16' || adapter.operands.includes('f16')));

  it('makes a kernel once, and tells its text', () => {
    const { pipelines, renderer } = rig.gpu;
    const kernel = pipelines.get('router-topk', { k: 2, renormalise: true });
    expect(pipelines.get('router-topk', { k: 2, renormalise: true })).toBe(kernel);
    expect(pipelines.get('router-topk', { k: 2, renormalise: false })).not.toBe(kernel);
    const key = 'router-topk {"k":2,"renormalise":true}';
    expect(pipelines.texts().find((text) => text.key === key)).toEqual({ key, code: renderer.render('router-topk', { k: 2, renormalise: true }) });
  });

  it.each(Object.keys(OPTIONS))('%s is valid WGSL', async (name) => {
    const { gpu } = rig;
    for (const options of kernelsOf(name)) {
      const module = gpu.device.createShaderModule({ code: gpu.renderer.render(name, options) });
      const { messages } = await gpu.wait(module.getCompilationInfo());
      expect(messages.map(({ message, lineNum }) => `${JSON.stringify(options)} line ${lineNum}: ${message}`)).toEqual([]);
    }
  });
});
