/** One run of `bench:scale`, in a process of its own: `scale-child.ts speed|study SPEC` prints what it found as JSON. */
import { runSpeed, type SpeedResult } from './scale-speed.ts';
import { runStudy, type StudyResult } from './scale-study.ts';
import { specSchema, type Measured, type RunKind } from './scale-spec.ts';

const [kind, spec = ''] = process.argv.slice(2) as [RunKind, string?];
const parsed = specSchema.parse(JSON.parse(spec));
const [start, cpuStart] = [performance.now(), process.cpuUsage()];
const result: SpeedResult | StudyResult = kind === 'speed' ? runSpeed(parsed) : runStudy(parsed);
const { user, system } = process.cpuUsage(cpuStart);
const measured: Measured = { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6, peakBytes: process.resourceUsage().maxRSS * 1024 };
process.stdout.write(JSON.stringify({ ...result, ...measured }));
