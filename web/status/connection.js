/**
 * Keeps the numbers coming: by server-sent events, by asking again and again where those do not come through, and by trying anew when the server is
 * gone. Events are read by `fetch`, because an EventSource cannot send a key.
 */

const SILENT_MS = 5000;
const POLL_MS = 2000;
/** While asking again and again: so many times until events are tried anew. */
const POLLS = 15;
const RETRY_MS = [500, 1000, 2000, 4000];

const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** An answer that is none of the page's numbers. */
class Refused extends Error {
  constructor(status, code) {
    super(`HTTP ${status}`);
    Object.assign(this, { status, code });
  }
}

async function open(path, { key, signal }) {
  const headers = key === null ? {} : { authorization: `Bearer ${key}` };
  // Without credentials, so that the browser does not ask for a password by itself.
  const response = await fetch(path, { headers, signal, cache: 'no-store', credentials: 'omit' });
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Refused(response.status, body?.error?.code ?? null);
}

/** Takes whole events off the front of a text. @returns the rest, and the events */
export function takeEvents(text) {
  const parts = text.split('\n\n');
  const rest = parts.pop();
  const events = parts.map((part) => {
    const lines = part.split('\n');
    const of = (field) => lines.filter((line) => line.startsWith(`${field}: `)).map((line) => line.slice(field.length + 2)).join('\n');
    return { name: of('event'), data: of('data') };
  });
  return { rest, events };
}

/** Hands on events until the stream ends or is silent for too long. @returns whether there was any */
async function follow(key, tell) {
  const controller = new AbortController();
  const startTimer = () => setTimeout(() => controller.abort(), SILENT_MS);
  let timer = startTimer();
  let heard = false;
  try {
    const response = await open('status/events', { key, signal: controller.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ''; ;) {
      const { value, done } = await reader.read();
      if (done) return heard;
      clearTimeout(timer);
      timer = startTimer();
      const { rest, events } = takeEvents(text + value);
      text = rest;
      for (const { name, data } of events) tell(name, JSON.parse(data), 'events');
      heard ||= events.length > 0;
    }
  } catch (error) {
    if (error instanceof Refused) throw error;
    return heard;
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

/** Asks for the status, and for the timeline when there is a new one. */
async function ask(key, last, tell) {
  const signal = AbortSignal.timeout(SILENT_MS);
  const status = await (await open('status', { key, signal })).json();
  tell('status', status, 'polling');
  if (status.timeline_version !== last) tell('timeline', await (await open('status/timeline', { key, signal })).json(), 'polling');
  return status.timeline_version;
}

async function poll(key, tell) {
  let version = null;
  for (let times = 0; times < POLLS; times++) {
    version = await ask(key, version, tell);
    await wait(POLL_MS);
  }
}

/**
 * Runs for ever.
 * @param tell called with `status` or `timeline`, the data, and how it came
 * @param trouble called with `starting`, `lost` or `key`; for `key` it resolves to the key that its user gave
 */
export async function connect({ key: first, tell, trouble }) {
  let key = first;
  let failures = 0;
  const told = (...what) => {
    failures = 0;
    tell(...what);
  };
  for (;;) {
    try {
      // Events that came and ended: the server went down or the connection broke, so that it is tried anew. None at all: something holds them back.
      if (await follow(key, told)) trouble('lost');
      else await poll(key, told);
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        key = await trouble('key');
        continue;
      }
      trouble(error instanceof Refused && error.code === 'starting' ? 'starting' : 'lost');
    }
    await wait(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  }
}
