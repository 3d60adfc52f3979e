import { describe, expect, it } from 'vitest';
import { fill } from '../../src/runtime/kernels/experts.ts';
import { f32, type Recorder } from '../../src/runtime/recorder.ts';
import { adapters, useDevice } from './adapters.ts';
import { expectPoison, poisoned, readWords, u32Buffer } from './buffers.ts';

describe.each(adapters)('recorder on $name', (adapter) => {
  const rig = useDevice(adapter);

  it('records more dispatches than its arena has room for, each with its own parameters', async () => {
    const { gpu, recorder } = rig;
    const words = 2500;
    const buffer = poisoned(gpu, (words + 1) * 4);
    for (let i = words; i > 0; i--) fill(gpu, recorder, buffer, i, i);
    recorder.submit();
    const got = await readWords(gpu, buffer);
    // Word i was last written by the fill of i + 1 words.
    expect([...got.subarray(0, words)]).toEqual(Array.from({ length: words }, (_, i) => i + 1));
    expectPoison(got, words, got.length);
  });

  it('gives each submit its own parameters, also when several are under way', async () => {
    const { gpu, recorder } = rig;
    const buffers = Array.from({ length: 8 }, () => poisoned(gpu, 256));
    for (const [i, buffer] of buffers.entries()) {
      fill(gpu, recorder, buffer, 64, i);
      recorder.submit();
    }
    for (const [i, buffer] of buffers.entries()) expect([...(await readWords(gpu, buffer))]).toEqual(Array.from({ length: 64 }, () => i));
  });

  it('keeps the order of dispatches and copies', async () => {
    const { gpu, recorder } = rig;
    const source = poisoned(gpu, 16);
    const target = poisoned(gpu, 32);
    fill(gpu, recorder, source, 4, 1);
    recorder.copy(source, target, 16);
    fill(gpu, recorder, source, 4, 2);
    recorder.copy(source, target, 8, 8, 20);
    recorder.submit();
    const words = await readWords(gpu, target);
    expect([...words.subarray(0, 4), ...words.subarray(5, 7)]).toEqual([1, 1, 1, 1, 2, 2]);
    expectPoison(words, 4, 5);
    expectPoison(words, 7, 8);
  });

  it('binds a part of a buffer', async () => {
    const { gpu, recorder } = rig;
    const buffer = poisoned(gpu, 1024);
    fill(gpu, recorder, { buffer, offset: 256, size: 256 }, 64, 9);
    recorder.submit();
    const words = await readWords(gpu, buffer);
    expect([...words.subarray(64, 128)]).toEqual(Array.from({ length: 64 }, () => 9));
    expectPoison(words, 0, 64);
    expectPoison(words, 128, 256);
  });

  it('leaves out a dispatch of nothing, and a submit of nothing', async () => {
    const { gpu, recorder } = rig;
    const buffer = poisoned(gpu, 16);
    fill(gpu, recorder, buffer, 0, 9);
    recorder.submit();
    recorder.submit();
    expectPoison(await readWords(gpu, buffer), 0, 4);
  });

  it('hands over f32 parameters as f32', async () => {
    const { gpu, recorder } = rig;
    const buffer = u32Buffer(gpu, [0, 0]);
    fillWith(recorder, buffer, 1.5);
    recorder.submit();
    expect(new Float32Array((await readWords(gpu, buffer)).buffer)[0]).toBe(1.5);
  });

  /** The fill kernel copies the bits of its value, so they come back as they were passed. */
  const fillWith = (recorder: Recorder, buffer: GPUBuffer, value: number): void =>
    recorder.dispatch(rig.gpu.pipelines.get('fill', {}), [1, f32(value)], [buffer], 1);
});
