/**
 * How loud, and on which loudspeaker, the far end is played. Softer is the audio element's own volume. Louder than it comes goes
 * through the audio graph and a soft limiter to an element of its own; the first one then plays at volume 0, for Chromium lets no
 * sound into the graph that no element plays. Frames, which no element plays, are as loud by the graph's own output.
 */

/** @typedef {import("./sound.js").Host} Host */

/** The largest amplification, linear: 12 dB. */
const MOST = 4;
/** Up to here the limiter changes nothing; from here to full scale it bends, without an edge. As `dsp::gain` has it. */
const KNEE = 0.7;
/** Points of the limiter's curve: its steps are finer than 16 bits where it bends. */
const POINTS = 8193;
/** The way from one gain to another: no click, and no lag. */
const RAMP_SECONDS = 0.005;

/** @param {number} db @returns {number} the linear factor */
export const factor = (db) => 10 ** (db / 20);

export class Speaker {
  #host;
  /** What plays louder than it comes, once it was needed. @type {{gain: GainNode, element: HTMLAudioElement} | undefined} */
  #loud;
  /** The same for frames. @type {WaveShaperNode | undefined} */
  #limiter;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
  }

  /** @param {number} db @returns {Promise<boolean>} whether it is so */
  async amplify(db) {
    const { audio } = this.#host;
    this.#amplifyFrames(factor(db));
    audio.volume = Math.min(1, factor(db));
    const isSet = Math.abs(audio.volume - factor(db)) < 0.01;
    // Where the device's own keys are the only volume (iOS), the graph does what the element cannot.
    if (isSet) {
      this.#loud?.element.pause();
      return true;
    }
    try {
      this.#loud ??= this.#make();
      await this.#loud.element.play();
    } catch (error) {
      console.warn("Ringlet: not louder than it comes.", error);
      this.#loud = undefined;
      return false;
    }
    const { gain } = this.#loud;
    gain.gain.setTargetAtTime(factor(db) / MOST, gain.context.currentTime, RAMP_SECONDS);
    audio.volume = 0;
    // There a muted element still feeds the graph.
    audio.muted = audio.volume > 0;
    return true;
  }

  /** @param {string} deviceId @returns {Promise<boolean>} whether it is so */
  async playOn(deviceId) {
    const { audio, graph, settings } = this.#host;
    // Not every browser plays a graph elsewhere than by default, and TypeScript does not know of it.
    const context = /** @type {{setSinkId?: (id: string) => Promise<void>} | undefined} */ (/** @type {unknown} */ (graph()?.context));
    try {
      if (context?.setSinkId) await context.setSinkId(deviceId);
      else if (settings.current().slow) throw new TypeError("frames are played by default");
      for (const element of [audio, this.#loud?.element]) await element?.setSinkId(deviceId);
      return true;
    } catch (error) {
      console.warn("Ringlet: not that loudspeaker.", error);
      return false;
    }
  }

  /** @param {number} gain linear */
  #amplifyFrames(gain) {
    const output = this.#host.graph()?.output;
    if (!output) return;
    const { context } = output;
    const isLoud = gain > 1;
    output.disconnect();
    output.gain.value = isLoud ? gain / MOST : gain;
    if (isLoud && !this.#limiter) {
      this.#limiter = new WaveShaperNode(context, { curve: curve() });
      this.#limiter.connect(context.destination);
    }
    output.connect((isLoud && this.#limiter) || context.destination);
  }

  #make() {
    const { audio, graph } = this.#host;
    const context = graph()?.context;
    const stream = audio.srcObject;
    if (!context || !(stream instanceof MediaStream)) throw new TypeError("nothing is played as yet");
    const gain = new GainNode(context, { gain: 1 / MOST });
    // It takes −1 to 1 only.
    const limiter = new WaveShaperNode(context, { curve: curve() });
    const out = context.createMediaStreamDestination();
    context.createMediaStreamSource(stream).connect(gain).connect(limiter).connect(out);
    const element = new Audio();
    element.srcObject = out.stream;
    if (audio.sinkId) element.setSinkId(audio.sinkId).catch(() => {});
    return { gain, element };
  }
}

function curve() {
  return Float32Array.from({ length: POINTS }, (_, at) => {
    const x = ((2 * at) / (POINTS - 1) - 1) * MOST;
    const over = (Math.abs(x) - KNEE) / (1 - KNEE);
    return over <= 0 ? x : Math.sign(x) * (KNEE + ((1 - KNEE) * over) / (1 + over));
  });
}
