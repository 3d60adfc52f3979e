/** What the parts of a split layer share while one pass is recorded. */
import type { LayerContext } from '../layer.ts';
import type { ExchangeOp } from './exchange.ts';
import type { Incoming, Outgoing, RowMail } from './row-mail.ts';
import type { SplitShape } from './shape.ts';
import type { SplitBuffers } from './workspace.ts';

/** Counts of one pass on one rank. */
export interface SplitCounts {
  /** (row, expert) pairs computed here. */
  expertRows: number;
}

export interface SplitContext extends LayerContext {
  readonly work: SplitBuffers;
  readonly shape: SplitShape;
  readonly counts: SplitCounts;
  /** u32 [E]: the rank that has an expert. */
  readonly owners: GPUBuffer;
  /** The next exchange of the pass; what is recorded afterwards belongs to `layer` again. */
  readonly swap: (op: ExchangeOp, layer: number, outgoing: Outgoing, most: readonly number[]) => Promise<Incoming>;
}

/** Exchanges of one pass, numbered alike on all ranks. */
export function swapper(mail: RowMail, begin: (layer: number) => void, pass: number): SplitContext['swap'] {
  let step = 0;
  return async (op, layer, outgoing, most) => {
    const incoming = await mail.swap({ op, pass, step: step++, layer }, outgoing, most);
    begin(layer);
    return incoming;
  };
}
