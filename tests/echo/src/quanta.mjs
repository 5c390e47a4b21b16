// Microseconds a quantum of 128 samples of a worklet's module as WASM, wherever JavaScript runs. Not here: where that is (speed.mjs is
// Node, speed-worker.mjs a browser's worker), and what becomes of the figures.

const QUANTUM = 128;

/** The first second is compiled while it runs. */
const COMPILED = 1_000;
const QUANTA = 6_000;

/** @param {Record<string, any>} exports @param {string[]} names of the module's two inputs, as far as it has them */
const views = (exports, names) => names.map((name) => new Float32Array(exports.memory.buffer, exports[name](), QUANTUM));

/**
 * Quanta of `level(quantum)`, full scale 1, through a module of its own.
 * @param {WebAssembly.Module} module
 * @param {number} layer is handed to `set_echo`, where there is one
 * @param {number} batch so many are timed together: a browser's clock is coarse
 * @param {(quantum: number) => number} level
 * @returns {number[]} microseconds a quantum of each batch, sorted
 */
function run(module, layer, batch, level) {
  const { exports: found } = new WebAssembly.Instance(module);
  const exports = /** @type {Record<string, any>} */ (found);
  exports.init(48_000);
  exports.set_echo?.(layer);
  exports.open?.(1);
  const inputs = views(exports, exports.mic_ptr ? ["mic_ptr", "far_ptr"] : ["spoken_ptr"]);
  const signals = inputs.map(() => new Float32Array(QUANTUM * batch));
  const times = [];
  for (let quantum = 0; quantum < QUANTA; quantum += batch) {
    for (let at = 0; at < QUANTUM * batch; at++) {
      const sample = (Math.random() - 0.5) * 0.2 * level(quantum + Math.floor(at / QUANTUM));
      signals.forEach((signal, index) => (signal[at] = (index + 1) * sample));
    }
    const begun = performance.now();
    for (let at = 0; at < QUANTUM * batch; at += QUANTUM) {
      inputs.forEach((input, index) => input.set(signals[index].subarray(at, at + QUANTUM)));
      exports.process(QUANTUM);
      // What it sends comes back to it.
      for (let length; exports.take && (length = exports.take()) > 0; ) exports.push(length);
    }
    if (quantum > COMPILED) times.push(((performance.now() - begun) * 1_000) / batch);
  }
  return times.sort((a, b) => a - b);
}

const quantile = (/** @type {number[]} */ times, /** @type {number} */ share) => times[Math.floor((times.length - 1) * share)];

/**
 * Minimum, median, 95th percentile and maximum; then the medians over denormal input, over a decay through all denormal numbers, and over
 * digital silence behind a voice, and that of ordinary input beside them.
 * @param {BufferSource} bytes
 * @param {number} layer
 * @param {number} batch
 * @returns {number[]}
 */
export function measure(bytes, layer, batch) {
  const module = new WebAssembly.Module(bytes);
  const through = (/** @type {(quantum: number) => number} */ level) => run(module, layer, batch, level);
  const ordinary = through((quantum) => (quantum & 128 ? 1 : 0.01));
  const denormal = through(() => 1e-39);
  // By 3 dB a quantum, over and over: a filter's memory of it is what gets denormal.
  const decay = through((quantum) => 10 ** (-0.15 * (quantum % 400)));
  // While the code is compiled there is something to be remembered.
  const silence = through((quantum) => (quantum < COMPILED ? 1 : 0));
  const again = through((quantum) => (quantum & 128 ? 1 : 0.01));
  return [...[0, 0.5, 0.95, 1].map((share) => quantile(ordinary, share)), ...[denormal, decay, silence, again].map((times) => quantile(times, 0.5))];
}
