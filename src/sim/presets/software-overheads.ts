/**
 * Overheads of ranks on a software adapter (lavapipe on two cores), as `npm run bench:calibration` fitted them; bench/results/calibration.txt. The jitter is left out: it is that of the moment, and
 * a prediction should be the same at any.
 */
import type { Overheads } from '../overheads.ts';

export const SOFTWARE_OVERHEADS: Overheads = { layerMs: 3.18, exchangeMs: 1.09, messageMs: 0.625, copyBytesPerSecond: 3.55e9, noticeMs: 6.17 };
