// How loud a track of ours is, 0 to 1, drawn from -60 dBFS up.

const FLOOR_DB = -60;

/** Position on a meter, 0..1, of a linear level, 0..1. */
export function meterPosition(level) {
  if (level <= 0) return 0;
  return Math.min(1, Math.max(0, 1 - (20 * Math.log10(level)) / FLOOR_DB));
}

export class LevelMeter {
  #context = null;
  #analyser = null;
  #node = null;
  #media = null;
  #samples = null;

  /** Listen to *media*, an audio MediaStreamTrack or null. */
  listen(media) {
    if (media === this.#media) return;
    this.#media = media;
    this.#node?.disconnect();
    this.#node = null;
    if (!media) return;
    this.#context ??= new AudioContext();
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: 2048 });
    this.#samples ??= new Float32Array(this.#analyser.fftSize);
    this.#node = this.#context.createMediaStreamSource(new MediaStream([media]));
    this.#node.connect(this.#analyser);
    // Without a click on the page the context sleeps; the first one wakes it.
    const wake = () => this.#context?.resume();
    if (this.#context.state === 'suspended') addEventListener('pointerdown', wake, { once: true });
  }

  /** RMS of the last 43 ms, linear. */
  level() {
    if (!this.#node || !this.#media.enabled) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0);
    return Math.sqrt(power / this.#samples.length);
  }

  close() {
    this.listen(null);
    this.#context?.close();
    this.#context = this.#analyser = null;
  }
}
