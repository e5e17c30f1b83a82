// Publishes a marked picture and sound into a VideoRoom: a plain colour that turns white for a
// tenth of a second every second, together with a beep. `window.publisher` is the tests' handle.

const query = new URLSearchParams(location.search);
const option = (name, otherwise) => query.get(name) ?? otherwise;

const PERIOD_S = 1;
const FLASH_S = 0.1;

class Janus {
  constructor(url) {
    this.waiting = new Map();
    this.socket = new WebSocket(url, 'janus-protocol');
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.opened = new Promise((resolve) => { this.socket.onopen = resolve; });
    setInterval(() => this.session && this.send({ janus: 'keepalive' }), 5000);
  }

  send(message) {
    const transaction = crypto.randomUUID();
    const ids = { session_id: this.session, handle_id: this.handle };
    this.socket.send(JSON.stringify({ ...ids, ...message, transaction }));
    return transaction;
  }

  ask(message) {
    return new Promise((resolve, reject) => {
      this.waiting.set(this.send(message), { resolve, reject });
    });
  }

  take(message) {
    const asked = this.waiting.get(message.transaction);
    if (!asked || message.janus === 'ack') return;
    this.waiting.delete(message.transaction);
    const problem = message.error ?? message.plugindata?.data.error;
    if (problem) asked.reject(new Error(JSON.stringify(problem)));
    else asked.resolve(message);
  }

  async plugin(body, jsep) {
    return this.ask({ janus: 'message', body, jsep });
  }

  async open() {
    await this.opened;
    this.session = (await this.ask({ janus: 'create' })).data.id;
    const attached = await this.ask({ janus: 'attach', plugin: 'janus.plugin.videoroom' });
    this.handle = attached.data.id;
  }
}

const audio = new AudioContext({ sampleRate: 48000 });
const phase = Number(option('phase', '0'));

// A flash that could only be painted late is left out: this page's delays are not the recorder's.
const ON_TIME_S = 0.02;
let lit = NaN;

function isLit() {
  const since = audio.currentTime - phase;
  const period = Math.floor(since / PERIOD_S);
  const into = since - period * PERIOD_S;
  if (into < ON_TIME_S) lit = period;
  return into < FLASH_S && lit === period;
}

function paint(canvas, colour, flashes) {
  canvas.width = Number(option('width', '1280'));
  canvas.height = canvas.width * 9 / 16;
  const pen = canvas.getContext('2d');
  let count = 0;
  const draw = () => {
    pen.fillStyle = flashes && isLit() ? '#ffffff' : colour;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = '#808080'; // something moves, so that every frame is sent
    pen.fillRect((count * 8) % canvas.width, canvas.height - 16, 64, 16);
  };
  setInterval(() => {
    count += 1;
    draw();
    const since = audio.currentTime - phase;
    const nextMs = (Math.ceil(since / PERIOD_S) * PERIOD_S - since) * 1000;
    if (flashes && nextMs < 1000 / 30) setTimeout(draw, nextMs + 1);
  }, 1000 / 30);
  return canvas.captureStream(30).getVideoTracks()[0];
}

function beeps() {
  const tone = new OscillatorNode(audio, { frequency: Number(option('tone', '1000')) });
  const gate = new GainNode(audio, { gain: 0 });
  const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
  tone.connect(gate).connect(out);
  tone.start();
  let next = Math.ceil(audio.currentTime - phase) + phase;
  setInterval(() => {
    while (next < audio.currentTime + 1) {
      if (next > audio.currentTime) {
        gate.gain.setValueAtTime(0.25, next);
        gate.gain.setValueAtTime(0, next + FLASH_S);
      }
      next += PERIOD_S;
    }
  }, 200);
  return out.stream.getAudioTracks()[0];
}

function prefer(transceiver, codec) {
  const { codecs } = RTCRtpSender.getCapabilities('video');
  const first = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
  const repair = codecs.filter(({ mimeType }) => /rtx/i.test(mimeType));
  transceiver.setCodecPreferences([...first, ...repair]);
}

const LAYERS = [
  { rid: 'h', maxBitrate: 1500000 },
  { rid: 'm', maxBitrate: 500000, scaleResolutionDownBy: 2 },
  { rid: 'l', maxBitrate: 150000, scaleResolutionDownBy: 4 },
];

class Publisher {
  async start() {
    await audio.resume();
    this.janus = new Janus(option('janus', 'ws://127.0.0.1:8188'));
    await this.janus.open();
    const room = Number(option('room', '1234'));
    await this.janus.plugin({
      request: 'join', ptype: 'publisher', room, display: option('name', 'nobody'),
    });
    this.peer = new RTCPeerConnection();
    this.descriptions = new Map();
    this.peer.addTransceiver(beeps(), { direction: 'sendonly' });
    const picture = paint(document.querySelector('#camera'), option('colour', '#204080'), true);
    const encodings = query.has('simulcast') ? { sendEncodings: LAYERS } : {};
    const camera = this.peer.addTransceiver(picture, { direction: 'sendonly', ...encodings });
    prefer(camera, option('codec', 'vp8'));
    this.descriptions.set(camera, 'camera');
    await this.negotiate('publish');
    this.state = 'published';
  }

  async share(colour) {
    const picture = paint(document.querySelector('#screen'), colour, false);
    this.screen = this.peer.addTransceiver(picture, { direction: 'sendonly' });
    this.descriptions.set(this.screen, 'screen');
    await this.negotiate('configure');
  }

  async leave() {
    this.peer.close();
    await this.janus.plugin({ request: 'leave' });
    this.janus.socket.close();
    this.state = 'left';
  }

  async negotiate(request) {
    await this.peer.setLocalDescription(await this.peer.createOffer());
    if (this.peer.iceGatheringState !== 'complete') {
      await new Promise((resolve) => {
        this.peer.onicegatheringstatechange = () => {
          if (this.peer.iceGatheringState === 'complete') resolve();
        };
      });
    }
    const descriptions = [...this.descriptions].map(([transceiver, description]) => (
      { mid: transceiver.mid, description }
    ));
    const jsep = { type: 'offer', sdp: this.peer.localDescription.sdp, trickle: false };
    const answer = await this.janus.plugin({ request, descriptions }, jsep);
    await this.peer.setRemoteDescription(answer.jsep);
  }
}

window.publisher = new Publisher();
window.publisher.start().catch((error) => { window.publisher.state = `failed: ${error}`; });
