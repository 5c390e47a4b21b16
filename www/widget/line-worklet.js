/**
 * The line's place in the audio graph: an AudioWorklet around line.wasm. Its input is coded, its output is what came as frames.
 * It moves samples, bytes and numbers, and judges none. When opus.wasm comes, it makes that known to the line.
 */

/**
 * The line's exports, as softphone-wasm/modules/line/src/abi.rs lists them.
 * @typedef {object} LineExports
 * @property {WebAssembly.Memory} memory
 * @property {(sampleRate: number) => number} init
 * @property {() => number} max_frames
 * @property {() => number} spoken_ptr
 * @property {() => number} heard_ptr
 * @property {(frames: number) => void} process
 * @property {(flag: number) => void} open
 * @property {() => number} frame_ptr
 * @property {() => number} max_frame
 * @property {(length: number) => number} push
 * @property {() => number} take
 * @property {WebAssembly.Table} __indirect_function_table
 * @property {(first: number, samples: number) => void} use_opus
 * @property {() => number} played
 * @property {() => number} concealed
 */

/** What the line calls of the Opus module, in the order of softphone-wasm/modules/line/src/opus.rs. */
const OPUS = [
  "set_word", "word", "set_sample", "sample", "encode", "decode", "recover", "has_redundancy", "conceal", "reset_encoder", "reset_decoder",
];

registerProcessor("ringlet-line", class extends AudioWorkletProcessor {
  /** @param {{processorOptions: {line: ArrayBuffer}}} options */
  constructor({ processorOptions }) {
    super();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(processorOptions.line));
    const line = this.line = /** @type {LineExports} */ (/** @type {unknown} */ (exports));
    if (!line.init(sampleRate)) throw new RangeError(`no line for ${sampleRate} Hz`);
    // The memory does not grow, so these stay.
    const { buffer } = line.memory;
    this.spoken = new Float32Array(buffer, line.spoken_ptr(), line.max_frames());
    this.heard = new Float32Array(buffer, line.heard_ptr(), line.max_frames());
    this.frame = new Uint8Array(buffer, line.frame_ptr(), line.max_frame());
    this.hasOpus = false;
    this.port.onmessage = ({ data }) => {
      if (data === null) this.port.postMessage({ played: line.played(), concealed: line.concealed() });
      else if (typeof data === "boolean") line.open(Number(data));
      else if (data.opus) this.useOpus(data);
      else if (data.byteLength <= this.frame.length) {
        this.frame.set(new Uint8Array(data));
        line.push(data.byteLength);
      }
    };
  }

  /**
   * Has the line speak Opus, and says whether it does. The line reaches the other module through entries of its own table: so neither
   * imports anything. Compiled beside the audio thread, the module costs that its instantiation.
   * @param {{opus: ArrayBuffer, quality: number}} module
   */
  async useOpus({ opus: module, quality }) {
    try {
      const { instance } = await WebAssembly.instantiate(module);
      const opus = /** @type {Record<string, (parameter?: number) => number>} */ (instance.exports);
      const samples = opus["init"]?.(quality);
      if (!samples) throw new RangeError("no Opus");
      const { __indirect_function_table: table } = this.line;
      const first = table.grow(OPUS.length);
      OPUS.forEach((name, at) => table.set(first + at, opus[name]));
      this.line.use_opus(first, samples);
      this.hasOpus = true;
      this.port.postMessage(true);
    } catch {
      this.leaveOpus();
    }
  }

  leaveOpus() {
    this.hasOpus = false;
    this.line.use_opus(0, 0);
    this.port.postMessage(false);
  }

  /** @param {number} frames */
  run(frames) {
    try {
      this.line.process(frames);
    } catch (error) {
      // The line has nothing that could; Opus is large, and others' work. What is lost is a block.
      if (!this.hasOpus) throw error;
      this.leaveOpus();
    }
  }

  /** @param {Float32Array[][]} inputs @param {Float32Array[][]} outputs */
  process([spoken], [heard]) {
    const out = heard?.[0];
    if (!out) return true;
    const { line } = this;
    const frames = Math.min(out.length, this.heard.length);
    // An input without a source has no channels.
    spoken?.[0] ? this.spoken.set(spoken[0].subarray(0, frames)) : this.spoken.fill(0, 0, frames);
    this.run(frames);
    out.set(this.heard.subarray(0, frames));
    for (let length = line.take(); length; length = line.take()) {
      const { buffer } = this.frame.slice(0, length);
      this.port.postMessage(buffer, [buffer]);
    }
    return true;
  }
});
