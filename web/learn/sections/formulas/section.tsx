/** The formulas, with your numbers. */
export const FormulasSection = () => (
  <section id="formulas" aria-labelledby="formulas-title">
    <h2 id="formulas-title">The formulas, with your numbers</h2>
  </section>
);
