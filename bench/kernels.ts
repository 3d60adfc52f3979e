/**
 * The three kernels that carry a pass, variant beside variant: `npm run bench:kernels -- --help`.
 * Every variant is checked against float64 before it is timed.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { attentionCases, type AttentionVariant } from './kernels/attention.ts';
import { groupedCases, type GroupedShape } from './kernels/grouped.ts';
import { denseCases, type KernelCase, type Variant } from './kernels/matmul.ts';
import { kernelSubject, measure, printTable, ratio, showSpread, type Measured, type Subject } from './measure.ts';
import { onnxruntimePeer, peersInstalled, type Peer } from './peer.ts';
import { closeRig, describePlace, openRig, printPlace, type Rig } from './rig.ts';
import type { PackedDtype } from '../src/runtime/layout.ts';
import type { AttentionShape, MatmulShape, OperandDtype } from '../src/runtime/plan.ts';

const HELP = `npm run bench:kernels -- [flags]
  --adapter NAME      part of the adapter's name (default: the preferred one)
  --dense M,N,K       shape of the dense product (512,1024,1024)
  --grouped E,USED,TOKENS,M,K   shape of the grouped product; "large" = 128,8,512,768,2048, "small" = 16,4,256,256,512, "both" (both)
  --attention S,HEADS   tokens and heads (1024,4), at head dimensions 64 and 128
  --only TEXT         only variants whose name contains the text (the control of a table always runs)
  --tables LIST       of dense,grouped,attention (all)
  --rounds N          rounds (7)
  --no-peers          without onnxruntime
  --json FILE         writes everything measured`;

const flags = process.argv.slice(2);
const { values: args } = parseArgs({
  args: flags,
  options: {
    adapter: { type: 'string' }, dense: { type: 'string', default: '512,1024,1024' }, grouped: { type: 'string', default: 'both' },
    attention: { type: 'string', default: '1024,4' }, only: { type: 'string', default: '' }, tables: { type: 'string', default: 'dense,grouped,attention' },
    rounds: { type: 'string', default: '7' }, 'no-peers': { type: 'boolean', default: false }, json: { type: 'string' }, help: { type: 'boolean', default: false },
  },
});

const SAMPLE_MS = 150;
/** Above this relative error a variant is wrong, whatever its speed. */
const LARGEST_ERROR = { f32: 1e-5, f16: 1e-3 } as const;

const numbers = (text: string, count: number, flag: string): number[] => {
  const found = text.split(',').map(Number);
  if (found.length === count && found.every((n) => Number.isInteger(n) && n > 0)) return found;
  throw new Error(`--${flag} ${text}: expected ${count} positive integers with commas between them`);
};

const TILED: MatmulShape = { kind: 'tiled' };

interface Wanted {
  readonly R: number;
  readonly C: number;
  readonly aType: OperandDtype;
  readonly bType: PackedDtype;
  readonly why: string;
}

/** The first is the control: what the others of the table are compared with. */
const DENSE: readonly Wanted[] = [
  { R: 16, C: 2, aType: 'f32', bType: 'bf16', why: 'a bf16 checkpoint as it is, nothing rounded' },
  { R: 16, C: 4, aType: 'f32', bType: 'bf16', why: 'twice the columns for the same loads of A, twice the text to compile' },
  { R: 8, C: 4, aType: 'f32', bType: 'bf16', why: 'fewer rows: short tails' },
  { R: 16, C: 2, aType: 'f32', bType: 'f32', why: 'full precision: twice the bytes of weights to load' },
  { R: 8, C: 4, aType: 'f32', bType: 'f32', why: 'the same with fewer rows' },
  { R: 16, C: 2, aType: 'f16', bType: 'f16', why: 'two elements a load on both sides' },
  { R: 16, C: 4, aType: 'f16', bType: 'f16', why: 'the same with more columns' },
  { R: 32, C: 2, aType: 'f16', bType: 'f16', why: 'the same with more rows' },
];

/** On subgroups of four: without f16, and with wider tiles, which compile quickly there. */
const DENSE_SMALL: readonly Wanted[] = [
  { R: 16, C: 8, aType: 'f32', bType: 'bf16', why: 'most work for each load' },
  { R: 8, C: 4, aType: 'f32', bType: 'bf16', why: 'half the rows and columns: a quarter of the text' },
  { R: 8, C: 2, aType: 'f32', bType: 'bf16', why: 'an eighth of it' },
  { R: 16, C: 8, aType: 'f32', bType: 'f32', why: 'full precision: twice the bytes of weights to load' },
];

const groupedOf = (list: readonly Wanted[]): readonly Wanted[] => list === DENSE_SMALL ? list : list.filter(({ R, C, aType }) => (R === 16 && C === 2) || (R === 16 && aType === 'f16') || R === 8);

const productsOf = ({ gpu }: Rig): readonly Wanted[] => (gpu.subgroupSize === 4 ? DENSE_SMALL : DENSE);

function variants(rig: Rig, list: readonly Wanted[], tiledType: PackedDtype): Variant[] {
  const L = rig.gpu.subgroupSize;
  const tiled: Variant[] = [{ shape: TILED, aType: 'f32', bType: tiledType, why: 'workgroup memory and 4 x 4 registers: the usual shape on a GPU, runs anywhere' }];
  const fits = L >= 4 && L <= 64;
  const broadcast = list.filter(({ aType, R }) => fits && (aType === 'f32' || rig.gpu.hasF16) && R % Math.min(R, L) === 0)
    .map(({ R, C, aType, bType, why }): Variant => ({ shape: { kind: 'broadcast', L, R, C }, aType, bType, why }));
  return [...broadcast, ...tiled];
}

function attentionVariants({ gpu }: Rig): AttentionVariant[] {
  const L = gpu.subgroupSize;
  const shape = (QB: number, KT: number): AttentionShape => ({ kind: 'broadcast', L, QB, KT });
  const broadcast: AttentionVariant[] = L >= 4 && L <= 16 ? [
    { shape: shape(2, 16), type: 'f32', why: 'two queries a lane share every loaded and broadcast key' },
    { shape: shape(1, 16), type: 'f32', why: 'one query a lane: fewest registers' },
    { shape: shape(4, 16), type: 'f32', why: 'four queries a lane: half the loads of keys and values again' },
    { shape: shape(2, 32), type: 'f32', why: 'longer steps: half as many rescalings' },
    ...(gpu.hasF16 ? [{ shape: shape(2, 16), type: 'f16' as const, why: 'two elements a load' }] : []),
  ] : [];
  return [...broadcast, { shape: { kind: 'tiled' }, type: 'f32', why: 'a query a thread, keys and values through workgroup memory' }];
}

const typeOf = (name: string): 'f32' | 'f16' => (/ f16(x|$)/.test(name) ? 'f16' : 'f32');

async function subjectsOf(rig: Rig, cases: readonly KernelCase[]): Promise<Subject[]> {
  const subjects: Subject[] = [];
  for (const [i, one] of cases.entries()) {
    if (i > 0 && !one.name.includes(args.only)) continue;
    const subject = await kernelSubject(rig.gpu, rig.recorder, one, SAMPLE_MS);
    if (!(subject.error! <= LARGEST_ERROR[typeOf(subject.name)])) throw new Error(`${one.name}: relative error ${subject.error}; this kernel is wrong`);
    subjects.push(subject);
  }
  return subjects;
}

const results: { table: string; control: string; rows: Measured[] }[] = [];

function print(title: string, rows: readonly Measured[], control: Measured): void {
  const key = software ? 'cpuGflops' : 'gflops';
  results.push({ table: title, control: control.name, rows: [...rows] });
  console.log(`${title}   (ratio to: ${control.name}${software ? ', by CPU seconds' : ''})`);
  const body = rows.map((row) => [
    row.name, showSpread(row.gflops), showSpread(row.cpuGflops), showSpread(ratio(row, control, key, workOf(row, control))), `${row.firstMs.toFixed(0)} ms`, row.error?.toExponential(1) ?? '', row.why,
  ]);
  printTable([['kernel', 'GF/s', 'GF/CPU-s x cores', 'ratio', 'first run', 'error', 'why'], ...body]);
  console.log();
}

const flopsOf = new Map<string, number>();
const workOf = (subject: Measured, base: Measured) => ({ subject: flopsOf.get(subject.name) ?? 1, base: flopsOf.get(base.name) ?? 1 });

async function table(title: string, subjects: readonly Subject[], control?: Subject): Promise<Measured[]> {
  const all = control && !subjects.includes(control) ? [control, ...subjects] : subjects;
  for (const subject of all) flopsOf.set(subject.name, subject.flops);
  const rows = await measure(all, Number(args.rounds));
  print(title, rows, rows[0]!);
  return rows;
}

async function denseTable(rig: Rig): Promise<void> {
  const [M, N, K] = numbers(args.dense, 3, 'dense') as [number, number, number];
  const ours = await subjectsOf(rig, denseCases(rig.gpu, variants(rig, productsOf(rig), 'f32'), { M, N, K }));
  const peers: Peer[] = [];
  if (!args['no-peers'] && peersInstalled()) {
    for (const provider of ['webgpu', 'cpu'] as const) peers.push(...[await onnxruntimePeer(provider, rig.adapter, { M, N, K })].filter((peer) => peer !== undefined));
  }
  const rows = await table(`dense product ${M} x ${N} x ${K}`, [...ours, ...peers]);
  for (const peer of peers) peer.end();
  const key = software ? 'cpuGflops' : 'gflops';
  const best = (type: 'f32' | 'f16' | ''): Measured | undefined => rows.filter(({ name, error }) => error !== undefined && (type === '' || typeOf(name) === type)).toSorted((a, b) => b[key].median - a[key].median)[0];
  for (const peer of peers) {
    const other = rows.find(({ name }) => name === peer.name)!;
    for (const [what, row] of [['best', best('')], ['best with f32 activations', best('f32')]] as const) {
      if (row) console.log(`  ours, ${what} (${row.name}) / ${other.name}: ${showSpread(ratio(row, other, 'gflops'))} by wall time, ${showSpread(ratio(row, other, 'cpuGflops'))} by CPU seconds`);
    }
  }
  console.log();
}

const GROUPED_SHAPES: Readonly<Record<string, GroupedShape>> = {
  small: { experts: 16, used: 4, tokens: 256, m: 256, k: 512 },
  large: { experts: 128, used: 8, tokens: 512, m: 768, k: 2048 },
};

function groupedShapes(): GroupedShape[] {
  if (args.grouped === 'both') return Object.values(GROUPED_SHAPES);
  const named = GROUPED_SHAPES[args.grouped];
  if (named) return [named];
  const [experts, used, tokens, m, k] = numbers(args.grouped, 5, 'grouped') as [number, number, number, number, number];
  return [{ experts, used, tokens, m, k }];
}

/** Each grouped variant against the dense product of the same kernel shape and types. */
async function groupedTables(rig: Rig): Promise<void> {
  const [M, N, K] = numbers(args.dense, 3, 'dense') as [number, number, number];
  const key = software ? 'cpuGflops' : 'gflops';
  for (const shape of groupedShapes()) {
    const list = variants(rig, groupedOf(productsOf(rig)), 'f16');
    const grouped = await subjectsOf(rig, groupedCases(rig.gpu, list, shape));
    const dense = (await subjectsOf(rig, denseCases(rig.gpu, list, { M, N, K }))).map((subject) => ({ ...subject, name: `dense ${subject.name}` }));
    const rows = await table(`grouped product, ${shape.experts} experts, ${shape.used} used, ${shape.tokens} tokens, m=${shape.m}, k=${shape.k}`, [...grouped, ...dense]);
    for (const row of rows) {
      const twin = rows.find(({ name }) => name === `dense ${row.name}`);
      if (twin) console.log(`  grouped / dense, ${row.name}: ${showSpread(ratio(row, twin, key, workOf(row, twin)))}`);
    }
    console.log();
  }
}

async function attentionTables(rig: Rig): Promise<void> {
  const [tokens, heads] = numbers(args.attention, 2, 'attention') as [number, number];
  for (const headDim of [64, 128]) {
    await table(`causal attention, ${tokens} tokens, ${heads} heads of ${headDim}`, await subjectsOf(rig, attentionCases(rig.gpu, attentionVariants(rig), { tokens, heads, headDim })));
  }
}

if (args.help) {
  console.log(HELP);
  process.exit(0);
}
const rig = await openRig(args.adapter);
const { software } = rig.adapter;
const place = describePlace(rig, 'bench:kernels', flags);
printPlace(place);
const wanted = args.tables.split(',');
if (wanted.includes('dense')) await denseTable(rig);
if (wanted.includes('grouped')) await groupedTables(rig);
if (wanted.includes('attention')) await attentionTables(rig);
if (args.json) writeFileSync(args.json, `${JSON.stringify({ ...place, results }, null, 2)}\n`);
closeRig(rig);
process.exit(0);
