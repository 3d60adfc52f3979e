/** The same batch, shared in other ways. */
export const BaselinesSection = () => (
  <section id="baselines" aria-labelledby="baselines-title">
    <h2 id="baselines-title">The same batch, shared in other ways</h2>
  </section>
);
