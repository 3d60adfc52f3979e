/** Held-out mails with the logits that transformers computes for them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const read = (path: string): string => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');

/** The bytes of one layer's experts in the checkpoint, which here are those of the packed ones: 16 experts, three bf16 matrices of 96 x 128. */
export const LAYER_BYTES = 16 * 3 * 96 * 128 * 2;

export interface MailCase {
  readonly text: string;
  readonly label: 'spam' | 'ham';
  readonly tokens: number;
  /** Of ` spam` and ` ham`. */
  readonly logits: Float32Array;
}

interface Golden {
  readonly labels: { readonly ham: number; readonly spam: number };
  readonly candidates: readonly number[];
  readonly cases: readonly { readonly name: string; readonly tokens: readonly number[]; readonly logits: string }[];
}

/** @param ids as in models/spam-mail/heldout.jsonl; the golden fixture has to have them, too */
export function mailCases(ids: readonly string[]): MailCase[] {
  const mails = read('models/spam-mail/heldout.jsonl').trim().split('\n').map((line) => JSON.parse(line) as { id: string; text: string; label: 'spam' | 'ham' });
  const { labels, candidates, cases } = JSON.parse(read('test/fixtures/spam-mail/cases.json')) as Golden;
  return ids.map((id) => {
    const [mail, golden] = [mails.find((one) => one.id === id), cases.find(({ name }) => name === id)];
    if (mail === undefined || golden === undefined) throw new Error(`no mail ${id} among those held out, or in the fixture`);
    const logits = new Float32Array(Uint8Array.from(Buffer.from(golden.logits, 'base64')).buffer);
    const of = (token: number): number => logits[candidates.indexOf(token)] as number;
    return { text: mail.text, label: mail.label, tokens: golden.tokens.length, logits: Float32Array.of(of(labels.spam), of(labels.ham)) };
  });
}
