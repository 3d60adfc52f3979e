/** Keeps so much under way and no more: who comes later waits for its turn. */

export interface Gate {
  /** Resolves when there is room, in the order of the calls. Something larger than the whole room goes alone. */
  enter(size?: number): Promise<void>;
  leave(size?: number): void;
}

/** @param room sum of the sizes that may be inside */
export function createGate(room: number): Gate {
  const waiting: { readonly size: number; readonly enter: () => void }[] = [];
  let inside = 0;
  const fits = (size: number): boolean => inside === 0 || inside + size <= room;
  return {
    async enter(size = 1) {
      if (waiting.length > 0 || !fits(size)) return new Promise((enter) => void waiting.push({ size, enter }));
      inside += size;
    },
    leave(size = 1) {
      inside -= size;
      for (let next = waiting[0]; next !== undefined && fits(next.size); next = waiting[0]) {
        waiting.shift();
        inside += next.size;
        next.enter();
      }
    },
  };
}
