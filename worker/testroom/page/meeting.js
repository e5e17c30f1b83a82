// One stay in a room: own media, signalling, sending and receiving, as one picture of who is here.
//
// Events: change (read `persons`, `recorders`), notice {text}, connection {text}, left {reason}.

import { explain, OwnMedia } from './capture.js';
import { LevelMeter } from './meter.js';
import { Publisher } from './publisher.js';
import { Room } from './room.js';
import { Subscriber } from './subscriber.js';

const ENDED = {
  camera: 'The camera stopped: was it unplugged?',
  microphone: 'The microphone stopped: was it unplugged?',
  screen: 'Screen sharing ended.',
};

const REMOVED = {
  9: 'You were removed from the room by an administrator.',
  10: 'An administrator has closed the room.',
};

export class Meeting extends EventTarget {
  #self;
  #room;
  #media = new OwnMedia();
  #meter = new LevelMeter();
  #publisher;
  #subscriber;

  /** *url* is the signalling address; *name* and *userId* are ours. */
  constructor({ url, roomId, name, userId, token }) {
    super();
    this.#self = { userId, name };
    this.#room = new Room(url, { room: roomId, userId, name, token });
    const signal = (to, data) => this.#room.signal(to, data);
    this.#publisher = new Publisher({
      signal,
      isRecorder: (peer) => !this.#room.participants.has(peer),
      problem: (error) => this.#notice(`Sending to somebody failed: ${error.message}`),
    });
    this.#subscriber = new Subscriber({ signal, changed: () => this.#tell('change') });
    this.#listen();
  }

  get recorders() {
    return this.#room.recorders;
  }

  /** Ourselves first, then everybody else in order of joining; as `View.render` takes them. */
  get persons() {
    return [this.#own(), ...this.#others().map((participant) => this.#person(participant))];
  }

  isOn(what) {
    return this.#media.isOn(what);
  }

  /** Join now; *wanted* of "camera" and "microphone" follow when the person allowed them. */
  async start(wanted) {
    this.#room.connect();
    for (const { what, error } of await this.#media.open(wanted)) {
      this.#notice(explain(error, what));
    }
  }

  async toggle(what) {
    try {
      if (what !== 'screen') await this.#media.switch(what, !this.#media.isOn(what));
      else if (this.#media.isOn('screen')) this.#media.stopScreen();
      else await this.#media.shareScreen();
    } catch (error) {
      this.#notice(explain(error, what));
    }
  }

  /** [[key, linear level]] of everybody, 0 for the silent. */
  levels() {
    const others = this.#others().map(({ id, tracks }) => {
      const track = tracks.find(({ source, muted }) => source === 'microphone' && !muted);
      const receiver = track && this.#subscriber.receivers(id).get(track.track);
      return [id, receiver?.getSynchronizationSources()[0]?.audioLevel ?? 0];
    });
    return [['own', this.#meter.level()], ...others];
  }

  leave(reason = '') {
    this.#publisher.forgetAll();
    this.#subscriber.follow([]);
    this.#room.leave();
    this.#media.close();
    this.#meter.close();
    this.#tell('left', { reason });
  }

  #listen() {
    const on = (event, handle) => this.#room.addEventListener(event, (e) => handle(e.detail));
    on('welcome', ({ resumed }) => {
      if (!resumed) {
        // Connections of the time before belong to an id of ours that nobody knows any more.
        this.#publisher.forgetSoon();
        this.#subscriber.follow([]);
      }
      this.#tell('connection', { text: '' });
      this.#follow();
    });
    on('joined', () => this.#follow());
    on('tracks', () => this.#follow());
    on('left', ({ id }) => {
      this.#publisher.forget(id);
      this.#follow();
    });
    on('signal', ({ from, data }) => {
      this.#publisher.receive(from, data);
      this.#subscriber.receive(from, data);
    });
    on('recorders', () => this.#tell('change'));
    on('refused', ({ reason }) => this.leave(`The room said no: ${reason}.`));
    on('removed', ({ code }) => this.leave(REMOVED[code] ?? 'You were removed from the room.'));
    on('problem', ({ reason }) => this.#notice(`The server complains: ${reason}.`));
    on('lost', ({ seconds }) => {
      const when = seconds < 1.5 ? 'now' : `in ${Math.round(seconds)} seconds`;
      this.#tell('connection', { text: `Connection to the server lost. Trying again ${when}.` });
    });
    this.#media.addEventListener('change', () => this.#publish());
    this.#media.addEventListener('ended', (e) => this.#notice(ENDED[e.detail.what]));
  }

  #publish() {
    const { tracks } = this.#media;
    this.#room.publish(
      tracks.map(({ id, kind, source, muted }) => ({ track: id, kind, source, muted })),
    );
    this.#publisher.setTracks(tracks);
    this.#meter.listen(this.#media.media('microphone'));
    this.#tell('change');
  }

  #follow() {
    const others = this.#others();
    this.#publisher.setViewers(others.length);
    this.#subscriber.follow(others);
    this.#tell('change');
  }

  // Of a user who is here more than once the newest presence, of ourselves none.
  #others() {
    const newest = new Map();
    for (const participant of this.#room.participants.values()) {
      newest.set(participant.user_id, participant);
    }
    newest.delete(this.#self.userId);
    return [...newest.values()];
  }

  #own() {
    return {
      key: 'own',
      ...this.#self,
      own: true,
      camera: this.#media.media('camera'),
      screen: this.#media.media('screen'),
      sounds: [],
      cameraOn: this.#media.isOn('camera'),
      microphoneOn: this.#media.isOn('microphone'),
    };
  }

  #person({ id, user_id: userId, name, tracks }) {
    const receivers = this.#subscriber.receivers(id);
    const media = (track) => (track && receivers.get(track.track)?.track) ?? null;
    const live = (kind, source) =>
      tracks.find((track) => track.kind === kind && track.source === source && !track.muted);
    return {
      key: id,
      userId,
      name,
      own: false,
      camera: media(live('video', 'camera')),
      screen: media(live('video', 'screen')),
      sounds: [media(live('audio', 'microphone')), media(live('audio', 'screen'))],
      cameraOn: live('video', 'camera') !== undefined,
      microphoneOn: live('audio', 'microphone') !== undefined,
    };
  }

  #notice(text) {
    this.#tell('notice', { text });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
