/** Puts the page together: numbers come from `/status/events`, see connection.js. */
import { connect } from './connection.js';
import { createLanes } from './lanes.js';
import { setText, showOverview } from './overview.js';
import { showPasses } from './passes.js';
import { rankTrouble, showRanks } from './ranks.js';

const byId = (id) => document.getElementById(id);
const KEY = 'asyncep-key';
const showTimeline = createLanes({ holder: byId('lanes'), axis: byId('axis'), legend: byId('legend'), tooltip: byId('tooltip') });
const pause = byId('pause');
let waitingTimeline = null;

const HOW = { events: 'live', polling: 'live, asked every 2 s' };
const TROUBLE = {
  starting: 'The server is loading its model. This page shows it as soon as it is there.',
  lost: 'The server does not answer. Trying again; the numbers below are the last ones.',
  key: 'The server wants its key.',
};

/** Above everything; read out when it changes. */
function showAlert(text) {
  setText(byId('alert'), text);
  byId('alert').hidden = text === '';
}

function showStatus(status, how) {
  document.body.dataset.connection = how;
  setText(byId('connection'), HOW[how]);
  document.title = `${status.state === 'ready' ? '' : `${status.state}: `}${status.model.id} - asyncep`;
  showAlert(status.state === 'draining' ? 'The server is shutting down: it finishes what it has.' : rankTrouble(status));
  byId('content').hidden = false;
  showOverview(document, status);
  showRanks(byId('ranks'), status);
  showPasses({ picture: byId('fills'), table: byId('passes') }, status);
}

function tell(name, data, how) {
  if (name === 'status') return showStatus(data, how);
  if (pause.getAttribute('aria-pressed') === 'true') waitingTimeline = data;
  else showTimeline(data);
}

pause.addEventListener('click', () => {
  const paused = pause.getAttribute('aria-pressed') !== 'true';
  pause.setAttribute('aria-pressed', String(paused));
  if (!paused && waitingTimeline !== null) showTimeline(waitingTimeline);
  waitingTimeline = null;
});

/** @returns the key that is typed in */
function askForKey() {
  const [form, input] = [byId('key-form'), byId('key')];
  setText(byId('key-wrong'), sessionStorage.getItem(KEY) === null ? '' : 'That was not the key of this server.');
  form.hidden = false;
  input.focus();
  return new Promise((resolve) => {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, input.value);
      [input.value, form.hidden] = ['', true];
      resolve(sessionStorage.getItem(KEY));
    }, { once: true });
  });
}

connect({
  key: sessionStorage.getItem(KEY),
  tell,
  trouble(kind) {
    document.body.dataset.connection = kind;
    setText(byId('connection'), 'not connected');
    showAlert(TROUBLE[kind]);
    return kind === 'key' ? askForKey() : undefined;
  },
});
