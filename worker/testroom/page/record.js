// The panel "Record this room": a job document and the command that runs it.

export const TEMPLATES = [
  '1280x720_30_3420', '1280x720_30_1710', '1280x720_15_2260', '1280x720_15_1130',
  '1920x1080_30_4620', '1920x1080_30_3150', '1920x1080_15_3460', '1920x1080_15_2080',
  '640x480_30_1500', '640x480_30_1000', '640x480_15_500', '480x360_30_490', '480x360_15_320',
  'audio_only',
];

export const LAYOUTS = {
  nine_grids_view: 'Gallery: everybody the same size',
  screen_share_right: 'Shared screen on the right, people beside it',
  screen_share_left: 'Shared screen on the left, people beside it',
  custom: 'Custom: a pane for everybody here now, to edit',
};

const MOST_PANES = 25;

function templateLabel(template) {
  if (template === 'audio_only') return 'Sound only';
  const [size, fps, kbps] = template.split('_');
  return `${size.replace('x', ' × ')}, ${fps} frames/s, ${kbps} kbit/s`;
}

function stagePane(onStage) {
  return onStage
    ? { id: 1, user_id: onStage, video_type: 'CAMERASTREAM', filling_policy: 'FIXED_USER' }
    : { id: 1, user_id: '', video_type: 'SCREENSTREAM', filling_policy: 'SHARED_SCREEN' };
}

function customPanes(userIds) {
  const shown = userIds.slice(0, MOST_PANES);
  const columns = Math.ceil(Math.sqrt(shown.length));
  const rows = Math.ceil(shown.length / columns);
  const part = (index, parts) => Number((index / parts).toFixed(4));
  return shown.map((userId, index) => ({
    id: index + 1,
    user_id: userId,
    video_type: 'CAMERASTREAM',
    x: part(index % columns, columns),
    y: part(Math.floor(index / columns), rows),
    width: part(1, columns),
    height: part(1, rows),
    zorder: 0,
    crop_mode: 'KEEP_RATIO_CROP',
  }));
}

/** The job document for *room* at *url* (WebSocket); *onStage* is a user id or '' (any screen). */
export function jobDocument({ url, room, template, layout, onStage, userIds }) {
  const mix = { room_id: room, encode_template: template, max_idle_time: 30 };
  if (template !== 'audio_only') {
    mix.layout_template = layout;
    if (layout === 'custom') mix.layout_panes = customPanes(userIds);
    if (layout.startsWith('screen_share')) mix.layout_panes = [stagePane(onStage)];
  }
  return {
    room: { kind: 'testroom', url },
    mix_param: mix,
    output: { directory: 'recordings', name: room },
  };
}

/** What to type into a shell; the document comes on standard input, so it is in no process list. */
export function command(document) {
  return `mixworker run - <<'JOB'\n${JSON.stringify(document, null, 2)}\nJOB`;
}

export class RecordPanel {
  #parts;
  #context = null;

  /** *parts*: {panel, layout, onStage, onStageField, template, command, copy, copied}. */
  constructor(parts) {
    this.#parts = parts;
    for (const [value, text] of Object.entries(LAYOUTS)) parts.layout.add(new Option(text, value));
    for (const value of TEMPLATES) parts.template.add(new Option(templateLabel(value), value));
    parts.template.value = '1280x720_30_1710';
    for (const choice of [parts.layout, parts.onStage, parts.template]) {
      choice.addEventListener('change', () => this.#refresh());
    }
    parts.copy.addEventListener('click', () => this.#copy());
  }

  /** Follow who is here: *context* is {url, room, people: [{userId, name}]}. */
  update(context) {
    if (JSON.stringify(context) === JSON.stringify(this.#context)) return;
    this.#context = context;
    const { onStage } = this.#parts;
    const chosen = onStage.value;
    onStage.replaceChildren(
      new Option('Whoever shares a screen', ''),
      ...context.people.map(({ userId, name }) => new Option(`${name}, camera`, userId)),
    );
    onStage.value = chosen;
    if (onStage.selectedIndex < 0) onStage.value = '';
    this.#refresh();
  }

  #refresh() {
    if (!this.#context) return;
    const { layout, onStage, onStageField, template, command: shown, copied } = this.#parts;
    const { url, room, people } = this.#context;
    layout.disabled = template.value === 'audio_only';
    onStageField.hidden = layout.disabled || !layout.value.startsWith('screen_share');
    const document = jobDocument({
      url,
      room,
      template: template.value,
      layout: layout.value,
      onStage: onStage.value,
      userIds: people.map(({ userId }) => userId),
    });
    shown.textContent = command(document);
    copied.textContent = '';
  }

  async #copy() {
    const { command: shown, copied } = this.#parts;
    try {
      await navigator.clipboard.writeText(shown.textContent);
      copied.textContent = 'Copied.';
    } catch {
      getSelection().selectAllChildren(shown);
      copied.textContent = 'The page may not copy. The command is selected: copy it yourself.';
    }
  }
}
