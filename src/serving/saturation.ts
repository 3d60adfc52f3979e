/** The saturation threshold (paper section 5): how much work a batch must have so that its compute hides the gathers of its layers. */

export type SaturationMode = 'peak' | 'measured' | { readonly flopsPerSecond: number };

export interface Saturation {
  /** t_EP: milliseconds of the slowest gather of a layer, measured at start on the real transport; 0 where nothing is gathered. */
  readonly gatherMs: number;
  readonly moeLayers: number;
  /** F in FLOP/s, and what it is. */
  readonly flopsPerSecond: number;
  readonly rate: 'peak' | 'measured' | 'given';
  readonly gamma: number;
  /** T_batch = moeLayers * t_EP * F * gamma, FLOPs. */
  readonly threshold: number;
  /** The formula with its numbers, a line to print. */
  readonly arithmetic: string;
}
