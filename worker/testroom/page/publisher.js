// Sends our tracks: one peer connection per subscriber session.
//
// A subscriber asks with "subscribe"; we offer, it answers. When tracks come or go we offer again
// on the same session. Transceivers of ended tracks are kept and used again for the next track of
// their kind, so that a connection does not grow with every screen share.

import { preferCodecs } from './codecs.js';
import { gathered, newConnection } from './peer.js';

const SESSIONS_PER_PEER = 3;
const GIVE_UP_MS = 15000;
const LINGER_MS = 15000;

/** What a picture may cost, by how many people watch: every one of them is encoded for apart. */
function pictureLimits(source, viewers) {
  if (source === 'screen') return { maxBitrate: viewers <= 4 ? 2_500_000 : 1_200_000 };
  if (viewers <= 3) return { maxBitrate: 1_700_000, scaleResolutionDownBy: 1 };
  if (viewers <= 8) return { maxBitrate: 600_000, scaleResolutionDownBy: 2 };
  return { maxBitrate: 200_000, scaleResolutionDownBy: 4 };
}

class Session {
  #send;
  #connection = newConnection();
  #carriers = new Map(); // track id -> transceiver
  #idle = []; // transceivers without a track
  #answered = true;
  #offerAgain = false;
  #giveUpTimer = 0;
  #problem;
  #wanted = null; // track id -> [width, height] of the videos that are looked at; null: all are
  #work = Promise.resolve();

  constructor(id, send, { connected, gone, problem }) {
    this.id = id;
    this.#send = send;
    this.#problem = problem;
    this.#connection.onconnectionstatechange = () => {
      const state = this.#connection.connectionState;
      clearTimeout(this.#giveUpTimer);
      if (state === 'connected') connected();
      else if (state === 'failed') gone();
      else if (state === 'disconnected') this.#giveUpTimer = setTimeout(gone, GIVE_UP_MS);
    };
  }

  /** Carry exactly *tracks* (id -> {kind, source, media, stream}); offers when that changes. */
  carry(tracks, viewers) {
    this.#inTurn(async () => {
      await this.#assign(tracks);
      await this.#limit(tracks, viewers);
    });
  }

  /** The subscriber looks at these videos only; the others are not even encoded for it. */
  want(video, tracks, viewers) {
    this.#wanted = new Map(Object.entries(video));
    this.#inTurn(() => this.#limit(tracks, viewers));
  }

  answer(sdp, tracks, viewers) {
    this.#inTurn(async () => {
      await this.#connection.setRemoteDescription({ type: 'answer', sdp });
      this.#answered = true;
      await this.#limit(tracks, viewers);
      if (this.#offerAgain) await this.#offer();
    });
  }

  close() {
    clearTimeout(this.#giveUpTimer);
    this.#connection.onconnectionstatechange = null;
    this.#connection.close();
  }

  // Offers, answers and track changes one after the other: they would trip over each other.
  #inTurn(work) {
    this.#work = this.#work.then(work).catch((error) => {
      if (this.#connection.signalingState !== 'closed') this.#problem(error);
    });
  }

  async #assign(tracks) {
    let changed = false;
    for (const [id, transceiver] of this.#carriers) {
      if (tracks.has(id)) continue;
      this.#carriers.delete(id);
      this.#idle.push(transceiver);
      transceiver.direction = 'inactive';
      await transceiver.sender.replaceTrack(null);
      changed = true;
    }
    for (const [id, track] of tracks) {
      const transceiver = this.#carriers.get(id);
      if (transceiver === undefined) {
        this.#carriers.set(id, await this.#carrier(track));
        changed = true;
      } else if (transceiver.sender.track !== track.media) {
        await transceiver.sender.replaceTrack(track.media);
      }
    }
    if (changed) await this.#offer();
  }

  async #limit(tracks, viewers) {
    for (const [id, { sender }] of this.#carriers) {
      const track = tracks.get(id);
      if (track?.kind !== 'video') continue;
      const parameters = sender.getParameters();
      if (!parameters.encodings?.length) continue; // not negotiated yet; done after the answer
      const active = this.#wanted?.has(id) ?? true; // one that goes on begins with a keyframe
      Object.assign(parameters.encodings[0], pictureLimits(track.source, viewers), { active });
      await sender.setParameters(parameters);
    }
  }

  async #carrier({ kind, media, stream }) {
    const index = this.#idle.findIndex((transceiver) => transceiver.receiver.track.kind === kind);
    if (index >= 0) {
      const [transceiver] = this.#idle.splice(index, 1);
      transceiver.direction = 'sendonly';
      transceiver.sender.setStreams(stream);
      await transceiver.sender.replaceTrack(media);
      return transceiver;
    }
    const init = { direction: 'sendonly', streams: [stream] };
    const transceiver = this.#connection.addTransceiver(media ?? kind, init);
    preferCodecs(transceiver, kind);
    return transceiver;
  }

  async #offer() {
    if (!this.#answered) {
      this.#offerAgain = true;
      return;
    }
    this.#answered = false;
    this.#offerAgain = false;
    await this.#connection.setLocalDescription();
    const mids = {};
    for (const [id, transceiver] of this.#carriers) mids[transceiver.mid] = id;
    await gathered(this.#connection);
    const { sdp } = this.#connection.localDescription;
    this.#send({ kind: 'offer', session: this.id, sdp, mids });
  }
}

export class Publisher {
  #signal;
  #isRecorder;
  #problem;
  #tracks = new Map();
  #sessions = new Map(); // peer id -> sessions, newest last
  #viewers = 0;

  /** *signal(to, data)* sends; *isRecorder(peer id)* spares recorders the small pictures. */
  constructor({ signal, isRecorder, problem }) {
    this.#signal = signal;
    this.#isRecorder = isRecorder;
    this.#problem = problem;
  }

  /** Publish exactly *tracks*: [{id, kind, source, media (null while paused), stream}]. */
  setTracks(tracks) {
    this.#tracks = new Map(tracks.map((track) => [track.id, track]));
    this.#refresh();
  }

  setViewers(count) {
    if (count === this.#viewers) return;
    this.#viewers = count;
    this.#refresh();
  }

  receive(from, data) {
    if (data.kind === 'subscribe') this.#subscribe(from, data.session);
    const session = this.#sessions.get(from)?.find(({ id }) => id === data.session);
    if (data.kind === 'answer') session?.answer(data.sdp, this.#tracks, this.#viewersAt(from));
    if (data.kind === 'close' && session) this.#close(from, session);
    if (data.kind === 'subscribe' || data.kind === 'want') this.#want(from, data);
  }

  /** *peer* is gone. */
  forget(peer) {
    for (const session of this.#sessions.get(peer) ?? []) session.close();
    this.#sessions.delete(peer);
  }

  forgetAll() {
    for (const peer of [...this.#sessions.keys()]) this.forget(peer);
  }

  /** Nobody knows us by our old id any more: be there until all who watch have asked anew. */
  forgetSoon() {
    for (const [peer, sessions] of this.#sessions) {
      for (const session of sessions) setTimeout(() => this.#close(peer, session), LINGER_MS);
    }
  }

  #subscribe(peer, id) {
    const sessions = this.#sessions.get(peer) ?? [];
    if (typeof id !== 'string' || sessions.some((session) => session.id === id)) return;
    const session = new Session(id, (data) => this.#signal(peer, data), {
      connected: () => this.#closeOlder(peer, session),
      gone: () => this.#close(peer, session),
      problem: this.#problem,
    });
    this.#sessions.set(peer, [...sessions, session]);
    if (sessions.length >= SESSIONS_PER_PEER) this.#close(peer, sessions[0]);
    session.carry(this.#tracks, this.#viewersAt(peer));
  }

  #want(peer, { session: id, video }) {
    const session = this.#sessions.get(peer)?.find((other) => other.id === id);
    if (session && typeof video === 'object' && video !== null) {
      session.want(video, this.#tracks, this.#viewersAt(peer));
    }
  }

  #closeOlder(peer, session) {
    const sessions = this.#sessions.get(peer) ?? [];
    for (const older of sessions.slice(0, sessions.indexOf(session))) this.#close(peer, older);
  }

  #close(peer, session) {
    session.close();
    const left = (this.#sessions.get(peer) ?? []).filter((other) => other !== session);
    if (left.length) this.#sessions.set(peer, left);
    else this.#sessions.delete(peer);
  }

  #refresh() {
    for (const [peer, sessions] of this.#sessions) {
      for (const session of sessions) session.carry(this.#tracks, this.#viewersAt(peer));
    }
  }

  #viewersAt(peer) {
    return this.#isRecorder(peer) ? 1 : this.#viewers;
  }
}
