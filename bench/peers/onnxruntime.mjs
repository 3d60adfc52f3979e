/**
 * One MatMul (f32, the right operand a constant as a weight is) in onnxruntime: `node onnxruntime.mjs EP M N K`. Says {"firstMs"} when warm; then
 * each line on stdin asks for a sample, answered by {"ms", "cpuMs"} of one run. Which adapter the WebGPU provider finds is
 * decided by VK_DRIVER_FILES.
 */
import { createInterface } from 'node:readline';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { matmulModel } from './onnx-matmul.mjs';

const [provider, ...sizes] = process.argv.slice(2);
const [m, n, k] = sizes.map(Number);
const random = (count) => Float32Array.from({ length: count }, () => 2 * Math.random() - 1);
const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

const start = performance.now();
const session = await InferenceSession.create(matmulModel(m, n, k, random(k * n)), { executionProviders: [provider], logSeverityLevel: 3 });
const feeds = { X: new Tensor('float32', random(m * k), [m, k]) };
await session.run(feeds);
say({ firstMs: performance.now() - start });

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'end') break;
  const cpu = process.cpuUsage();
  const from = performance.now();
  await session.run(feeds);
  const ms = performance.now() - from;
  const { user, system } = process.cpuUsage(cpu);
  say({ ms, cpuMs: (user + system) / 1e3 });
}
process.exit(0);
