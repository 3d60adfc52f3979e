/** The mails that the page offers. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { expect, it } from 'vitest';
import examples from '../../web/learn/sections/run/examples.json' with { type: 'json' };

const FOLDER = 'models/spam-mail';

it('the mails that the page offers are held-out ones, word by word, with the labels that people gave them', () => {
  const heldOut = new Map(readFileSync(`${FOLDER}/heldout.jsonl`, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as { id: string }).map((mail) => [mail.id, mail]));
  expect(examples.map(({ id, text, label }) => ({ id, text, label }))).toEqual(examples.map(({ id }) => heldOut.get(id)));
  expect(new Set(examples.map(({ label }) => label))).toEqual(new Set(['spam', 'ham']));
});

it('the size on the button is that of the files that a tab reads', () => {
  const notRead = new Set(['README.md', 'heldout.jsonl']);
  const bytes = readdirSync(FOLDER).filter((name) => !notRead.has(name)).reduce((sum, name) => sum + statSync(`${FOLDER}/${name}`).size, 0);
  expect(readFileSync('web/learn/sections/run/section.tsx', 'utf8')).toContain(`const MODEL_MB = ${(bytes / 1e6).toFixed(1)};`);
});
