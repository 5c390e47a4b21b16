/**
 * The engine's place in the audio graph: an AudioWorklet around engine.wasm. Input 0 is the microphone, input 1 the far
 * end, the output what is sent. It moves samples and numbers, and judges none.
 *
 * The module comes as bytes: compiled modules do not pass into a worklet in every browser. Strings do not cross into the
 * engine, since this scope has no TextDecoder.
 */

/**
 * The engine's exports, as softphone-wasm/engine/src/abi.rs lists them.
 * @typedef {object} Engine
 * @property {WebAssembly.Memory} memory
 * @property {(sampleRate: number) => number} init
 * @property {() => number} max_frames
 * @property {() => number} mic_ptr
 * @property {() => number} far_ptr
 * @property {() => number} out_ptr
 * @property {(frames: number) => void} process
 * @property {(flag: number) => void} set_muted
 * @property {(factor: number) => void} set_gain
 * @property {(layer: number) => void} set_echo
 * @property {() => number} mic_level
 * @property {() => number} far_level
 * @property {() => number} next_digit
 */

/**
 * The canceller's exports, as softphone-wasm/modules/canceller/src/abi.rs lists them.
 * @typedef {Pick<Engine, "memory" | "init" | "max_frames" | "mic_ptr" | "far_ptr" | "out_ptr" | "process">} Canceller
 */

/**
 * A module's three buffers. Memories do not grow once `init` is over, so these stay.
 * @param {Canceller} module
 */
function buffers(module) {
  return [module.mic_ptr(), module.far_ptr(), module.out_ptr()].map(
    (at) => new Float32Array(module.memory.buffer, at, module.max_frames()));
}

/** The digits by their event codes (RFC 4733 section 3.2). */
const DIGITS = "0123456789*#ABCD";
/** Fifteen times a second is smooth to the eye, and little work for the main thread. */
const REPORTS_PER_SECOND = 15;

registerProcessor("ringlet-engine", class extends AudioWorkletProcessor {
  /** Frames since the last report. */
  #unreported = 0;
  /** Counts the layers that were asked for. */
  #asked = 0;

  /** @param {{processorOptions: {engine: ArrayBuffer}}} options */
  constructor({ processorOptions }) {
    super();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(processorOptions.engine));
    const engine = this.engine = /** @type {Engine} */ (/** @type {unknown} */ (exports));
    if (!engine.init(sampleRate)) throw new RangeError(`no engine for ${sampleRate} Hz`);
    const [mic, far, out] = /** @type {[Float32Array, Float32Array, Float32Array]} */ (buffers(engine));
    this.mic = mic;
    this.far = far;
    this.out = out;
    /** Runs before the engine. @type {((frames: number) => void) | undefined} */
    this.cancel = undefined;
    this.port.onmessage = ({ data }) => {
      if (data.echo) this.setEcho(data);
      else if (data.gain !== undefined) engine.set_gain(data.gain);
      else engine.set_muted(Number(data.muted));
    };
  }

  /**
   * Changes the layer, and says what runs: `browser` stands for nothing of ours. Compiled beside the audio thread, a module costs
   * it nothing but its instantiation.
   * @param {{echo: string, module?: ArrayBuffer}} wanted
   */
  async setEcho({ echo, module }) {
    const asked = ++this.#asked;
    let running = echo;
    /** @type {((frames: number) => void) | undefined} */
    let cancel;
    if (module) {
      try {
        const { instance } = await WebAssembly.instantiate(module);
        cancel = this.canceller(/** @type {Canceller} */ (/** @type {unknown} */ (instance.exports)));
      } catch {
        running = "browser";
      }
    }
    // Too late: another one was asked for meanwhile.
    if (asked !== this.#asked) return;
    this.cancel = cancel;
    this.engine.set_echo(Number(running === "suppressor"));
    this.port.postMessage({ echo: running });
  }

  /** @param {Canceller} canceller */
  canceller(canceller) {
    if (!canceller.init(sampleRate)) throw new RangeError(`no canceller for ${sampleRate} Hz`);
    const [mic, far, out] = /** @type {[Float32Array, Float32Array, Float32Array]} */ (buffers(canceller));
    return (/** @type {number} */ frames) => {
      mic.set(this.mic.subarray(0, frames));
      far.set(this.far.subarray(0, frames));
      canceller.process(frames);
      this.mic.set(out.subarray(0, frames));
    };
  }

  /** @param {Float32Array[][]} inputs @param {Float32Array[][]} outputs */
  process([mic, far], [sent]) {
    const out = sent?.[0];
    if (!out) return true;
    const { engine } = this;
    const frames = Math.min(out.length, this.mic.length);
    // An input without a source has no channels.
    mic?.[0] ? this.mic.set(mic[0].subarray(0, frames)) : this.mic.fill(0, 0, frames);
    far?.[0] ? this.far.set(far[0].subarray(0, frames)) : this.far.fill(0, 0, frames);
    this.cancel?.(frames);
    engine.process(frames);
    out.set(this.out.subarray(0, frames));
    for (let digit = engine.next_digit(); digit >= 0; digit = engine.next_digit()) {
      this.port.postMessage({ digit: DIGITS[digit] });
    }
    this.#unreported += frames;
    if (this.#unreported >= sampleRate / REPORTS_PER_SECOND) {
      this.#unreported = 0;
      this.port.postMessage({ own: engine.mic_level(), far: engine.far_level() });
    }
    return true;
  }
});
