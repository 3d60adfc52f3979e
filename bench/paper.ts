/** The paper's figures beside those of the cost model: `npm run bench:paper -- --help`. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { compare } from './paper/predict.ts';
import { comparisonText } from './paper/text.ts';

const { values: flags } = parseArgs({ options: { json: { type: 'string' }, requests: { type: 'string' }, help: { type: 'boolean', default: false } } });
const requests = flags.requests === undefined ? undefined : Number(flags.requests);
if (flags.help || (requests !== undefined && !(Number.isInteger(requests) && requests > 0))) {
  console.log('npm run bench:paper -- [--json FILE] [--requests N]     N of the mixed workload\'s 73,800, for a quick look at the rest');
  process.exit(flags.help ? 0 : 2);
}

const comparison = compare(requests);
console.log(comparisonText(comparison));
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(comparison, null, 2)}\n`);
