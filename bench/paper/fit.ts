/**
 * The fit, on one configuration: four parameters, four published figures, each parameter found by bisection of the figure that it governs. Nothing
 * is random and nothing is measured, so that it comes out equal every time.
 *
 *     products    MFU of the best regime        attention   MFU of the worst one (128K: five sixths of its FLOPs are attention)
 *     stepTokens  AsyncEP over the best baseline where prompts are short: nothing else tells them apart there
 *     exchange    MFU of TP+TP at 128K
 */
import { bestChunked, predictChunked } from './chunked.ts';
import { machineFor, type Fitted } from './device.ts';
import { FITTED_CONFIGURATION, PUBLISHED, REGIMES } from './published.ts';
import { hiddenMfu, regimeLengths } from './streamed.ts';

const RANKS = 8;
const ROUNDS = 8;

/** The x at which a growing function has a value. */
function bisect(low: number, high: number, target: number, grows: (x: number) => number): number {
  let [least, most] = [low, high];
  for (let i = 0; i < 40; i++) {
    const middle = (least + most) / 2;
    if (grows(middle) < target) least = middle;
    else most = middle;
  }
  return (least + most) / 2;
}

const published = (id: string): number => {
  const found = PUBLISHED.find((figure) => figure.id === id);
  if (found === undefined) throw new Error(`no figure ${id}`);
  return found.high;
};

export function fit(): Fitted {
  const machine = machineFor(FITTED_CONFIGURATION);
  const [short, ultra] = [regimeLengths('short'), regimeLengths('ultra')];
  const mfus = (fitted: Fitted): number[] => REGIMES.map((regime) => hiddenMfu(machine, fitted, RANKS, regime));

  /** Products and attention by turns: each moves the other's figure a little. */
  const rates = (fitted: Fitted, rounds: number): Fitted => {
    if (rounds === 0) return fitted;
    const products = bisect(0.01, 1, published('mfu 8 most') / 100, (share) => Math.max(...mfus({ ...fitted, products: share })));
    const attention = bisect(0.01, 1, published('mfu 8 least') / 100, (share) => Math.min(...mfus({ ...fitted, products, attention: share })));
    return rates({ ...fitted, products, attention }, rounds - 1);
  };

  /** The other three, given the step's tokens. */
  const others = (stepTokens: number): Fitted => {
    const fitted = rates({ products: 0.4, attention: 0.5, stepTokens, exchange: 0.5 }, ROUNDS);
    const tensorParallel = (exchange: number): number => predictChunked({ strategy: 'tp', lengths: ultra, ranks: RANKS, machine, fitted: { ...fitted, exchange } }).mfu;
    return { ...fitted, exchange: bisect(0.01, 1, published('best baseline ultra') / 100, tensorParallel) };
  };

  const speedUp = (stepTokens: number): number => {
    const fitted = others(stepTokens);
    return hiddenMfu(machine, fitted, RANKS, 'short') / bestChunked({ lengths: short, ranks: RANKS, machine, fitted }).mfu;
  };
  return others(bisect(0, 20_000, published('regime short'), speedUp));
}
