// Who spoke when, in room time, as far as this page has watched; kept for a reload of the tab.

import { draw, follow, make, say } from './element.js';
import { duration, hueOf } from './words.js';

const WINDOW_S = 300;
const SHORTEST_S = 30;
const KEPT_S = 3600;
const GAP_S = 3; // between two looks; beyond that we do not know what was
const MAX_PEOPLE = 100;

export class Timeline {
  #key;
  #people = new Map(); // user id -> {name, spans: [[from, to]]}
  #firstS = Infinity;
  #seenS = null;
  #rows = make('ul', { class: 'speakers' });
  #axis = make('p', { class: 'axis quiet' }, make('span'), make('span'));

  constructor(jobId) {
    this.#key = `speakers:${jobId}`;
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.#key));
      this.#firstS = kept.firstS;
      this.#people = new Map(kept.people);
    } catch {
      // nothing kept, or not by us
    }
    this.element = make('div', { class: 'timeline' }, this.#rows, this.#axis);
  }

  /** Take what a report says. */
  add({ recorded_s: nowS, speaking, participants }) {
    for (const { user_id: userId, name } of participants) {
      const person = this.#people.get(userId);
      if (person) person.name = name;
      else if (this.#people.size < MAX_PEOPLE) this.#people.set(userId, { name, spans: [] });
    }
    const sinceS = this.#seenS !== null && nowS - this.#seenS <= GAP_S ? this.#seenS : nowS;
    for (const userId of nowS > sinceS ? speaking : []) {
      const spans = this.#people.get(userId)?.spans;
      const last = spans?.at(-1);
      if (last && last[1] >= sinceS) last[1] = nowS;
      else spans?.push([sinceS, nowS]);
    }
    this.#seenS = nowS;
    for (const [userId, person] of this.#people) {
      person.spans = person.spans.filter(([, to]) => to > nowS - KEPT_S && to <= nowS);
      const isHere = participants.some(({ user_id: other }) => other === userId);
      if (!isHere && !person.spans.length) this.#people.delete(userId);
    }
    this.#firstS = Math.min(this.#firstS, nowS);
    const kept = { firstS: this.#firstS, people: [...this.#people] };
    sessionStorage.setItem(this.#key, JSON.stringify(kept));
    this.#show(nowS, new Set(speaking));
  }

  #show(nowS, speaking) {
    const fromS = Math.max(this.#firstS, nowS - WINDOW_S);
    const spanS = Math.max(nowS - fromS, SHORTEST_S);
    follow(this.#rows, [...this.#people], ([userId]) => userId, createRow, (row, [userId, person]) => {
      const spans = person.spans.filter(([, to]) => to > fromS);
      const spokeS = spans.reduce((sum, [from, to]) => sum + to - Math.max(from, fromS), 0);
      const [name, lane, total] = row.children;
      say(name, person.name);
      say(total, duration(spokeS));
      row.classList.toggle('speaking', speaking.has(userId));
      lane.setAttribute('aria-label', `${person.name} was heard for ${Math.round(spokeS)} seconds`);
      lane.replaceChildren(
        ...spans.map(([from, to]) => {
          const x = (Math.max(from, fromS) - fromS) / spanS;
          const width = Math.max((to - fromS) / spanS - x, 0.003);
          return draw('rect', { x: x * 1000, width: width * 1000, y: 0, height: 10 });
        }),
      );
    });
    const [start, end] = this.#axis.children;
    say(start, duration(fromS));
    say(end, duration(fromS + spanS));
  }
}

function createRow([userId]) {
  const row = make(
    'li',
    {},
    make('span', { class: 'name', title: userId }),
    draw('svg', { class: 'lane', viewBox: '0 0 1000 10', preserveAspectRatio: 'none', role: 'img' }),
    make('span', { class: 'total quiet' }),
  );
  row.style.setProperty('--hue', hueOf(userId));
  return row;
}
