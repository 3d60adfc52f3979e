/** Canvases that keep up with what they show. */
import { effect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

/**
 * Draws when a signal that is read while drawing changes, or the size of the canvas, or one of `inputs`.
 * @returns for the canvas's `ref`
 */
export function useCanvas(paint: (canvas: HTMLCanvasElement) => void, inputs: readonly unknown[] = []) {
  const ref = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const canvas = ref.current;
    if (canvas === null) return undefined;
    const stop = effect(() => paint(canvas));
    const resized = new ResizeObserver(() => paint(canvas));
    resized.observe(canvas);
    return () => {
      stop();
      resized.disconnect();
    };
  }, [...inputs]);
  return ref;
}
