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

// BT.601, limited range.
function yuvOf(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return [
    16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256,
    128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256,
    128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256,
  ].map(Math.round);
}

function plain(size, colour) {
  const pixels = size.codedWidth * size.codedHeight;
  const [luma, blue, red] = yuvOf(colour);
  const planes = new Uint8Array(pixels * 3 / 2).fill(luma, 0, pixels);
  planes.fill(blue, pixels, pixels * 5 / 4);
  return planes.fill(red, pixels * 5 / 4);
}

// Frames go straight to the encoder: a canvas would wait for the compositor, which on a busy
// machine takes longer than a recorder may be wrong by.
function paint(colour, flashes) {
  const codedWidth = Number(option('width', '1280'));
  const size = { format: 'I420', codedWidth, codedHeight: codedWidth * 9 / 16 };
  const dark = plain(size, colour);
  const light = plain(size, '#ffffff');
  const generator = new MediaStreamTrackGenerator({ kind: 'video' });
  const writer = generator.writable.getWriter();
  let count = 0;
  const draw = () => {
    const planes = (flashes && isLit() ? light : dark).slice();
    // Something moves, so that every frame is sent.
    for (let row = size.codedHeight - 16; row < size.codedHeight; row += 1) {
      const start = row * codedWidth + (count * 8) % (codedWidth - 64);
      planes.fill(128, start, start + 64);
    }
    writer.write(new VideoFrame(planes, { ...size, timestamp: performance.now() * 1000 }));
  };
  setInterval(() => {
    count += 1;
    draw();
    const since = audio.currentTime - phase;
    const nextMs = (Math.ceil(since / PERIOD_S) * PERIOD_S - since) * 1000;
    if (flashes && nextMs < 1000 / 30) setTimeout(draw, nextMs + 1);
  }, 1000 / 30);
  return generator;
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
    const picture = paint(option('colour', '#204080'), true);
    const encodings = query.has('simulcast') ? { sendEncodings: LAYERS } : {};
    const camera = this.peer.addTransceiver(picture, { direction: 'sendonly', ...encodings });
    prefer(camera, option('codec', 'vp8'));
    this.descriptions.set(camera, 'camera');
    await this.negotiate('publish');
    this.state = 'published';
  }

  async share(colour) {
    const picture = paint(colour, false);
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
