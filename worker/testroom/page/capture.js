// Our own camera, microphone and screen, and what we publish of them.
//
// A muted microphone sends silence; a muted camera is switched off (its light goes out) and its
// track waits without a picture until it is switched on again.

import { randomId } from './peer.js';

const CAMERA = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30, max: 30 },
};
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const SCREEN = {
  video: { width: { max: 1920 }, height: { max: 1080 }, frameRate: { ideal: 15, max: 30 } },
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
};
const DEVICES = { camera: { video: CAMERA }, microphone: { audio: MICROPHONE } };

/** An error of a capture, in words; *what* is "camera", "microphone" or "screen". */
export function explain(error, what) {
  switch (error.name) {
    case 'NotAllowedError':
      return what === 'screen'
        ? 'The screen is not shared: the browser was told not to.'
        : `The browser may not use the ${what}. Allow it in the address bar, then try again.`;
    case 'NotFoundError':
      return `No ${what} was found on this machine.`;
    case 'NotReadableError':
      return `The ${what} is in use by another program.`;
    case 'OverconstrainedError':
      return `The ${what} cannot do what was asked of it.`;
    case 'InsecureContextError':
      return `The browser gives the ${what} only to pages on https or on localhost.`;
    default:
      return `The ${what} does not work: ${error.message}`;
  }
}

/** Events: change; ended {what}: a device or a share stopped by itself. */
export class OwnMedia extends EventTarget {
  #tracks = new Map(); // 'camera' | 'microphone' | 'screen' | 'screen-audio' -> track
  #busy = new Set();
  #closed = false;
  #groups;

  constructor() {
    super();
    const [person, screen] = [new MediaStream(), new MediaStream()];
    this.#groups = {
      camera: { source: 'camera', stream: person },
      microphone: { source: 'microphone', stream: person },
      screen: { source: 'screen', stream: screen },
      'screen-audio': { source: 'screen', stream: screen },
    };
  }

  /** [{id, kind, source, media, muted, stream}], as a Publisher takes them. */
  get tracks() {
    return [...this.#tracks.values()];
  }

  get sharesScreen() {
    return this.#tracks.has('screen');
  }

  media(what) {
    return this.#tracks.get(what)?.media ?? null;
  }

  isOn(what) {
    const track = this.#tracks.get(what);
    return track !== undefined && !track.muted;
  }

  /**
   * Open the devices in *wanted* with one question to the person; when that fails, each alone, so
   * that one that is refused or missing does not take the other with it. Returns [{what, error}].
   */
  async open(wanted) {
    if (!wanted.length) return [];
    try {
      const constraints = Object.assign({}, ...wanted.map((what) => DEVICES[what]));
      const captured = await this.#capture('getUserMedia', constraints);
      for (const media of captured) {
        this.#add(media.kind === 'audio' ? 'microphone' : 'camera', media);
      }
      this.#tell('change');
      return [];
    } catch (error) {
      if (wanted.length === 1) return [{ what: wanted[0], error }];
    }
    const failures = [];
    for (const what of wanted) failures.push(...(await this.open([what])));
    return failures;
  }

  /** Switch "camera" or "microphone". Throws what getUserMedia throws; nothing has changed then. */
  async switch(what, on) {
    await this.#once(what, async () => {
      const track = this.#tracks.get(what);
      if (!on && track) {
        track.muted = true;
        if (what === 'microphone' && track.media) track.media.enabled = false;
        else this.#release(track);
      } else if (on && track?.media) {
        track.media.enabled = true;
        track.muted = false;
      } else if (on) {
        const [media] = await this.#capture('getUserMedia', DEVICES[what]);
        if (media) this.#add(what, media);
      }
    });
  }

  /** Ask the person for a screen, window or tab. Throws what getDisplayMedia throws. */
  async shareScreen() {
    await this.#once('screen', async () => {
      const captured = await this.#capture('getDisplayMedia', SCREEN);
      for (const media of captured) {
        if (media.kind === 'video') media.contentHint = 'detail';
        this.#add(media.kind === 'video' ? 'screen' : 'screen-audio', media);
      }
    });
  }

  stopScreen() {
    for (const what of ['screen', 'screen-audio']) {
      const track = this.#tracks.get(what);
      if (!track) continue;
      this.#release(track);
      this.#tracks.delete(what);
    }
    this.#tell('change');
  }

  /** Stop everything, also what the person is still being asked for. */
  close() {
    this.#closed = true;
    for (const track of this.#tracks.values()) this.#release(track);
    this.#tracks.clear();
  }

  // A second press while the browser is still asking must not ask twice.
  async #once(what, work) {
    if (this.#busy.has(what)) return;
    this.#busy.add(what);
    try {
      await work();
    } finally {
      this.#busy.delete(what);
    }
    this.#tell('change');
  }

  async #capture(method, constraints) {
    if (!navigator.mediaDevices) throw new DOMException('insecure', 'InsecureContextError');
    const captured = (await navigator.mediaDevices[method](constraints)).getTracks();
    if (!this.#closed) return captured;
    for (const media of captured) media.stop();
    return [];
  }

  #add(what, media) {
    media.onended = () => this.#ended(what, media);
    const waiting = this.#tracks.get(what);
    if (waiting) {
      Object.assign(waiting, { media, muted: false });
      return;
    }
    const { source, stream } = this.#groups[what];
    const id = `${what}-${randomId(4)}`;
    this.#tracks.set(what, { id, kind: media.kind, source, media, muted: false, stream });
  }

  #release(track) {
    if (!track.media) return;
    track.media.onended = null;
    track.media.stop();
    track.media = null;
  }

  // The device was unplugged, or the browser's own "stop sharing" was pressed.
  #ended(what, media) {
    const track = this.#tracks.get(what);
    if (track?.media !== media) return;
    if (what === 'screen') {
      this.stopScreen();
    } else {
      this.#release(track);
      if (what === 'screen-audio') this.#tracks.delete(what);
      else track.muted = true;
      this.#tell('change');
    }
    if (what !== 'screen-audio') this.#tell('ended', { what });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
