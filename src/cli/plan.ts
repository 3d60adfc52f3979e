/** `asyncep plan`: what a model would do on a machine, before one is rented. */
import { access, constants, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { KV_MODES, type KvMode } from '../engine/index.ts';
import { InputError } from '../errors.ts';
import { calibrate, parseBench } from '../sim/plan/calibration.ts';
import { makePlan, planParts, type Plan } from '../sim/plan/plan.ts';
import type { PlanSetting } from '../sim/plan/setting.ts';
import { parseHardware, PRECISIONS, type HardwarePreset, type Precision } from '../sim/presets/hardware-schema.ts';
import { hardwarePreset, hardwarePresetNames } from '../sim/presets/hardware.ts';
import { modelPreset, modelPresetNames } from '../sim/presets/models.ts';
import { workloadNames } from '../sim/workload.ts';
import { chooseModel } from './model-source.ts';
import { wholeNumber } from './options.ts';
import { planHtml } from './plan-html.ts';
import { planText, type PlannedModel } from './plan-text.ts';
import { createProgress } from './progress.ts';

const EXAMPLES = `
Times are predicted by the cost model (true FLOPs at the share of the peak that passes reach, bytes over the links), memory is counted from the
dimensions. Nothing is measured, unless --calibrate names what "bench strategies --json" wrote on such a machine.

Machines: ${hardwarePresetNames.join(', ')}, or a JSON file with the fields that "--json" prints under hardware.
Models: ${modelPresetNames.join(', ')}, or a folder with config.json.

Examples:
  $ asyncep plan --model qwen3-235b-a22b --hardware h100-80 --precision fp8
  $ asyncep plan --model qwen3-235b-a22b --hardware h100-80 --ranks 1 --offload 2 --workload long
  $ asyncep plan --model gpt-oss-120b --hardware rtx-4090 --offload 1 --html plan.html
  $ asyncep plan --model deepseek-v3 --hardware h200-141 --precision fp8 --offload 1 --json`;

interface PlanFlags {
  readonly model: string;
  readonly hardware: string;
  readonly ranks?: number;
  readonly workload: string;
  readonly precision: Precision;
  readonly offload: number;
  readonly kv: KvMode;
  readonly cacheTokens: number;
  readonly gamma: number;
  readonly batchTokens?: number;
  readonly calibrate?: string;
  readonly json?: true;
  readonly html?: string;
}

function gamma(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 1) return value;
  throw new InvalidArgumentError('expected a number of at least 1');
}

/** Adds the command. */
export function addPlan(program: Command): void {
  program.command('plan')
    .description('predict what a model does on a machine: transfers, threshold, memory, and every strategy\'s speed')
    .requiredOption('--model <name|dir>', 'a published model, or a folder with config.json')
    .requiredOption('--hardware <name|file>', 'a machine, or a JSON file that describes one')
    .option('--ranks <n>', 'devices; all of the machine when not given', wholeNumber(1))
    .addOption(new Option('--workload <name>', 'the paper\'s').choices(workloadNames).default('mixed'))
    .addOption(new Option('--precision <type>', 'of weights, on devices and links').choices(PRECISIONS).default('bf16'))
    .option('--offload <k>', 'own experts stay in host memory, k layers are held ahead', wholeNumber(0), 0)
    .addOption(new Option('--kv <mode>', 'keys and values: of a layer, not kept, or a cache of prefixes').choices(KV_MODES).default('layer'))
    .option('--cache-tokens <n>', '--kv cache: tokens of each device\'s cache', wholeNumber(0), 131_072)
    .option('--gamma <factor>', 'of the threshold', gamma, 1.2)
    .option('--batch-tokens <n>', 'tokens of a batch; as many as reach the threshold when not given', wholeNumber(1))
    .option('--calibrate <file>', 'rates that "bench strategies --json" measured, instead of the machine\'s')
    .option('--json', 'print the whole plan as JSON')
    .option('--html <file>', 'write the plan as one page, with pictures')
    .addHelpText('after', EXAMPLES)
    .action(plan);
}

/** @throws InputError when the file cannot be read, or is not JSON */
async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    throw new InputError(path, '', 'cannot be read; expected a file of JSON');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(path, '', 'is not valid JSON');
  }
}

async function chooseHardware({ hardware: name, calibrate: path, ranks }: PlanFlags): Promise<HardwarePreset> {
  const hardware = name.endsWith('.json') ? parseHardware(await readJson(name), name) : hardwarePreset(name);
  return path === undefined ? hardware : calibrate(hardware, parseBench(await readJson(path), path), ranks ?? hardware.devices, path);
}

/** A name that looks like a path is a folder. */
async function choosePlannedModel(name: string): Promise<PlannedModel> {
  if (modelPresetNames.includes(name) || !/[/\\.]/.test(name)) {
    const { title, config, source, cannotRun, published } = modelPreset(name);
    return { title, config, source, cannotRun, published };
  }
  return { title: name, config: (await chooseModel({ model: name })).config, source: name, cannotRun: null, published: null };
}

/** @throws InputError when `write` cannot */
async function toPage(path: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw new InputError('--html', path, `cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** With a bar on a terminal for the parts that take long. */
function planned(setting: PlanSetting, { workload, batchTokens }: PlanFlags): Plan {
  const progress = createProgress();
  const parts = planParts(setting);
  let done = 0;
  try {
    return makePlan(setting, { workload, ...(batchTokens !== undefined && { batchTokens }), onPart: () => progress.update('predicts', done++, parts) });
  } finally {
    progress.stop();
  }
}

async function plan(flags: PlanFlags): Promise<void> {
  const { html } = flags;
  if (html !== undefined) await toPage(html, () => access(dirname(html), constants.W_OK)); // before time is spent
  const model = await choosePlannedModel(flags.model);
  const hardware = await chooseHardware(flags);
  const { precision, offload, kv, cacheTokens, gamma } = flags;
  const setting: PlanSetting = { config: model.config, hardware, ranks: flags.ranks ?? hardware.devices, precision, offload, kv, cacheTokens, gamma };
  const whole = planned(setting, flags);
  if (html !== undefined) await toPage(html, () => writeFile(html, planHtml(model, setting, whole)));
  const text = flags.json === true
    ? JSON.stringify({ model, hardware, ranks: setting.ranks, precision, offload, kv, ...(kv === 'cache' && { cacheTokens }), gamma, ...whole }, null, 2)
    : planText(model, setting, whole);
  process.stdout.write(`${text}\n`);
}
