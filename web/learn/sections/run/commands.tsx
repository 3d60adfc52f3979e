/** Where to go on: commands of the package, as text to copy. */
const COMMANDS: readonly (readonly [command: string, does: string])[] = [
  ['npx asyncep demo --trace demo.json', 'classifies real mails on two ranks of this machine, GPU or not, and writes their timeline for the drawing above'],
  ['npx asyncep plan --model qwen3-235b-a22b --hardware h100-80', 't_EP, T, memory and speed of every strategy for a model and a machine, before it is rented'],
  ['npx asyncep bench strategies --link paper:8xh100-bf16', 'AsyncEP and every other way to share a model in one run, measured'],
  ['npx asyncep bench router', 'the frontend’s schedulers on a workload of 73,800 requests'],
  ['npx asyncep timeline demo.json --html timeline.html', 'a timeline as a page of its own, to zoom and pan in'],
];

export const Commands = () => (
  <>
    <h3>And on your own machine</h3>
    <p>The package behind this page does the same with real models; README.md, section “Commands”, has all of it, and docs/teaching.md a lesson with this page.</p>
    <dl class="commands">{COMMANDS.map(([command, does]) => <div key={command}><dt><code>{command}</code></dt><dd>{does}</dd></div>)}</dl>
  </>
);
