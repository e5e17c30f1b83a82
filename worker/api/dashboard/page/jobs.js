// The list of jobs.

import { ask, Polling } from './api.js';
import { follow, icon, make, say } from './element.js';
import { duration, layoutOf, moment, reasonOf, recordedSeconds, seconds, stateOf } from './words.js';

const EVERY_MS = 2000;
const NAMES_SHOWN = 3;
const COLUMNS = ['Room', 'State', 'Recorded', 'People', 'Outputs', 'Started'];

export class JobsView {
  title = 'Jobs';
  #polling;
  #summary = make('p', { class: 'quiet', role: 'status' });
  #rows = make('tbody');
  #table;
  #nothing;

  constructor(page) {
    this.#table = make(
      'table',
      { class: 'jobs' },
      make('thead', {}, make('tr', {}, COLUMNS.map((name) => make('th', { scope: 'col' }, name)))),
      this.#rows,
    );
    this.#nothing = make(
      'div',
      { class: 'nothing' },
      icon('empty'),
      make('h2', {}, 'Nothing has been recorded yet'),
      make('p', { class: 'quiet' }, 'A job that is created with the API shows up here at once.'),
    );
    this.#table.hidden = this.#nothing.hidden = true;
    this.element = make(
      'section',
      {},
      make('header', { class: 'heading' }, make('h1', {}, 'Jobs'), this.#summary),
      this.#table,
      this.#nothing,
    );
    this.#polling = new Polling(
      () => page.attempt(async () => this.#show((await ask('GET', 'jobs')).jobs)),
      EVERY_MS,
    );
  }

  close() {
    this.#polling.close();
  }

  #show(jobs) {
    const running = jobs.filter(({ state }) => state !== 'stopped').length;
    say(this.#summary, jobs.length ? `${running} running, ${jobs.length - running} ended` : '');
    this.#table.hidden = !jobs.length;
    this.#nothing.hidden = Boolean(jobs.length);
    follow(this.#rows, jobs, (job) => job.job_id, createRow, updateRow);
  }
}

function createRow({ job_id: jobId, room_id: roomId }) {
  const cell = (name) => make('td', { class: `its-${name.toLowerCase()}`, 'data-label': name });
  const row = make('tr', {}, COLUMNS.map(cell));
  const [room, state] = row.children;
  room.append(
    make('a', { href: `#job/${jobId}` }, roomId),
    make('small', { class: 'quiet' }),
  );
  state.append(make('span', { class: 'state' }), make('small', { class: 'quiet' }));
  return row;
}

function updateRow(row, job) {
  const [room, state, recorded, people, outputs, started] = row.children;
  const { label, tone } = stateOf(job);
  say(room.lastChild, layoutOf(job));
  say(state.firstChild, label);
  state.firstChild.dataset.tone = tone;
  say(state.lastChild, reasonOf(job));
  say(recorded, duration(recordedSeconds(job)));
  say(people, peopleIn(job));
  people.title = (job.report?.participants ?? []).map(({ name }) => name).join(', ');
  say(started, moment(job.started_unix_ms));
  row.classList.toggle('ended', job.state === 'stopped');
  const told = job.report?.outputs ?? [];
  const chips = [
    ...told.map((output) => ({ key: output.name, bad: Boolean(output.error), text: chipText(output) })),
    ...problemsOf(job),
  ];
  follow(
    outputs,
    chips,
    (chip) => chip.key,
    () => make('span', { class: 'chip' }),
    (element, chip) => {
      say(element, chip.text);
      element.classList.toggle('bad', chip.bad);
    },
  );
}

function chipText({ name, error, state, lag_s: lag }) {
  if (error) return `${name}: ${error}`;
  return lag >= 0.05 ? `${name} ${seconds(lag)} behind` : `${name} ${state}`;
}

function problemsOf({ state, description, report }) {
  const problems = [];
  if (description) problems.push({ key: '!', bad: true, text: description });
  if (state === 'running' && !report) {
    problems.push({ key: '?', bad: false, text: 'The worker is not connected here' });
  }
  return problems;
}

function peopleIn({ report }) {
  const names = report?.participants?.map(({ name }) => name) ?? [];
  if (names.length <= NAMES_SHOWN) return names.join(', ');
  return `${names.slice(0, NAMES_SHOWN - 1).join(', ')} and ${names.length - NAMES_SHOWN + 1} more`;
}
