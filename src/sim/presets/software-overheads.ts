/**
 * Overheads of ranks on a software adapter (lavapipe on two cores), as `npm run bench:calibration` fitted them; bench/results/calibration.txt. The jitter is left out: it is that of the moment, and
 * a prediction should be the same at any.
 */
import type { Overheads } from '../overheads.ts';

export const SOFTWARE_OVERHEADS: Overheads = { layerMs: 1.85, exchangeMs: 1.2, messageMs: 1.2, copyBytesPerSecond: 2.09e9, noticeMs: 5 };
