/** The order of the page. */
import { BaselinesSection } from './sections/baselines/section.tsx';
import { FormulasSection } from './sections/formulas/section.tsx';
import { FrontendSection } from './sections/frontend/section.tsx';
import { RunSection } from './sections/run/section.tsx';
import { ScheduleSection } from './sections/schedule/section.tsx';
import { TourSection } from './sections/tour/section.tsx';
import { TraceSection } from './sections/trace/section.tsx';

export const Page = () => (
  <>
    <header>
      <h1>AsyncEP: mixture-of-experts prefill, seen from inside</h1>
    </header>
    <main>
      <TourSection />
      <ScheduleSection />
      <TraceSection />
      <BaselinesSection />
      <FormulasSection />
      <FrontendSection />
      <RunSection />
    </main>
  </>
);
