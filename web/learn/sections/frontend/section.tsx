/** Who computes which request. */
export const FrontendSection = () => (
  <section id="frontend" aria-labelledby="frontend-title">
    <h2 id="frontend-title">Who computes which request</h2>
  </section>
);
