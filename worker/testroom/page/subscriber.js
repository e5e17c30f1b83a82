// Receives everybody else's tracks: one peer connection per publisher.
//
// A connection that fails is replaced: the new session is asked for while the old one stays, and
// what is shown changes over when the new one is connected.

import { gathered, newConnection, randomId } from './peer.js';

const CONNECT_WITHIN_MS = 15000;
const DISCONNECTED_FOR_MS = 5000;
const RETRY_FIRST_MS = 1000;
const RETRY_LONGEST_MS = 16000;

class Session {
  #send;
  #changed;
  #broken;
  #connection = newConnection();
  #mids = {};
  #work = Promise.resolve();
  #connectTimer = 0;
  #lostTimer = 0;

  id = randomId();
  connected = false;

  constructor(send, { changed, broken }) {
    this.#send = send;
    this.#changed = changed;
    this.#broken = broken;
    this.#connection.onconnectionstatechange = () => this.#stateChanged();
    send({ kind: 'subscribe', session: this.id });
  }

  /** Whoever publishes something must get through in time, counted from now. */
  expect() {
    if (this.connected || this.#connectTimer) return;
    this.#connectTimer = setTimeout(this.#broken, CONNECT_WITHIN_MS);
  }

  receive(data) {
    if (data.kind === 'close') this.#broken();
    if (data.kind !== 'offer') return;
    this.#work = this.#work.then(() => this.#accept(data)).catch(() => {
      if (this.#connection.signalingState !== 'closed') this.#broken();
    });
  }

  /** track id -> receiver, of what is sent now. */
  receivers() {
    const found = new Map();
    for (const { mid, receiver } of this.#connection.getTransceivers()) {
      if (mid in this.#mids) found.set(this.#mids[mid], receiver);
    }
    return found;
  }

  close() {
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#lostTimer);
    this.#connection.onconnectionstatechange = null;
    this.#connection.close();
    this.#send({ kind: 'close', session: this.id });
  }

  #stateChanged() {
    const state = this.#connection.connectionState;
    clearTimeout(this.#lostTimer);
    if (state === 'connected') {
      this.connected = true;
      clearTimeout(this.#connectTimer);
      this.#changed();
    } else if (state === 'failed') {
      this.#broken();
    } else if (state === 'disconnected') {
      this.#lostTimer = setTimeout(this.#broken, DISCONNECTED_FOR_MS);
    }
  }

  async #accept({ sdp, mids }) {
    await this.#connection.setRemoteDescription({ type: 'offer', sdp });
    await this.#connection.setLocalDescription();
    await gathered(this.#connection);
    this.#mids = mids;
    const answer = this.#connection.localDescription.sdp;
    this.#send({ kind: 'answer', session: this.id, sdp: answer });
    this.#changed();
  }
}

class Subscription {
  #send;
  #changed;
  #current;
  #next = null;
  #retryMs = RETRY_FIRST_MS;
  #retryTimer = 0;

  constructor(send, changed) {
    this.#send = send;
    this.#changed = changed;
    this.#current = this.#ask();
  }

  expect() {
    (this.#next ?? this.#current).expect();
  }

  receive(data) {
    for (const session of [this.#current, this.#next]) {
      if (session?.id === data.session) session.receive(data);
    }
  }

  receivers() {
    return this.#current.receivers();
  }

  close() {
    clearTimeout(this.#retryTimer);
    this.#current.close();
    this.#next?.close();
  }

  #ask() {
    const session = new Session(this.#send, {
      changed: () => this.#sessionChanged(session),
      broken: () => this.#sessionBroken(session),
    });
    return session;
  }

  #sessionChanged(session) {
    if (session.connected) this.#retryMs = RETRY_FIRST_MS;
    if (session === this.#next && session.connected) {
      this.#current.close();
      this.#current = session;
      this.#next = null;
    }
    this.#changed();
  }

  #sessionBroken(session) {
    if (session === this.#next) {
      session.close();
      this.#next = null;
    } else if (session !== this.#current || this.#next) {
      return;
    }
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.#next = this.#ask();
      this.#next.expect();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
  }
}

export class Subscriber {
  #signal;
  #changed;
  #subscriptions = new Map();

  /** *changed(peer id)* is called when that peer's receivers are others than before. */
  constructor({ signal, changed }) {
    this.#signal = signal;
    this.#changed = changed;
  }

  /** Be subscribed to exactly *participants*: [{id, tracks}]. */
  follow(participants) {
    const wanted = new Map(participants.map((participant) => [participant.id, participant]));
    for (const [id, subscription] of this.#subscriptions) {
      if (wanted.has(id)) continue;
      subscription.close();
      this.#subscriptions.delete(id);
    }
    for (const [id, { tracks }] of wanted) {
      if (!this.#subscriptions.has(id)) {
        const send = (data) => this.#signal(id, data);
        this.#subscriptions.set(id, new Subscription(send, () => this.#changed(id)));
      }
      if (tracks.length) this.#subscriptions.get(id).expect();
    }
  }

  receive(from, data) {
    this.#subscriptions.get(from)?.receive(data);
  }

  receivers(id) {
    return this.#subscriptions.get(id)?.receivers() ?? new Map();
  }
}
