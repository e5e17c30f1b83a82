// Signalling: one WebSocket to the room server, joined again by itself when it breaks. The server
// keeps our place for a while: a welcome that says `resumed` means that nobody noticed.
//
// Events (all CustomEvents, message in `detail`): welcome, joined, left, tracks, signal, recorders,
// refused {reason}, removed {code} (9: us, 10: everybody), lost {seconds} (until the next attempt),
// problem {reason}.

const PING_EVERY_MS = 5000;
const JOIN_WITHIN_MS = 10000;
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 5000;
const MAX_UNSENT = 256;
const RELAYED = new Set(['welcome', 'joined', 'left', 'tracks', 'signal', 'recorders']);

export class Room extends EventTarget {
  #url;
  #join;
  #tracks = [];
  #unsent = []; // signals for the time when our place is ours again; of too many the oldest go
  #socket = null;
  #joined = false;
  #over = false;
  #retryMs = RETRY_FIRST_MS;
  #retryTimer = 0;
  #pingTimer = 0;
  #pingSent = false;
  #startedAt = 0;

  /** Who is here, newest last: id -> {id, user_id, name, tracks}; without ourselves. */
  participants = new Map();
  id = null;
  recorders = 0;

  constructor(url, { room, userId, name, token }) {
    super();
    this.#url = url;
    this.#join = { type: 'join', room, user_id: userId, name, role: 'publisher', resume: '' };
    if (token) this.#join.token = token;
  }

  connect() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify(this.#join));
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = () => this.#lost(socket);
    this.#startedAt = performance.now();
    this.#pingSent = false;
    this.#pingTimer = setInterval(() => this.#ping(socket), PING_EVERY_MS);
  }

  /** Say what we publish now; said again after every reconnect. */
  publish(tracks) {
    this.#tracks = tracks;
    if (this.#joined) this.#send({ type: 'tracks', tracks });
  }

  signal(to, data) {
    const message = { type: 'signal', to, data };
    if (this.#joined) this.#send(message);
    else this.#unsent = [...this.#unsent, message].slice(-MAX_UNSENT);
  }

  leave() {
    this.#over = true;
    this.#joined = false;
    clearInterval(this.#pingTimer);
    clearTimeout(this.#retryTimer);
    this.#socket?.close(1000);
  }

  #receive(message) {
    this.#pingSent = false;
    switch (message.type) {
      case 'welcome':
        this.id = message.id;
        this.#join.resume = message.resume ?? '';
        this.participants = new Map(message.participants.map((p) => [p.id, p]));
        this.#joined = true;
        this.#retryMs = RETRY_FIRST_MS;
        if (this.#tracks.length || message.resumed) this.publish(this.#tracks);
        if (message.resumed) this.#unsent.forEach((unsent) => this.#send(unsent));
        this.#unsent = [];
        break;
      case 'joined':
        this.participants.set(message.participant.id, message.participant);
        break;
      case 'left':
        this.participants.delete(message.id);
        break;
      case 'tracks': {
        const participant = this.participants.get(message.id);
        if (participant) participant.tracks = message.tracks;
        break;
      }
      case 'recorders':
        this.recorders = message.count;
        break;
      case 'refused':
        this.leave();
        this.#tell('refused', { reason: message.reason });
        return;
      case 'removed':
        this.leave();
        this.#tell('removed', message);
        return;
      case 'error':
        this.#tell('problem', { reason: `${message.field}: ${message.reason}` });
        return;
    }
    if (RELAYED.has(message.type)) this.#tell(message.type, message);
  }

  // Every message is a sign of life; one ping without any answer until the next is due is enough.
  #ping(socket) {
    const waited = performance.now() - this.#startedAt;
    if (this.#joined ? this.#pingSent : waited > JOIN_WITHIN_MS) {
      // A server that vanished without a word: close() would wait for its answer.
      socket.onclose = null;
      socket.close(3000);
      this.#lost(socket);
    } else if (this.#joined) {
      this.#pingSent = true;
      this.#send({ type: 'ping' });
    }
  }

  #lost(socket) {
    if (this.#over || socket !== this.#socket) return;
    this.#joined = false;
    clearInterval(this.#pingTimer);
    const wait = this.#retryMs * (0.75 + Math.random() / 2);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
    this.#retryTimer = setTimeout(() => this.connect(), wait);
    this.#tell('lost', { seconds: wait / 1000 });
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
