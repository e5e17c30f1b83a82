// The people and the shared screens, as tiles.
//
// `render` takes the whole picture: [{key, userId, name, own, camera, screen, sounds, cameraOn,
// microphoneOn}] with MediaStreamTracks (or null) in camera, screen and sounds; tiles are kept as
// long as their key, so that playing pictures are never interrupted.

import { largestTiles } from './grid.js';
import { meterPosition } from './meter.js';

const GAP_PX = 10;
const SMALLEST_TILE_PX = 150;

function element(tag, className, text = '') {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function symbol(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  svg.setAttribute('aria-hidden', 'true');
  return svg;
}

export function setSymbol(button, name) {
  button.querySelector('use').setAttribute('href', `#i-${name}`);
}

function initials(name) {
  const words = name.trim().split(/\s+/u);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => [...word][0] ?? '').join('').toUpperCase();
}

/** A colour per person, the same on every screen. */
function hue(userId) {
  let hash = 0;
  for (const character of userId) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return Math.round(hash * 137.508) % 360; // the golden angle: neighbours end up far apart
}

/** Make *player* play *track* (or nothing); whether that is a change. */
function play(player, track) {
  const playing = player.srcObject?.getTracks()[0] ?? null;
  if (playing === track) return false;
  player.srcObject = track ? new MediaStream([track]) : null;
  return true;
}

class Tile {
  constructor({ userId, own }, kind) {
    this.kind = kind;
    this.root = element('li', `tile ${kind}`);
    this.video = element('video');
    this.video.autoplay = this.video.muted = this.video.playsInline = true;
    this.video.classList.toggle('mirrored', own && kind === 'camera');
    this.avatar = element('span', 'avatar');
    this.avatar.style.setProperty('--hue', hue(userId));
    this.label = element('p', 'label');
    this.mark = symbol('mic-off');
    this.name = element('bdi', 'name');
    this.level = element('i');
    const meter = element('span', 'level');
    meter.setAttribute('aria-hidden', 'true');
    meter.append(this.level);
    this.label.append(this.mark, this.name, meter);
    this.root.append(this.avatar, this.video, this.label);
  }

  update(person) {
    const isScreen = this.kind === 'screen';
    const picture = isScreen ? person.screen : person.camera;
    const who = person.own ? `${person.name} (you)` : person.name;
    play(this.video, picture);
    this.root.dataset.user = person.userId;
    this.root.classList.toggle('dark', !picture);
    this.root.classList.toggle('silent', !isScreen && !person.microphoneOn);
    this.avatar.textContent = initials(person.name);
    this.name.textContent = isScreen ? `${who} · screen` : who;
    const facts = isScreen
      ? ['shares a screen']
      : [
          person.cameraOn ? 'camera on' : 'camera off',
          person.microphoneOn ? 'microphone on' : 'microphone off',
        ];
    this.root.setAttribute('aria-label', [who, ...facts].join(', '));
  }

  showLevel(level) {
    const position = meterPosition(level);
    this.level.style.transform = `scaleX(${position.toFixed(3)})`;
    this.root.classList.toggle('speaking', position > 0.35);
  }
}

export class View {
  #scene;
  #stage;
  #people;
  #tiles = new Map(); // `${kind}:${key}` -> Tile
  #sounds = new Map(); // key -> [audio elements]
  #soundBlocked;

  /** *soundBlocked(retry)* is called when the browser wants a click before it plays sound. */
  constructor(scene, stage, people, { soundBlocked }) {
    this.#scene = scene;
    this.#stage = stage;
    this.#people = people;
    this.#soundBlocked = soundBlocked;
    new ResizeObserver(() => this.#fit()).observe(scene);
  }

  render(persons) {
    const wanted = new Set();
    for (const person of persons) {
      this.#place(wanted, 'camera', this.#people, person);
      if (person.screen) this.#place(wanted, 'screen', this.#stage, person);
      if (!person.own) this.#playSounds(person);
    }
    for (const [id, tile] of this.#tiles) {
      if (wanted.has(id)) continue;
      tile.video.srcObject = null;
      tile.root.remove();
      this.#tiles.delete(id);
    }
    const present = new Set(persons.map(({ key }) => key));
    for (const [key, sounds] of this.#sounds) {
      if (present.has(key)) continue;
      for (const sound of sounds) sound.srcObject = null;
      this.#sounds.delete(key);
    }
    this.#stage.hidden = this.#stage.childElementCount === 0;
    this.#scene.classList.toggle('sharing', !this.#stage.hidden);
    this.#fit();
  }

  showLevel(key, level) {
    this.#tiles.get(`camera:${key}`)?.showLevel(level);
  }

  #place(wanted, kind, list, person) {
    const id = `${kind}:${person.key}`;
    let tile = this.#tiles.get(id);
    if (!tile) {
      tile = new Tile(person, kind);
      this.#tiles.set(id, tile);
      list.append(tile.root);
    }
    wanted.add(id);
    tile.update(person);
  }

  // Apart from the pictures: those play muted at once, whatever the browser thinks of sound.
  #playSounds({ key, sounds }) {
    if (!this.#sounds.has(key)) this.#sounds.set(key, sounds.map(() => new Audio()));
    this.#sounds.get(key).forEach((player, index) => {
      if (play(player, sounds[index]) && sounds[index]) this.#start(player);
    });
  }

  #start(player) {
    player.play().catch((error) => {
      if (error.name === 'NotAllowedError') this.#soundBlocked(() => this.#start(player));
    });
  }

  #fit() {
    const wide = this.#scene.clientWidth > this.#scene.clientHeight;
    this.#scene.classList.toggle('wide', wide);
    const sharing = !this.#stage.hidden;
    if (sharing) this.#size(this.#stage, SMALLEST_TILE_PX);
    if (sharing) this.#people.style.removeProperty('--tile-width');
    else this.#size(this.#people, SMALLEST_TILE_PX);
  }

  #size(list, smallest) {
    const { clientWidth, clientHeight } = list;
    const { width } = largestTiles(list.childElementCount, clientWidth, clientHeight, GAP_PX);
    list.style.setProperty('--tile-width', `${Math.max(width, Math.min(smallest, clientWidth))}px`);
  }
}
