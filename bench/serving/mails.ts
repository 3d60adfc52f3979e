/** What is asked: the held-out mails of the demo model, and the flags of the server that answers. */
import { readFileSync } from 'node:fs';

export const SERVED = ['--model', 'models/spam-mail', '--labels', 'spam,ham', '--template', 'models/spam-mail/template.jinja'] as const;

/** Texts of the first so many mails; all of them again where there are fewer. */
export function readMails(count: number): string[] {
  const texts = readFileSync('models/spam-mail/heldout.jsonl', 'utf8').trim().split('\n').map((line) => (JSON.parse(line) as { text: string }).text);
  return Array.from({ length: count }, (_, i) => texts[i % texts.length]!);
}
