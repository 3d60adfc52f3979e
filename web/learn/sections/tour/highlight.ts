/** Shows the part of the page that a step is about. */

/** Pixels around it. */
const MARGIN = 12;

const calmly = (): ScrollBehavior => (matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth');

/** Between the top of the window and the panel: in the middle if it fits, else from its beginning. */
function scrollTo(target: Element, panel: Element): void {
  const { top, height } = target.getBoundingClientRect();
  const room = panel.getBoundingClientRect().top;
  window.scrollTo({ top: window.scrollY + top - Math.max(MARGIN, (room - height) / 2), behavior: calmly() });
}

/** Marks and scrolls to `selector`. @returns takes the mark away */
export function highlight(selector: string, panel: Element): () => void {
  const target = document.querySelector(selector);
  if (target === null) return () => undefined;
  target.setAttribute('data-toured', '');
  scrollTo(target, panel);
  return () => target.removeAttribute('data-toured');
}
