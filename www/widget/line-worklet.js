/**
 * The line's place in the audio graph: an AudioWorklet around line.wasm. Its input is coded, its output is what came as frames.
 * It moves samples, bytes and numbers, and judges none.
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
 * @property {() => number} played
 * @property {() => number} concealed
 */

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
    this.port.onmessage = ({ data }) => {
      if (data === null) this.port.postMessage({ played: line.played(), concealed: line.concealed() });
      else if (typeof data === "boolean") line.open(Number(data));
      else if (data.byteLength <= this.frame.length) {
        this.frame.set(new Uint8Array(data));
        line.push(data.byteLength);
      }
    };
  }

  /** @param {Float32Array[][]} inputs @param {Float32Array[][]} outputs */
  process([spoken], [heard]) {
    const out = heard?.[0];
    if (!out) return true;
    const { line } = this;
    const frames = Math.min(out.length, this.heard.length);
    // An input without a source has no channels.
    spoken?.[0] ? this.spoken.set(spoken[0].subarray(0, frames)) : this.spoken.fill(0, 0, frames);
    line.process(frames);
    out.set(this.heard.subarray(0, frames));
    for (let length = line.take(); length; length = line.take()) {
      const { buffer } = this.frame.slice(0, length);
      this.port.postMessage(buffer, [buffer]);
    }
    return true;
  }
});
