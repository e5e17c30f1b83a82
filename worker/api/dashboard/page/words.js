// Numbers and states in words.

const FAILURES = new Set(['internal_error', 'room_lost', 'room_refused']);
const REASONS = {
  tenant_stop: 'Stopped on request',
  max_idle: 'The room was empty',
  max_duration: 'The longest duration was reached',
  signal: 'Stopped by the operator',
  room_lost: 'The room went away',
  room_refused: 'The room refused the recorder',
  internal_error: 'The recorder failed',
};
const LAYOUTS = {
  nine_grids_view: 'Gallery',
  screen_share_left: 'Stage left',
  screen_share_right: 'Stage right',
  custom: 'Custom',
};
const EVENTS = {
  RECORD_NEW_FILE_START: 'File started',
  RECORD_FILE_COMPLETE: 'File complete',
  CLOUD_RECORD_SERVER_OVER: 'Recording over',
  CLOUD_RECORD_OVER: 'Recording over',
};
const MOMENT = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'];

/** {label, tone}: tone is good, busy, quiet or bad. */
export function stateOf({ state, reason, is_over: isOver }) {
  if (state === 'init') return { label: 'Starting', tone: 'busy' };
  if (state === 'running') return { label: 'Recording', tone: 'good' };
  if (FAILURES.has(reason)) return { label: 'Failed', tone: 'bad' };
  return isOver ? { label: 'Ended', tone: 'quiet' } : { label: 'Finishing', tone: 'busy' };
}

export const reasonOf = ({ reason }) => REASONS[reason] ?? '';
export const eventName = (type) => EVENTS[type] ?? String(type ?? 'Event');
export const moment = (unixMs) => MOMENT.format(unixMs);
export const clock = (unixMs) => CLOCK.format(unixMs);

/** Which layout, or who of an individual job. */
export function layoutOf({ kind, mix_param: mix, user_id: userId }) {
  if (kind === 'individual') return `Only ${userId}`;
  return LAYOUTS[mix?.layout_template] ?? 'Sound only';
}

/** 1:02:03, or 2:03. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours, minutes, rest] = parts.map((part) => String(part).padStart(2, '0'));
  return parts[0] ? `${parts[0]}:${minutes}:${rest}` : `${parts[1]}:${rest}`;
}

/** How long a job has recorded, s. */
export function recordedSeconds({ report, started_unix_ms: from, stopped_unix_ms: to, state }) {
  if (report) return report.recorded_s ?? 0;
  if (state === 'init') return 0;
  return ((to ?? Date.now()) - from) / 1000;
}

export function bytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

export function seconds(value) {
  return value < 10 ? `${value.toFixed(1)} s` : duration(value);
}

/** A colour for a user, as a hue in degrees: the same everywhere and every time. */
export function hueOf(userId) {
  let hash = 7;
  for (const character of userId) hash = (hash * 31 + character.codePointAt(0)) % 9973;
  return (hash * 137.5) % 360;
}
