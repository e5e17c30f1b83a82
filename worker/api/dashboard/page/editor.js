// The editor of a custom layout: panes are moved and sized over the live picture, with the mouse,
// with fingers or with keys; the request that will be sent is seen, and can be edited, as JSON.

import { ask, Refusal } from './api.js';
import { follow, make, say } from './element.js';
import { drag, moved, resized } from './geometry.js';
import { hueOf } from './words.js';

const MAX_PANES = 25;
const MAX_ZORDER = 24;
const STEP = 0.01;
const CORNERS = ['nw', 'ne', 'sw', 'se'];
const ARROWS = {
  ArrowLeft: [-STEP, 0],
  ArrowRight: [STEP, 0],
  ArrowUp: [0, -STEP],
  ArrowDown: [0, STEP],
};
const GEOMETRY = ['x', 'y', 'width', 'height'];
const FITS = { KEEP_RATIO_CROP: 'Fill the pane', KEEP_RATIO_PADDING: 'Show all of it' };
const HELP =
  'Drag a pane to move it and its corners to size it; edges snap, unless Alt is held. ' +
  'With the keyboard: Tab to a pane, arrows move, Shift and arrows size, Delete removes.';

export class LayoutEditor {
  /** Lies over the picture. */
  layer = make('div', { class: 'panes' });
  #page;
  #job;
  #applied;
  #mix; // what will be sent as mix_param
  #selected = 0;
  #serverText;
  #form;

  /** *job* is as the server tells it; *applied* is called after the server took a layout. */
  constructor({ page, job, applied }) {
    this.#page = page;
    this.#job = job;
    this.#applied = applied;
    this.#form = form({
      field: (name, value) => this.#change(this.#selected, { [name]: value }),
      text: () => this.#read(),
      add: () => this.#add(),
      remove: () => this.#remove(),
      revert: () => this.#revert(),
      apply: () => this.#apply(),
    });
    this.element = this.#form.element;
    this.#revert();
    this.follow(job);
  }

  /** Take what the server says now; unsaved changes stay. */
  follow(job) {
    const wasEdited = this.#isEdited;
    this.#job = job;
    const isNew = textOf(mixOf(job)) !== this.#serverText;
    if (isNew && !wasEdited) this.#revert();
    else if (isNew) this.#say('The layout was changed elsewhere. Revert shows how it is now.');
    const people = job.report?.participants ?? [];
    follow(
      this.#form.users,
      people,
      ({ user_id: userId }) => userId,
      () => make('option'),
      (option, { user_id: userId, name }) => {
        option.value = userId;
        say(option, name);
      },
    );
    this.#allow();
  }

  get #isEdited() {
    return textOf(this.#mix) !== this.#serverText;
  }

  get #panes() {
    return this.#mix.layout_panes;
  }

  #revert() {
    this.#mix = mixOf(this.#job);
    this.#serverText = textOf(this.#mix);
    this.#selected = Math.min(this.#selected, Math.max(this.#panes.length - 1, 0));
    this.#say('');
    this.#show();
  }

  #change(index, changes) {
    if (!this.#panes[index]) return;
    const panes = this.#panes.map((pane, at) => (at === index ? { ...pane, ...changes } : pane));
    this.#mix = { ...this.#mix, layout_panes: panes };
    this.#show();
  }

  #add() {
    const ids = new Set(this.#panes.map(({ id }) => id));
    const taken = new Set(this.#panes.map(({ user_id: userId }) => userId));
    const people = this.#job.report?.participants ?? [];
    const next = people.find(({ user_id: userId }) => !taken.has(userId));
    let id = 1;
    while (ids.has(id)) id += 1;
    const pane = {
      id,
      user_id: next?.user_id ?? '',
      video_type: 'CAMERASTREAM',
      x: 0.35,
      y: 0.35,
      width: 0.3,
      height: 0.3,
      zorder: Math.min(Math.max(-1, ...this.#panes.map(({ zorder }) => zorder ?? 0)) + 1, MAX_ZORDER),
      crop_mode: 'KEEP_RATIO_CROP',
    };
    this.#mix = { ...this.#mix, layout_panes: [...this.#panes, pane] };
    this.#selected = this.#panes.length - 1;
    this.#show();
    this.#form.fields.user_id.focus();
  }

  #remove() {
    const panes = this.#panes.filter((_, index) => index !== this.#selected);
    this.#mix = { ...this.#mix, layout_panes: panes };
    this.#selected = Math.max(Math.min(this.#selected, panes.length - 1), 0);
    this.#show();
    (this.layer.children[this.#selected] ?? this.#form.add).focus();
  }

  /** The text was edited: show what it says, or why it cannot be shown. */
  #read() {
    const { text, problem } = this.#form;
    try {
      this.#mix = readMix(text.value);
    } catch (error) {
      text.setAttribute('aria-invalid', 'true');
      say(problem, `This cannot be shown: ${error.message}`);
      this.#allow();
      return;
    }
    this.#selected = Math.min(this.#selected, Math.max(this.#panes.length - 1, 0));
    this.#show({ keepText: true });
  }

  async #apply() {
    const path = `apps/${this.#job.app_id}/jobs/${this.#job.job_id}/layout`;
    this.#form.apply.disabled = true;
    try {
      const { mix_param: mix } = await ask('PUT', path, { mix_param: this.#mix });
      this.#job = { ...this.#job, mix_param: mix };
      this.#revert();
      this.#say('Applied: the recording follows within a second.');
      this.#applied();
    } catch (failure) {
      if (failure instanceof Refusal && failure.status === 400) {
        say(this.#form.problem, failure.message);
        this.#allow();
      } else {
        await this.#page.attempt(() => {
          throw failure;
        });
      }
    }
  }

  /** Whether there is something to apply, and anybody to apply it. */
  #allow() {
    const { text, apply } = this.#form;
    const isRead = !text.hasAttribute('aria-invalid');
    apply.disabled = !isRead || !this.#isEdited || this.#job.state !== 'running';
  }

  #say(text) {
    say(this.#form.status, text);
  }

  #show({ keepText = false } = {}) {
    const { text, fields, fieldset, remove, add, problem } = this.#form;
    if (!keepText) text.value = textOf(this.#mix);
    text.removeAttribute('aria-invalid');
    say(problem, '');
    follow(
      this.layer,
      this.#panes.map((pane, index) => ({ pane, index })),
      ({ index }) => index,
      ({ index }) => this.#createPane(index),
      (element, { pane, index }) => showPane(element, pane, index === this.#selected),
    );
    const selected = this.#panes[this.#selected];
    fieldset.disabled = !selected;
    for (const [name, field] of Object.entries(fields)) {
      const value = String(selected?.[name] ?? '');
      if (field !== document.activeElement && field.value !== value) field.value = value;
    }
    remove.disabled = !selected;
    add.disabled = this.#panes.length >= MAX_PANES;
    this.#allow();
    if (this.#isEdited) this.#say('Not applied yet.');
  }

  #createPane(index) {
    const label = make('span', { class: 'label' });
    const handles = CORNERS.map((corner) => make('i', { class: `handle ${corner}`, 'data-corner': corner }));
    const element = make('div', { class: 'pane', role: 'group', tabindex: '0' }, label, handles);
    element.addEventListener('focus', () => this.#select(index));
    element.addEventListener('keydown', (event) => this.#key(event, index));
    element.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      element.focus();
      const others = this.#panes.filter((_, at) => at !== index);
      drag(event, {
        element,
        canvas: this.layer.getBoundingClientRect(),
        pane: this.#panes[index],
        others,
        changed: (geometry) => this.#change(index, geometry),
      });
    });
    return element;
  }

  #select(index) {
    if (this.#selected === index) return;
    this.#selected = index;
    this.#show();
  }

  #key(event, index) {
    const step = ARROWS[event.key];
    if (step) {
      event.preventDefault();
      const change = event.shiftKey ? resized : moved;
      this.#change(index, change(this.#panes[index], ...step));
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      event.preventDefault();
      this.#remove();
    }
  }
}

function showPane(element, pane, isSelected) {
  const percent = (value) => `${Math.round(value * 1000) / 10} %`;
  const { x, y, width, height, zorder = 0 } = pane;
  const places = { left: x, top: y, width, height };
  for (const [name, value] of Object.entries(places)) {
    element.style.setProperty(name, `${value * 100}%`);
  }
  element.style.setProperty('--hue', hueOf(pane.user_id));
  element.style.setProperty('z-index', String(zorder));
  element.classList.toggle('selected', isSelected);
  const who = (pane.user_id || 'nobody') + (pane.video_type === 'SCREENSTREAM' ? ', screen' : '');
  say(element.firstChild, who);
  element.setAttribute(
    'aria-label',
    `Pane of ${who}: ${percent(x)} from the left, ${percent(y)} from the top, ` +
      `${percent(width)} wide, ${percent(height)} high`,
  );
}

function form({ field, text, add, remove, revert, apply }) {
  const users = make('datalist', { id: 'users' });
  const onText = (name) => ({ oninput: (event) => field(name, event.target.value) });
  const onNumber = (name) => ({
    oninput: ({ target }) => target.validity.valid && target.value && field(name, Number(target.value)),
  });
  const choice = (name, options) =>
    make(
      'select',
      onText(name),
      Object.entries(options).map(([value, label]) => make('option', { value }, label)),
    );
  const extent = { type: 'number', min: 0, max: 1, step: 'any' };
  const fields = {
    user_id: make('input', { list: 'users', maxlength: 64, ...onText('user_id') }),
    video_type: choice('video_type', { CAMERASTREAM: 'Camera', SCREENSTREAM: 'Screen' }),
    ...Object.fromEntries(GEOMETRY.map((name) => [name, make('input', { ...extent, ...onNumber(name) })])),
    zorder: make('input', { type: 'number', min: 0, max: MAX_ZORDER, step: 1, ...onNumber('zorder') }),
    crop_mode: choice('crop_mode', FITS),
  };
  const labels = {
    user_id: 'User',
    video_type: 'Shows',
    x: 'Left',
    y: 'Top',
    width: 'Width',
    height: 'Height',
    zorder: 'Stacking',
    crop_mode: 'Fit',
  };
  const button = (name, label, onclick) => make('button', { class: name, type: 'button', onclick }, label);
  const f = {
    users,
    fields,
    text: make('textarea', { spellcheck: 'false', rows: 12, 'aria-label': 'Request as JSON', oninput: text }),
    problem: make('p', { class: 'problem', role: 'alert' }),
    status: make('p', { class: 'quiet', role: 'status' }),
    add: button('plain', 'Add pane', add),
    remove: button('plain', 'Remove pane', remove),
    apply: button('primary', 'Apply layout', apply),
  };
  f.fieldset = make(
    'fieldset',
    { class: 'fields' },
    make('legend', {}, 'Selected pane'),
    Object.entries(fields).map(([name, input]) => make('label', { class: 'field' }, labels[name], input)),
  );
  f.element = make(
    'section',
    { class: 'card editor' },
    make('h2', {}, 'Layout'),
    make('p', { class: 'quiet' }, HELP),
    make('p', { class: 'actions' }, f.add, f.remove),
    make('div', { class: 'halves' }, f.fieldset, make('label', { class: 'field' }, 'Update request', f.text)),
    f.problem,
    make('p', { class: 'actions' }, f.apply, button('plain', 'Revert', revert), f.status),
    users,
  );
  return f;
}

/** What an update of *job* would send to leave everything as it is. */
function mixOf(job) {
  return { layout_panes: (job.mix_param?.layout_panes ?? []).map((pane) => ({ ...pane })) };
}

/** The body of the update, one pane a line. */
function textOf({ layout_panes: panes, ...rest }) {
  const entries = (value) =>
    Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}: ${JSON.stringify(member)}`);
  const lines = panes.map((pane) => `      {${entries(pane).join(', ')}}`).join(',\n');
  const list = panes.length ? `[\n${lines}\n    ]` : '[]';
  const members = [`"layout_panes": ${list}`, ...entries(rest)];
  return `{\n  "mix_param": {\n    ${members.join(',\n    ')}\n  }\n}`;
}

/** What *text* says; throws an Error in words. What else is wrong the server will say. */
function readMix(text) {
  const mix = JSON.parse(text)?.mix_param;
  if (!Array.isArray(mix?.layout_panes)) throw new Error('mix_param.layout_panes must be a list');
  mix.layout_panes.forEach((pane, index) => {
    const bad = GEOMETRY.find((name) => typeof pane?.[name] !== 'number');
    if (bad) throw new Error(`mix_param.layout_panes[${index}].${bad} must be a number`);
    if (typeof pane.user_id !== 'string') {
      throw new Error(`mix_param.layout_panes[${index}].user_id must be text`);
    }
  });
  return mix;
}
