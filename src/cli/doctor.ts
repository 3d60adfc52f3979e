/** `asyncep doctor`: what this machine offers, what is missing, and how to get it. */
import type { Command } from 'commander';
import { AdapterError } from '../errors.ts';
import { dumpShaders } from '../node/dump-shaders.ts';
import { examine, type Findings } from '../node/machine.ts';
import { describeFindings } from './doctor-text.ts';

const EXAMPLES = `
Examples:
  $ asyncep doctor
  $ asyncep doctor --json | jq '.adapters[].name'
  $ asyncep doctor --dump-shaders /tmp/wgsl     # the WGSL that the preferred adapter runs

Environment:
  ASYNCEP_PACING=on|off      sleep between turns while the device works (default: on software adapters only)
  ASYNCEP_CACHE_DIR=DIR      tuning results and SwiftShader (default: asyncep in the user's cache folder)
  ASYNCEP_SWIFTSHADER=FILE   its vk_swiftshader_icd.json, or off to hide it
  VK_DRIVER_FILES=A:B        Vulkan drivers to look at instead of the system's

Exit code 3 when no adapter can be used.`;

interface DoctorOptions {
  readonly json?: true;
  readonly dumpShaders?: string;
}

/** Adds the command to the program. */
export function addDoctor(program: Command): void {
  program.command('doctor')
    .description('show adapters, shared memory and versions, and what is missing')
    .option('--json', 'print the findings as one JSON object')
    .option('--dump-shaders <dir>', 'write every kernel as the preferred adapter gets it')
    .addHelpText('after', EXAMPLES)
    .action(doctor);
}

async function doctor(options: DoctorOptions): Promise<void> {
  const findings = await examine();
  process.stdout.write(options.json ? `${JSON.stringify(findings, null, 2)}\n` : describeFindings(findings));
  failWithoutAdapter(findings);
  if (options.dumpShaders === undefined) return;
  const files = await dumpShaders(options.dumpShaders);
  process.stderr.write(`wrote ${files.length} kernels to ${options.dumpShaders}\n`);
}

function failWithoutAdapter({ adapters }: Findings): void {
  if (adapters.some(({ problem }) => problem === undefined)) return;
  throw new AdapterError('no adapter can be used; see "missing" above');
}
