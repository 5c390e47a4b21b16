/**
 * How loud, and on which loudspeaker, the far end is played. Softer is the audio element's own volume. Louder than it comes goes
 * through the audio graph and a soft limiter to an element of its own; the first one then plays at volume 0, for Chromium lets no
 * sound into the graph that no element plays. Frames come out of the graph itself: as loud by its own output, and by an element where
 * a loudspeaker was chosen.
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
  /** The limiter of frames. @type {WaveShaperNode | undefined} */
  #limiter;
  /** Plays frames where the shopper has chosen. @type {{node: MediaStreamAudioDestinationNode, element: HTMLAudioElement} | undefined} */
  #chosen;
  /** How loud frames are, linear. */
  #gain = 1;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
  }

  /** @param {number} db @returns {Promise<boolean>} whether it is so */
  async amplify(db) {
    const { audio } = this.#host;
    this.#gain = factor(db);
    this.#playFrames();
    audio.volume = Math.min(1, factor(db));
    const isSet = Math.abs(audio.volume - factor(db)) < 0.01;
    // Where the device's own keys are the only volume (iOS), the graph does what the element cannot.
    if (isSet) {
      audio.muted = false;
      this.#loud?.element.pause();
      return true;
    }
    try {
      this.#loud ??= this.#make();
      await this.#loud.element.play();
    } catch (error) {
      console.warn("Ringlet: not louder than it comes.", error);
      audio.muted = false;
      this.#loud?.element.pause();
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
    const context = this.#host.graph()?.context;
    try {
      // The graph itself plays elsewhere than by default in few browsers, and there only where the shop's page lets it.
      if (context && deviceId) this.#chosen ??= played(context);
      const elements = [this.#host.audio, this.#loud?.element, this.#chosen?.element];
      for (const element of elements) await element?.setSinkId(deviceId);
      await this.#chosen?.element.play();
      this.#playFrames();
      return true;
    } catch (error) {
      console.warn("Ringlet: not that loudspeaker.", error);
      return false;
    }
  }

  #playFrames() {
    const output = this.#host.graph()?.output;
    if (!output) return;
    const { context } = output;
    const isLoud = this.#gain > 1;
    const end = this.#chosen?.node ?? context.destination;
    output.disconnect();
    output.gain.value = isLoud ? this.#gain / MOST : this.#gain;
    if (isLoud) {
      this.#limiter ??= new WaveShaperNode(context, { curve: curve() });
      this.#limiter.disconnect();
      output.connect(this.#limiter).connect(end);
    } else output.connect(end);
  }

  #make() {
    const { audio, graph } = this.#host;
    const context = graph()?.context;
    const stream = audio.srcObject;
    if (!context || !(stream instanceof MediaStream)) throw new TypeError("nothing is played as yet");
    const gain = new GainNode(context, { gain: 1 / MOST });
    // It takes −1 to 1 only.
    const limiter = new WaveShaperNode(context, { curve: curve() });
    const { node, element } = played(context);
    context.createMediaStreamSource(stream).connect(gain).connect(limiter).connect(node);
    if (audio.sinkId) element.setSinkId(audio.sinkId).catch(() => {});
    return { gain, element };
  }
}

/** @param {AudioContext} context @returns an element, and what it plays */
function played(context) {
  const node = context.createMediaStreamDestination();
  const element = new Audio();
  element.srcObject = node.stream;
  return { node, element };
}

function curve() {
  return Float32Array.from({ length: POINTS }, (_, at) => {
    const x = ((2 * at) / (POINTS - 1) - 1) * MOST;
    const over = (Math.abs(x) - KNEE) / (1 - KNEE);
    return over <= 0 ? x : Math.sign(x) * (KNEE + ((1 - KNEE) * over) / (1 + over));
  });
}
