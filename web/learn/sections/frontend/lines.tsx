/** Lines over the drawing: from the request in hand to the engine it goes to, and, dashed, to the ones that know more of it and are saturated. */
import { useLayoutEffect, useState } from 'preact/hooks';
import type { RefObject } from 'preact';
import { decisionAt, decisionOf, type Decision } from './decision.ts';
import { lookOf } from './prefixes.ts';
import { atSeconds, happened, playing, run, secondsOf } from './state.ts';

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Places {
  readonly from: Point;
  readonly tanks: readonly Point[];
  /** The engines are below the queue, not beside it. */
  readonly below: boolean;
}

/** A line is seen for so many of the reader's seconds while it plays, and a request flies for so many. */
const [SEEN_SECONDS, FLIGHT_SECONDS] = [0.9, 0.3];

/** Where queue and vessels are on the stage. */
function placesOn(stage: HTMLElement): Places | null {
  const origin = stage.getBoundingClientRect();
  const hand = stage.querySelector('[data-in-hand]')?.getBoundingClientRect();
  if (hand === undefined) return null;
  const boxes = [...stage.querySelectorAll('[data-tank]')].map((tank) => tank.getBoundingClientRect());
  const below = boxes.some(({ left }) => left < hand.right);
  return {
    below,
    from: below ? { x: hand.left - origin.left + hand.width / 2, y: hand.bottom - origin.top } : { x: hand.right - origin.left, y: hand.top - origin.top + hand.height / 2 },
    tanks: boxes.map((box) => ({ x: box.left - origin.left + box.width / 2, y: box.top - origin.top + 6 })),
  };
}

/** Control points of the curve: it leaves the queue sideways (or downwards), and falls into the vessel. */
function curveOf({ from, below }: Places, to: Point): readonly [Point, Point, Point, Point] {
  if (below) return [from, { x: from.x, y: (from.y + to.y) / 2 }, { x: to.x, y: (from.y + to.y) / 2 }, to];
  return [from, { x: (from.x + to.x) / 2, y: from.y }, { x: to.x, y: Math.min(from.y, to.y) - 24 }, to];
}

const pathOf = ([a, b, c, d]: readonly [Point, Point, Point, Point]): string => `M${a.x} ${a.y}C${b.x} ${b.y} ${c.x} ${c.y} ${d.x} ${d.y}`;

/** A point of a Bezier curve. */
function pointAt(curve: readonly [Point, Point, Point, Point], u: number): Point {
  const weights = [(1 - u) ** 3, 3 * u * (1 - u) ** 2, 3 * u * u * (1 - u), u ** 3];
  const along = (of: (point: Point) => number): number => curve.reduce((sum, point, i) => sum + (weights[i] as number) * of(point), 0);
  return { x: along(({ x }) => x), y: along(({ y }) => y) };
}

/** Decisions that are seen now: the last one, or while it plays those of a short while. */
function decisionsSeen(): readonly (Decision & { readonly age: number })[] {
  if (!playing.value) {
    const decision = decisionAt(run.value, happened.value);
    return decision === null ? [] : [{ ...decision, age: 0 }];
  }
  const seen = [];
  for (let moment = happened.value - 1; moment >= 0 && atSeconds.value - secondsOf(moment) < SEEN_SECONDS; moment--) {
    const decision = decisionOf(run.value, moment);
    if (decision !== null) seen.push({ ...decision, age: atSeconds.value - secondsOf(moment) });
  }
  return seen;
}

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

function DecisionLine({ decision, places }: { decision: Decision & { readonly age: number }; places: Places }) {
  const to = places.tanks[decision.engine];
  if (to === undefined) return null;
  const curve = curveOf(places, to);
  const flown = decision.age / FLIGHT_SECONDS;
  const at = pointAt(curve, Math.min(1, flown));
  return (
    <g style={{ ...lookOf(run.value.arrivals[decision.request]?.prefix as number).style, opacity: 1 - decision.age / SEEN_SECONDS }}>
      {decision.wanted.map((engine) => <path key={engine} class="wanted" d={pathOf(curveOf(places, places.tanks[engine] ?? to))} />)}
      <path class="goes" d={pathOf(curve)} />
      <circle class="end" cx={to.x} cy={to.y} r={4} />
      {playing.value && !reducedMotion.matches && flown < 1 && <rect class="flies" x={at.x - 14} y={at.y - 5} width={28} height={10} rx={3} />}
    </g>
  );
}

export function Lines({ stage }: { stage: RefObject<HTMLElement | null> }) {
  const [places, setPlaces] = useState<Places | null>(null);
  useLayoutEffect(() => {
    const element = stage.current;
    if (element === null) return undefined;
    const measure = (): void => setPlaces(placesOn(element));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, [run.value.settings.engines, run.value.settings.scheduler]);
  return (
    <svg class="lines" aria-hidden="true">
      {places !== null && decisionsSeen().map((decision) => <DecisionLine key={decision.moment} decision={decision} places={places} />)}
    </svg>
  );
}
