/** Mouse, pen and fingers on a canvas: hovering tells of a bar, dragging pans, wheel and two fingers zoom. */
import { hitTest } from './bars.js';

/** Wheel steps of one browser are pixels, of another lines. */
const PIXELS_A_LINE = 16;
const WHEEL_ZOOM = 1.002;

/** A touch that moves less is a tap. */
const TAP_PIXELS = 5;

/** The bar under a pointer event, or null. */
function barUnder(view, rank, event) {
  const { left, top } = rank.canvas.getBoundingClientRect();
  const { time, usPerPixel } = view.timeAt(rank.canvas, event.clientX - left);
  return hitTest(rank.rows, event.clientY - top, time, 3 * usPerPixel);
}

/**
 * @param tell called with the bar under the pointer (row, lane, index) and where the pointer is, or with null
 */
export function watchPointer(view, rank, tell) {
  const { canvas } = rank;
  const down = new Map(); // pointer -> its last event
  let moved = 0;

  const hover = (event) => tell(barUnder(view, rank, event), { x: event.clientX, y: event.clientY });

  function pinch(event) {
    const other = [...down.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    const before = Math.abs(down.get(event.pointerId).clientX - other.clientX);
    const after = Math.abs(event.clientX - other.clientX);
    const middle = (event.clientX + other.clientX) / 2 - canvas.getBoundingClientRect().left;
    if (before > 8 && after > 8) view.zoom(after / before, view.timeAt(canvas, middle).time);
  }

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    moved = 0;
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = down.get(event.pointerId);
    if (before === undefined) return hover(event);
    const by = event.clientX - before.clientX;
    moved += Math.abs(by);
    if (down.size === 1 && moved > TAP_PIXELS) {
      canvas.classList.add('dragged');
      tell(null);
      view.pan(-by / canvas.clientWidth);
    } else if (down.size === 2) {
      pinch(event);
    }
    down.set(event.pointerId, event);
  });
  for (const over of ['pointerup', 'pointercancel']) {
    canvas.addEventListener(over, (event) => {
      if (!down.delete(event.pointerId)) return;
      canvas.classList.remove('dragged');
      if (over === 'pointerup' && moved <= TAP_PIXELS) hover(event);
    });
  }
  canvas.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && tell(null));
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? PIXELS_A_LINE : 1;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return view.pan(event.deltaX * pixels / canvas.clientWidth);
    const x = event.clientX - canvas.getBoundingClientRect().left;
    view.zoom(WHEEL_ZOOM ** (-event.deltaY * pixels * (event.ctrlKey ? 4 : 1)), view.timeAt(canvas, x).time);
  }, { passive: false });
}
