/** The schedule. */
export const ScheduleSection = () => (
  <section id="schedule" aria-labelledby="schedule-title">
    <h2 id="schedule-title">The schedule</h2>
  </section>
);
