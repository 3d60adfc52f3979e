/** A pass without work. */
import type { SlotStream } from '../engine/slot-stream.ts';

/**
 * Goes through all layers of a pass and computes nothing: what a rank without work does where the transport pushes, because its peers'
 * bytes go through it. No other pass may be under way on this stream.
 * @param layers the MoE layers of the stream's geometry
 * @throws what the stream throws when bytes do not come
 */
export async function relayPass(stream: SlotStream, layers: readonly number[], pass: number): Promise<void> {
  stream.begin(pass);
  for (const layer of layers) {
    await stream.ready(layer);
    stream.done(layer);
  }
  stream.end();
}
