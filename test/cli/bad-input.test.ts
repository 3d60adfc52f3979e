import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURE, run, scratch, tinyTextModel } from './run.ts';

const { folder, file } = scratch();
const config = JSON.parse(readFileSync(join(FIXTURE, 'config.json'), 'utf8')) as Record<string, unknown>;

mkdirSync(join(folder, 'texts'));
const TEXTS = tinyTextModel(join(folder, 'texts'), { ...config, vocab_size: 4096, max_position_embeddings: 64 });
const classify = (...args: string[]) => run('classify', '--model', TEXTS, '--random-weights', '1', '--labels', 'spam,ham', ...args);
const logits = (text: string, ...args: string[]) => run('logits', '--model', FIXTURE, '--input', file('tokens.jsonl', text), ...args);

/** A copy of the fixture with something broken. */
function broken(name: string, change: (model: string) => void): string {
  const model = join(folder, name);
  cpSync(FIXTURE, model, { recursive: true });
  change(model);
  return model;
}

describe('records', () => {
  it.each([
    ['empty.txt', '', '$F: is empty; expected text or JSON lines'],
    ['latin.txt', Uint8Array.of(0x66, 0xfc, 0x72), '$F: is not UTF-8 text'],
    ['blank.jsonl', '{"text":"a"}\n\n{"text":"  "}', '$F: line 3: text: expected a non-empty string'],
    ['number.jsonl', '{"text":17}', '$F: line 1: text: expected a non-empty string'],
    ['none.jsonl', '{"text":"a"}\n{"body":"b"}', '$F: line 2: text: expected a non-empty string'],
    ['list.jsonl', '{"text":"a"}\n7', '$F: line 2: expected a JSON object'],
    ['id.jsonl', '{"text":"a","id":true}', '$F: line 1: id: expected a string or a number'],
    ['twice.jsonl', '{"text":"a","id":"x"}\n{"text":"b","id":"x"}', '$F: line 2: id: "x" is already the id of $F: line 1; expected every id once'],
    ['array.json', '[{"text":"a"},{"text":""}]', '$F: [1]: text: expected a non-empty string'],
  ])('%s', async (name, text, message) => {
    const path = file(name, text);
    const { exitCode, stderr, stdout } = await classify(path);
    expect(stderr).toBe(`asyncep: ${message.replaceAll('$F', path)}\n`);
    expect([exitCode, stdout]).toEqual([2, '']);
  });

  it('broken JSON names the line and what the parser found', async () => {
    const path = file('broken.jsonl', '{"text":"a"}\n{"text":');
    const { exitCode, stderr } = await classify(path);
    expect(stderr).toContain(`asyncep: ${path}: line 2: is not valid JSON: `);
    expect(exitCode).toBe(2);
  });

  it('a missing file and a folder', async () => {
    expect((await classify('no-such.txt')).stderr).toBe('asyncep: no-such.txt: no such file\n');
    expect((await classify(folder)).stderr).toBe(`asyncep: ${folder}: is a folder; expected a file of text or JSON lines, or - for stdin\n`);
  });

  it('a prompt longer than the model allows', async () => {
    const path = file('long.txt', 'word '.repeat(300));
    const { exitCode, stderr } = await classify(path);
    expect(stderr).toMatch(/long\.txt: text: makes a prompt of \d+ tokens; expected at most 64 \(max_position_embeddings\)/);
    expect(exitCode).toBe(2);
  });

  it('a label of several tokens is named with its tokens', async () => {
    const { exitCode, stderr } = await run('classify', '--model', TEXTS, '--random-weights', '1', '--labels', 'spam,hammer', file('a.txt', 'a'));
    expect(stderr).toBe('asyncep: --labels: hammer: has 2 tokens (" ham", "mer"); expected a label of one token\n');
    expect(exitCode).toBe(2);
  });

  it('a template that cannot be read, or has no use for the text', async () => {
    const path = file('a.txt', 'a');
    expect((await classify('--template', 'none.jinja', path)).stderr).toBe('asyncep: --template: none.jinja: cannot be read; expected a file with a Jinja template\n');
    const template = file('t.jinja', 'Answer:');
    expect((await classify('--template', template, path)).stderr).toContain(`asyncep: ${template}: text: is not used`);
  });

  it('an output in a folder that does not exist', async () => {
    const path = join(folder, 'none', 'out.jsonl');
    expect((await classify('--output', path, file('a.txt', 'a'))).stderr)
      .toBe(`asyncep: --output: ${path}: cannot be written (ENOENT); expected a file in a folder that exists\n`);
    expect((await classify('--trace', path, file('a.txt', 'a'))).stderr)
      .toBe(`asyncep: --trace: ${path}: cannot be written; expected a file in a folder that exists\n`);
  });

  it('rerank without a query, verify without evidence', async () => {
    const model = ['--model', TEXTS, '--random-weights', '1'];
    expect((await run('rerank', ...model, file('a.txt', 'a'))).stderr).toBe('asyncep: rerank: --query: expected either --query or --query-file\n');
    const claims = file('claims.jsonl', '{"claim":"a"}');
    expect((await run('verify', ...model, claims)).stderr).toBe(`asyncep: ${claims}: line 1: evidence: expected a non-empty string\n`);
    expect((await run('verify', ...model, file('a.txt', 'a'))).stderr).toContain('a.txt: line 1: expected a JSON object a line');
  });
});

describe('token lists', () => {
  it.each([
    ['{"id":1}', 'line 1: expected either "tokens" or "text"'],
    ['{"tokens":[1],"text":"a"}', 'line 1: expected either "tokens" or "text"'],
    ['{"tokens":[]}', 'line 1: tokens: expected at least one token id'],
    ['{"tokens":[1,2.5]}', 'line 1: tokens: 1: expected a whole number'],
    ['{"tokens":[1]}\n{"tokens":[-1]}', 'line 2: tokens: 0: expected a token id of 0 or more'],
    ['{"tokens":[1,256]}', 'line 1: tokens[1]: expected a token from 0 to 255, got 256'],
  ])('%s', async (text, message) => {
    const { exitCode, stderr } = await logits(text);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it('candidates outside the vocabulary', async () => {
    expect((await logits('{"tokens":[1]}', '--candidates', '3,256')).stderr).toBe('asyncep: --candidates: 256: expected tokens from 0 to 255\n');
  });

  it('text for a model without a tokenizer', async () => {
    expect((await logits('{"text":"a"}')).stderr).toContain(`${FIXTURE}/tokenizer.json: no such file`);
  });
});

describe('models', () => {
  const ask = async (model: string, ...args: string[]) => run('logits', '--model', model, '--input', file('one.jsonl', '{"tokens":[1]}'), ...args);

  it.each([
    ['no such folder', () => 'no-such', 'no-such: no such folder; expected a Hugging Face model folder'],
    ['broken config.json', () => broken('json', (model) => writeFileSync(join(model, 'config.json'), '{')), 'json/config.json: is not valid JSON'],
    ['another architecture', () => broken('arch', (model) => writeFileSync(join(model, 'config.json'), JSON.stringify({ ...config, model_type: 'llama', architectures: ['LlamaForCausalLM'] }))), 'arch/config.json: '],
  ])('%s is refused before a rank starts', async (_, model, message) => {
    const { exitCode, stderr } = await ask(model());
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it('layers and presets want random weights', async () => {
    expect((await ask(FIXTURE, '--layers', '1')).stderr).toBe('asyncep: --layers: changes the shape of the model; expected --random-weights with it\n');
    expect((await ask('qwen3-30b-a3b')).stderr).toContain('asyncep: --model: qwen3-30b-a3b: is a shape without weights');
    expect((await ask(FIXTURE, '--layers', '9', '--random-weights', '1')).stderr).toBe('asyncep: --layers: 9: expected 1 to 3\n');
  });

  it.each([
    ['missing weights', () => broken('none', (model) => rmSync(join(model, 'model.safetensors'))), 'none: has no weights; expected model.safetensors, or model.safetensors.index.json with its shards'],
    ['truncated weights', () => broken('cut', (model) => truncateSync(join(model, 'model.safetensors'), 5000)), 'cut/model.safetensors: '],
  ])('%s are refused by the ranks, with exit code 2 and no stack', async (_, model, message) => {
    const { exitCode, stderr } = await ask(model());
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(exitCode).toBe(2);
  });

  it('an unknown adapter ends with exit code 3, and more ranks than experts with 2', async () => {
    const unknown = await ask(FIXTURE, '--adapters', 'no-such-card');
    expect(unknown.stderr).toMatch(/^asyncep: no adapter's name contains "no-such-card"; this machine has: ./);
    expect(unknown.exitCode).toBe(3);
    const few = { ...config, num_experts: 2 };
    mkdirSync(join(folder, 'few'));
    writeFileSync(join(folder, 'few/config.json'), JSON.stringify(few));
    const many = await ask(join(folder, 'few'), '--random-weights', '1', '--ranks', '3');
    expect(many.stderr).toMatch(/3.*2 experts/);
    expect(many.exitCode).toBe(2);
  });
});
