import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import OpenAI from 'openai';
import { describe, expect, it, onTestFinished } from 'vitest';
import { programArguments } from '../../src/node/program-arguments.ts';
import { run, scratch } from './run.ts';

const MAIN = programArguments(new URL('../../src/cli/main.ts', import.meta.url).href);

const TASK = ['--model', 'models/spam-mail', '--template', 'models/spam-mail/template.jinja', '--labels', 'spam,ham'];
const readMails = (count: number): { id: string; text: string }[] =>
  readFileSync('models/spam-mail/heldout.jsonl', 'utf8').trim().split('\n').slice(0, count).map((line) => JSON.parse(line));
const MAILS = readMails(24);
const { file } = scratch();

interface Server {
  readonly url: string;
  readonly process: ChildProcess;
  readonly said: () => string;
  readonly ended: Promise<number | null>;
}

/** `asyncep serve` as a process of its own, from the moment at which it listens. */
async function serve(...flags: string[]): Promise<Server> {
  const child = spawn(process.execPath, [...MAIN, 'serve', ...TASK, '--port', '0', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const listening = new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      said += String(chunk);
      const url = /listening on (\S+)\n/.exec(said)?.[1];
      if (url !== undefined) resolve(url);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    void ended.then((code) => reject(new Error(`ended with ${code}: ${said}`)));
  });
  return { url: await listening, process: child, said: () => said, ended };
}

const post = async (url: string, path: string, body: object): Promise<{ status: number; json: any }> => {
  const answer = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { status: answer.status, json: await answer.json() };
};
/** Waits until so many prompts were accepted since the start. */
async function accepts({ url }: Server, count: number): Promise<void> {
  const accepted = async (): Promise<string | undefined> => (await (await fetch(`${url}/metrics`)).text()).match(/^asyncep_accepted_requests_total (\d+)/m)?.[1];
  await expect.poll(accepted, { timeout: 60_000 }).toBe(String(count));
}

const segments = (pid: number): string[] => readdirSync('/dev/shm').filter((name) => name.startsWith('asyncep-') && name.includes(`-${pid}-`));

describe('asyncep serve', { timeout: 180_000 }, () => {
  it('gives the probabilities that asyncep classify gives, to the last bit, and to the openai client as well', async () => {
    const { stdout } = await run('classify', ...TASK, '--json', file('mails.jsonl', MAILS.map((mail) => JSON.stringify(mail)).join('\n')));
    const verdicts = new Map(stdout.trim().split('\n').map((line) => JSON.parse(line)).map((verdict) => [verdict.id, verdict]));
    const { url, process: child, ended, said } = await serve('--ranks', '2', '--max-wait', '20');
    expect(said()).toMatch(/^T = .*4 MoE layers x [\d.]+ ms x [\d.]+ .?FLOP\/s \(peak\) x 1\.2 = /m);
    const answers = await Promise.all(MAILS.map(({ text }) => post(url, '/v1/classify', { input: text })));
    expect(answers.map(({ json: { data: [{ label, probs }] } }) => [label, probs])).toEqual(MAILS.map(({ id }) => {
      const { answer, probabilities } = verdicts.get(id);
      return [answer, [probabilities.spam, probabilities.ham]];
    }));
    // Again, now that the prompts' beginnings are cached.
    const again = await post(url, '/v1/classify', { input: MAILS.map(({ text }) => text) });
    expect(again.json.data.map(({ probs }: any) => probs)).toEqual(answers.map(({ json }) => json.data[0].probs));
    expect(again.json.usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(0);

    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' });
    const prompt = 'Unwanted bulk mail is spam, every other mail is ham.';
    const { choices: [choice] } = await client.completions.create({ model: 'spam-mail', prompt, echo: true, logprobs: 1, max_tokens: 1 });
    const logprobs = choice!.logprobs!.token_logprobs!;
    expect(logprobs).toHaveLength(choice!.logprobs!.tokens!.length);
    expect(logprobs[0]).toBeNull();
    // A token's probability depends on what is before it alone, not on what else is asked.
    const tokens = (await client.completions.create({ model: 'spam-mail', prompt, echo: true, logprobs: 0, max_tokens: 0 })).choices[0]!.logprobs!.token_logprobs!;
    expect(tokens).toEqual(logprobs.slice(0, -1));

    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(said()).toContain('every accepted request was answered');
    expect(segments(child.pid!)).toEqual([]);
  });

  it('answers what it has accepted before a SIGTERM ends it, and ends at once with a second signal', async () => {
    const patient = await serve('--max-wait', '2000', '--saturation', '1e15');
    const accepted = Promise.all(MAILS.slice(0, 4).map(({ text }) => post(patient.url, '/v1/classify', { input: text })));
    await accepts(patient, 4);
    patient.process.kill('SIGTERM');
    expect((await accepted).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(await patient.ended).toBe(0);

    const busy = await serve('--max-wait', '0', '--drain-seconds', '100');
    const cut = post(busy.url, '/v1/classify', { input: readMails(300).map(({ text }) => text), truncate_prompt_tokens: -1 }).catch(() => 'cut');
    await accepts(busy, 300);
    busy.process.kill('SIGINT');
    await expect.poll(busy.said, { timeout: 10_000 }).toContain('shutting down: 1 requests under way have 100 s');
    busy.process.kill('SIGINT');
    expect(await busy.ended).toBe(130);
    expect(await cut).toBe('cut');
    expect(segments(busy.process.pid!)).toEqual([]);
  });
});
