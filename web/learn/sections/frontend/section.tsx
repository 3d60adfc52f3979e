/** Who computes which request: the serving frontend at work. */
import { useEffect } from 'preact/hooks';
import { HowItDecides, WhatAPrefixIs } from './explanation.tsx';
import { FiguresTable, SoFar } from './figures-table.tsx';
import { Playback, Sentences } from './playback.tsx';
import { SchedulerChoice, Sliders } from './sliders.tsx';
import { Legend, Stage } from './stage.tsx';
import { showFirstSpill } from './state.ts';

export function FrontendSection() {
  useEffect(showFirstSpill, []);
  return (
    <section id="frontend" aria-labelledby="frontend-title">
      <h2 id="frontend-title">Who computes which request</h2>
      <WhatAPrefixIs />
      <SchedulerChoice />
      <Playback />
      <Sentences />
      <Stage />
      <Legend />
      <SoFar />
      <Sliders />
      <FiguresTable />
      <HowItDecides />
    </section>
  );
}
