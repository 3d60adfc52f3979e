/** A tour. */
export const TourSection = () => (
  <section id="tour" aria-labelledby="tour-title">
    <h2 id="tour-title">A tour</h2>
  </section>
);
