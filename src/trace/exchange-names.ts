/** What bars of exchanges of rows are called, in real timelines and in simulated ones: followed by the layer, or by the pass where whole passes travel. */
export const EXCHANGE_NAMES = {
  'all-gather': 'gather rows of', 'reduce-scatter': 'reduce rows of', dispatch: 'dispatch', combine: 'combine', stage: 'rows of',
} as const;

export type ExchangeKind = keyof typeof EXCHANGE_NAMES;
