/** The demo model in this tab. */
import { useEffect } from 'preact/hooks';
import { begin } from './run.ts';

export function RunSection() {
  useEffect(() => void begin(), []);
  return (
    <section id="run" aria-labelledby="run-title">
      <h2 id="run-title">Run it here</h2>
      <p>Is a mail spam? The demo model answers on this machine's GPU. While one layer computes, the experts of the next come over the network.</p>
      <form>
        <p><label>Mail<br /><textarea name="text" rows={12} cols={80} required /></label></p>
        <p><button type="submit" disabled>Classify</button> <output id="state">starting</output></p>
      </form>
      <p id="problem" role="alert" style={{ whiteSpace: 'pre-wrap' }} hidden />
      <p id="answer" aria-live="polite" />
      <details><summary>Details</summary><pre id="details" /></details>
    </section>
  );
}
