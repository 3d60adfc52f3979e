/**
 * Overheads of ranks on a software adapter (lavapipe on two cores), as `npm run bench:calibration` fitted them; bench/results/calibration.txt. The jitter is left out: it is that of the moment, and
 * a prediction should be the same at any.
 */
import type { Overheads } from '../overheads.ts';

export const SOFTWARE_OVERHEADS: Overheads = { layerMs: 5.4, exchangeMs: 0.131, messageMs: 1.44, copyBytesPerSecond: 1.91e9, noticeMs: 6.46 };
