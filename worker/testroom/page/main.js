// The page: entrance form, header and toolbar around one `Meeting`.

import { Meeting } from './meeting.js';
import { meterPosition } from './meter.js';
import { randomId } from './peer.js';
import { RecordPanel } from './record.js';
import { setSymbol, View } from './view.js';

const LEVELS_EVERY_MS = 100;
const NOTICE_FOR_MS = 12000;
const IDENTIFIER = /^[A-Za-z0-9_-]{1,64}$/;

const at = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const view = new View(at('scene'), at('stage'), at('people'), { soundBlocked });
const recordPanel = new RecordPanel({
  layout: at('layout'),
  onStage: at('onstage'),
  onStageField: at('onstage-field'),
  template: at('template'),
  command: at('command'),
  copy: at('copy'),
  copied: at('copied'),
});
let meeting = null;
let silenced = [];

function signallingUrl(token = '') {
  const url = new URL('ws', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.hash = '';
  url.search = token && `?token=${encodeURIComponent(token)}`;
  return url.href;
}

/** The same person after a reload, another one in another tab. */
function ownUserId(name) {
  const given = asked.get('user') ?? '';
  if (IDENTIFIER.test(given)) return given;
  const [navigation] = performance.getEntriesByType('navigation');
  const kept = sessionStorage.getItem('user-suffix');
  const suffix = navigation?.type === 'reload' && kept ? kept : randomId(2);
  sessionStorage.setItem('user-suffix', suffix);
  const ascii = name.normalize('NFKD').replace(/\p{M}/gu, '').replace(/[^A-Za-z0-9]+/g, '-');
  return `${ascii.replace(/^-|-$/g, '').toLowerCase().slice(0, 48) || 'guest'}-${suffix}`;
}

function notify(text, action = null) {
  const notice = document.createElement('p');
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = action?.label ?? 'Dismiss';
  button.addEventListener('click', () => {
    notice.remove();
    action?.run();
  });
  notice.append(text, button);
  at('notices').append(notice);
  if (!action) setTimeout(() => notice.remove(), NOTICE_FOR_MS);
}

function soundBlocked(retry) {
  silenced.push(retry);
  if (silenced.length > 1) return;
  const run = () => {
    const retries = silenced;
    silenced = [];
    for (const again of retries) again();
  };
  notify('The browser plays no sound before you click.', { label: 'Turn sound on', run });
}

function showProblem(text) {
  at('join-error').textContent = text;
  at('join-error').hidden = !text;
}

function showInside(inside) {
  at('entrance').hidden = inside;
  at('inside').hidden = !inside;
  at('notices').replaceChildren();
  at('connection').textContent = '';
  silenced = [];
  document.title = inside ? `${at('room').value} · mixworker` : 'Test room · mixworker';
}

function showPanel(open) {
  at('record-panel').hidden = !open;
  at('record').setAttribute('aria-expanded', String(open));
  (open ? at('layout') : at('record')).focus();
}

function showSwitch(button, on, title, symbol) {
  button.setAttribute('aria-pressed', String(on));
  button.title = title;
  setSymbol(button, symbol);
}

function show({ roomId, token }) {
  const { persons, recorders } = meeting;
  view.render(persons);
  at('count').textContent = persons.length === 1 ? 'Only you' : `${persons.length} people`;
  const times = recorders > 1 ? ` by ${recorders} recorders` : '';
  at('recording').textContent = recorders ? `Everybody here is being recorded${times}` : '';
  for (const [what, name] of [['microphone', 'mic'], ['camera', 'camera']]) {
    const on = meeting.isOn(what);
    showSwitch(at(what), on, `Turn your ${what} ${on ? 'off' : 'on'}`, on ? name : `${name}-off`);
  }
  const sharing = meeting.isOn('screen');
  const label = sharing ? 'Stop sharing' : 'Share screen';
  showSwitch(at('screen'), sharing, label, 'screen');
  at('screen').querySelector('.label').textContent = label;
  recordPanel.update({
    url: signallingUrl(token),
    room: roomId,
    people: persons.map(({ userId, name }) => ({ userId, name })),
  });
}

function showLevels() {
  for (const [key, level] of meeting.levels()) {
    view.showLevel(key, level);
    if (key === 'own') at('own-level').style.transform = `scaleX(${meterPosition(level)})`;
  }
}

function enter() {
  const name = at('name').value.trim();
  const roomId = at('room').value.trim();
  const token = at('token').value;
  if (!name) {
    showProblem('Please say who you are.');
    at('name').focus();
    return;
  }
  if (!IDENTIFIER.test(roomId)) {
    showProblem('A room is named with letters, digits, - and _ only.');
    at('room').focus();
    return;
  }
  showProblem('');
  showInside(true);
  at('room-name').textContent = roomId;
  meeting = new Meeting({ url: signallingUrl(), roomId, name, userId: ownUserId(name), token });
  const levels = setInterval(showLevels, LEVELS_EVERY_MS);
  meeting.addEventListener('change', () => show({ roomId, token }));
  meeting.addEventListener('notice', ({ detail }) => notify(detail.text));
  meeting.addEventListener('connection', ({ detail }) => {
    at('connection').textContent = detail.text;
  });
  meeting.addEventListener('left', ({ detail }) => {
    clearInterval(levels);
    meeting = null;
    view.render([]);
    at('record-panel').hidden = true;
    showInside(false);
    showProblem(detail.reason);
    at('join').focus();
  });
  show({ roomId, token });
  meeting.start(['camera', 'microphone'].filter((what) => at(`with-${what}`).checked));
}

at('name').value = asked.get('name') ?? '';
at('room').value = asked.get('room') ?? 'demo';
// Behind the # a token stays in the browser: it is in no request and in no server's log.
at('token').value = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
at('join-form').addEventListener('submit', (event) => {
  event.preventDefault();
  enter();
});
for (const what of ['microphone', 'camera', 'screen']) {
  at(what).addEventListener('click', () => meeting.toggle(what));
}
at('leave').addEventListener('click', () => meeting.leave());
at('record').addEventListener('click', () => showPanel(at('record-panel').hidden));
at('record-close').addEventListener('click', () => showPanel(false));
addEventListener('keydown', ({ key }) => {
  if (key === 'Escape' && !at('record-panel').hidden) showPanel(false);
});
addEventListener('pagehide', () => meeting?.leave());

fetch('healthz')
  .then((response) => response.json())
  .then(({ token_required: required }) => {
    at('token-field').hidden = !required;
  })
  .catch(() => showProblem('The server does not answer.'));

if (asked.get('autojoin') === '1' && at('name').value.trim()) enter();
else at(at('name').value ? 'join' : 'name').focus();
