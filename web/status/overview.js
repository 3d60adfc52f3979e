/** What is said of the server as a whole. */
import { countText, durationText, fillText, flopsText, percentilesText, rateText, shareText } from './numbers.js';

const STATES = { ready: 'ready', degraded: 'degraded', draining: 'shutting down' };

/** Text of every `data-key` of the overview. */
export function overviewTexts({ model, now_ms: nowMs, started_ms: startedMs, state, scheduler, saturation, queue, counts, recent, engines }) {
  const ready = engines.filter((engine) => engine.state === 'ready').length;
  return {
    model: model.id,
    shape: `${model.layers} layers, ${model.moe_layers} of them MoE with ${model.experts} experts, ${model.experts_per_token} a token; prompts of at most ${countText(model.max_prompt_tokens)} tokens`,
    state: STATES[state] ?? state,
    ranks: `${ready} of ${engines.length} ready`,
    uptime: durationText(nowMs - startedMs),
    scheduler,
    threshold: flopsText(saturation.threshold_flops),
    arithmetic: saturation.arithmetic,
    waiting: countText(queue.waiting),
    'under-way': countText(queue.under_way),
    'requests-rate': `${rateText(recent.requests_per_second)}/s`,
    'tokens-rate': `${rateText(recent.tokens_per_second)}/s`,
    'hit-rate': shareText(recent.hit_rate),
    fill: fillText(recent.fill),
    exposed: shareText(recent.exposed),
    mfu: shareText(recent.mfu),
    latency: percentilesText(recent.latency_ms),
    queued: percentilesText(recent.queued_ms),
    compute: percentilesText(recent.compute_ms),
    answered: countText(counts.answered),
    failed: countText(counts.failed),
    rejected: countText(counts.rejected),
    cancelled: countText(counts.cancelled),
    retried: countText(counts.retried),
    window: recent.seconds >= 60 ? 'last minute' : `last ${Math.round(recent.seconds)} s`,
  };
}

/** Writes a text only where it is another one, so that a screen reader and a selection are left in peace. */
export function setText(one, text) {
  if (one.textContent !== text) one.textContent = text;
}

export function showOverview(holder, status) {
  const texts = overviewTexts(status);
  for (const one of holder.querySelectorAll('[data-key]')) setText(one, texts[one.dataset.key] ?? '');
  holder.querySelector('[data-key="state"]').dataset.state = status.state;
}
