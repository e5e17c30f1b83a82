// One job: the picture as it is now, who is heard, what is delivered, and what can be done.

import { ask, Polling } from './api.js';
import { LayoutEditor } from './editor.js';
import { follow, icon, make, say } from './element.js';
import { Timeline } from './timeline.js';
import {
  bytes,
  clock,
  duration,
  eventName,
  hueOf,
  layoutOf,
  moment,
  reasonOf,
  recordedSeconds,
  seconds,
  stateOf,
} from './words.js';

const EVERY_MS = 1000;

export class JobView {
  title = 'Job';
  #page;
  #jobId;
  #job = null;
  #editor = null;
  #timeline;
  #polling;
  #pictures;
  #parts;

  constructor(page, jobId) {
    this.#page = page;
    this.#jobId = jobId;
    this.#timeline = new Timeline(jobId);
    this.#parts = parts(this.#timeline, {
      edit: () => this.#edit(),
      stop: () => this.#parts.dialog.showModal(),
      reallyStop: () => this.#stop(),
    });
    this.element = this.#parts.element;
    this.#polling = new Polling(() => this.#look(), EVERY_MS);
    this.#pictures = new Polling(() => this.#lookAtPicture(), EVERY_MS);
  }

  close() {
    this.#polling.close();
    this.#pictures.close();
  }

  async #look() {
    await this.#page.attempt(async () => {
      try {
        this.#job = await ask('GET', `jobs/${this.#jobId}`);
      } catch (failure) {
        if (failure.status !== 404) throw failure;
        this.close();
        this.element.replaceChildren(nothing());
        return;
      }
      this.#show(this.#job);
    });
  }

  // A picture takes the place of the one before when it can be shown: nothing flickers.
  async #lookAtPicture() {
    const { picture, stage } = this.#parts;
    const hasPicture = this.#job?.state === 'running' && this.#job.report?.canvas;
    if (hasPicture) {
      const next = new Image();
      next.alt = 'The recording as it looks now';
      next.src = `dashboard/api/jobs/${this.#jobId}/still?at=${Date.now()}`;
      try {
        await next.decode();
        picture.replaceChildren(next);
      } catch {
        return; // none now; the one before is better than none
      }
    } else {
      picture.replaceChildren();
    }
    stage.classList.toggle('live', Boolean(hasPicture));
  }

  async #stop() {
    const done = await this.#page.attempt(() => ask('POST', `jobs/${this.#jobId}/stop`));
    if (done) this.#page.notify('The recording is being stopped.');
    await this.#polling.now();
  }

  #edit() {
    const { stage, edit, editing } = this.#parts;
    if (this.#editor) {
      this.#editor.layer.remove();
      editing.replaceChildren();
      this.#editor = null;
    } else {
      this.#editor = new LayoutEditor({
        page: this.#page,
        job: this.#job,
        applied: () => this.#polling.now(),
      });
      stage.append(this.#editor.layer);
      editing.append(this.#editor.element);
      this.#editor.layer.firstElementChild?.focus();
    }
    stage.classList.toggle('editing', this.#editor !== null);
    edit.setAttribute('aria-expanded', String(this.#editor !== null));
    say(edit.lastChild, this.#editor ? 'Close editor' : 'Edit layout');
  }

  #show(job) {
    const { report } = job;
    const isCustom = job.kind === 'mix' && job.mix_param?.layout_template === 'custom';
    const p = this.#parts;
    this.title = job.room_id;
    document.title = `${job.room_id} · mixworker`;
    say(p.room, job.room_id);
    showState(p, job);
    p.stop.hidden = job.state === 'stopped';
    p.edit.hidden = !isCustom || (job.state !== 'running' && !this.#editor);
    if (this.#editor) this.#editor.follow(job);
    const canvas = report?.canvas ?? sizeOf(job.mix_param);
    p.stage.hidden = !canvas;
    if (canvas) p.stage.style.setProperty('--aspect', canvas.width_px / canvas.height_px);
    showTiles(p.tiles, report);
    if (report) this.#timeline.add(report);
    p.heard.hidden = !report;
    p.outputsCard.hidden = !report?.outputs?.length;
    showOutputs(p.outputs, report?.outputs ?? []);
    p.peopleCard.hidden = !report;
    say(p.peopleCount, String(report?.participants.length ?? 0));
    showPeople(p.people, report);
    showFacts(p.facts, job);
    showEvents(p.events, job.events);
    p.noEvents.hidden = job.events.length > 0;
  }
}

function parts(timeline, { edit, stop, reallyStop }) {
  const p = {
    room: make('h1', {}, '…'),
    state: make('span', { class: 'state' }),
    recorded: make('span', { class: 'recorded' }),
    reason: make('span', { class: 'quiet' }),
    edit: make(
      'button',
      { class: 'plain', type: 'button', 'aria-expanded': 'false', onclick: edit },
      icon('layout'),
      make('span', {}, 'Edit layout'),
    ),
    stop: make('button', { class: 'danger', type: 'button', onclick: stop }, icon('stop'), 'Stop'),
    alerts: make('ul', { class: 'alerts', role: 'alert' }),
    picture: make('div', { class: 'picture' }),
    tiles: make('div', { class: 'tiles', 'aria-hidden': 'true' }),
    editing: make('div'),
    outputs: make('ul', { class: 'outputs' }),
    people: make('ul', { class: 'people' }),
    peopleCount: make('span', { class: 'count' }),
    facts: make('dl', { class: 'facts' }),
    events: make('ol', { class: 'events' }),
    noEvents: make('p', { class: 'quiet' }, 'Nothing yet: files are announced here.'),
  };
  p.edit.hidden = p.stop.hidden = true;
  p.stage = make(
    'figure',
    { class: 'stage' },
    p.picture,
    make('p', { class: 'waiting quiet' }, 'No picture'),
    p.tiles,
  );
  p.heard = card('Who is heard', timeline.element);
  p.outputsCard = card('Outputs', p.outputs);
  p.peopleCard = card('People', p.people);
  p.peopleCard.querySelector('h2').append(p.peopleCount);
  p.dialog = make(
    'dialog',
    { 'aria-labelledby': 'stop-title' },
    make(
      'form',
      { method: 'dialog' },
      make('h2', { id: 'stop-title' }, 'Stop this recording?'),
      make('p', {}, 'Files are finished and delivered. It cannot be continued; a new job can be created.'),
      make(
        'p',
        { class: 'actions' },
        make('button', { class: 'plain', value: 'cancel' }, 'Go on recording'),
        make('button', { class: 'danger', value: 'stop', onclick: reallyStop }, 'Stop recording'),
      ),
    ),
  );
  p.element = make(
    'section',
    { class: 'job' },
    make('a', { class: 'back', href: '#' }, icon('back'), 'Jobs'),
    make(
      'header',
      { class: 'heading' },
      p.room,
      p.state,
      p.recorded,
      p.reason,
      make('div', { class: 'actions' }, p.edit, p.stop),
    ),
    p.alerts,
    make(
      'div',
      { class: 'columns' },
      make('div', {}, p.stage, p.editing, p.heard, card('Events', p.events, p.noEvents)),
      make('div', {}, p.outputsCard, p.peopleCard, card('About', p.facts)),
    ),
    p.dialog,
  );
  return p;
}

function nothing() {
  return make(
    'div',
    { class: 'nothing' },
    icon('empty'),
    make('h1', {}, 'There is no such job'),
    make('p', { class: 'quiet' }, 'It may have been forgotten: ended jobs are kept for a while only.'),
    make('a', { href: '#' }, 'All jobs'),
  );
}

function card(title, ...content) {
  return make('section', { class: 'card' }, make('h2', {}, title), ...content);
}

function showState({ state, recorded, reason, alerts }, job) {
  const { label, tone } = stateOf(job);
  say(state, label);
  state.dataset.tone = tone;
  say(recorded, duration(recordedSeconds(job)));
  say(reason, reasonOf(job));
  const outputs = job.report?.outputs ?? [];
  const texts = new Set([
    ...outputs.filter(({ error }) => error).map(({ name, error }) => `${name}: ${error}`),
    ...(job.report?.warnings ?? []),
  ]);
  // The description sums the same up, for those who have only that.
  if (!texts.size && job.description) texts.add(job.description);
  if (job.failures) texts.add(`The recorder had to be started again ${times(job.failures)}.`);
  if (job.state === 'running' && !job.report) texts.add('The worker is not connected here.');
  const create = () => make('li', {}, icon('warning'), make('span'));
  follow(alerts, [...texts], String, create, (item, text) => say(item.lastChild, text));
}

const times = (count) => (count === 1 ? 'once' : `${count} times`);

/** Size of the picture that a template asks for; null for sound only. */
function sizeOf(mix) {
  const [, width, height] = mix?.encode_template?.match(/^(\d+)[x*X](\d+)_/) ?? [];
  return width ? { width_px: Number(width), height_px: Number(height) } : null;
}

function showTiles(layer, report) {
  const speaking = new Set(report?.speaking);
  const shown = (report?.tiles ?? []).filter((tile) => speaking.has(tile.user_id));
  follow(
    layer,
    shown,
    ({ user_id: userId, source, x, y }) => `${userId}/${source}/${x}/${y}`,
    () => make('div'),
    place,
  );
}

/** Put *element* where *tile*, in fractions of the canvas, is. */
function place(element, { x, y, width, height }) {
  for (const [name, value] of Object.entries({ left: x, top: y, width, height })) {
    element.style.setProperty(name, `${value * 100}%`);
  }
}

function showOutputs(list, outputs) {
  const create = () =>
    make('li', {}, make('b'), make('span', { class: 'chip' }), make('span', { class: 'quiet' }));
  follow(list, outputs, ({ name }) => name, create, (item, output) => {
    const [name, state, rest] = item.children;
    say(name, output.name);
    say(state, output.error ? 'failing' : output.state);
    state.classList.toggle('bad', Boolean(output.error));
    const waiting = output.pending_bytes ? `, ${bytes(output.pending_bytes)} waiting` : '';
    const lag = output.lag_s >= 0.05 ? `, ${seconds(output.lag_s)} behind` : '';
    say(rest, output.error ?? `${bytes(output.bytes)}${waiting}${lag}`);
  });
}

function showPeople(list, report) {
  const speaking = new Set(report?.speaking);
  const create = () => make('li', {}, make('i'), make('span'), make('small', { class: 'quiet' }));
  const people = report?.participants ?? [];
  follow(list, people, ({ user_id: userId }) => userId, create, (item, person) => {
    item.style.setProperty('--hue', hueOf(person.user_id));
    item.classList.toggle('speaking', speaking.has(person.user_id));
    say(item.children[1], person.name);
    say(item.children[2], person.name === person.user_id ? '' : person.user_id);
  });
}

function showFacts(list, job) {
  const { report } = job;
  const facts = [
    ['Layout', layoutOf(job)],
    ['Picture', job.mix_param?.encode_template],
    ['Started', moment(job.started_unix_ms)],
    ['Stopped', job.stopped_unix_ms && moment(job.stopped_unix_ms)],
    ['Layout changed', job.updated_unix_ms > job.created_unix_ms && moment(job.updated_unix_ms)],
    ['Frames', report && `${report.frames}, ${report.late_frames} late`],
    ['Job', job.job_id],
    ['Key', job.unique_id],
    ['Application', job.app_id],
    ['Stream', job.stream_name],
  ].filter(([, value]) => value);
  const create = () => make('div', {}, make('dt'), make('dd'));
  follow(list, facts, ([name]) => name, create, (row, [name, value]) => {
    say(row.firstChild, name);
    say(row.lastChild, value);
  });
}

function showEvents(list, events) {
  const create = () =>
    make('li', {}, make('time'), make('b'), make('span', { class: 'quiet' }), make('span', { class: 'chip' }));
  follow(list, events, ({ event_id: eventId }) => eventId, create, (item, event) => {
    const [time, name, about, sent] = item.children;
    time.dateTime = new Date(event.at_unix_ms).toISOString();
    say(time, clock(event.at_unix_ms));
    say(name, eventName(event.event_type));
    say(about, aboutEvent(event));
    say(sent, sentOf(event));
    sent.classList.toggle('bad', event.was_sent === false);
  });
}

function aboutEvent({ obs_object: key, file_size: size, record_duration: length, ...event }) {
  const facts = [
    key ?? event.record_format,
    length !== undefined && duration(length),
    size !== undefined && bytes(size),
    event.detail_message,
  ];
  return facts.filter(Boolean).join(' · ');
}

function sentOf({ was_sent: wasSent, attempts }) {
  if (wasSent) return 'callback sent';
  if (wasSent === false) return 'callback given up';
  return attempts ? `callback tried ${times(attempts)}` : 'callback due';
}
