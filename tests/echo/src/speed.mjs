// Microseconds a quantum of 128 samples of a worklet's module as WASM, and its bytes on the wire. `node speed.mjs FILE LAYER` prints
// "min median p95 max gzip", then the medians over denormal input and over a decay through all denormal numbers, and that of ordinary input
// beside them; LAYER is handed to `set_echo`, where there is one. Node's V8 is Chromium's; its machine is not a shopper's.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const bytes = readFileSync(process.argv[2]);
const compiled = new WebAssembly.Module(bytes);

/** @param {Record<string, any>} exports @param {string[]} names of the module's two inputs, as far as it has them */
const views = (exports, names) => names.map((name) => new Float32Array(exports.memory.buffer, exports[name](), 128));

/** Quanta of `input(quantum)`, full scale 1, through a module of its own: microseconds, sorted. @param {(quantum: number) => number} input */
function run(input) {
  const { exports } = new WebAssembly.Instance(compiled);
  exports.init(48_000);
  exports.set_echo?.(Number(process.argv[3]));
  exports.open?.(1);
  const inputs = views(exports, exports.mic_ptr ? ["mic_ptr", "far_ptr"] : ["spoken_ptr"]);
  const times = [];
  for (let quantum = 0; quantum < 6_000; quantum++) {
    const level = input(quantum);
    for (let at = 0; at < 128; at++) {
      const sample = (Math.random() - 0.5) * 0.2 * level;
      inputs.forEach((samples, index) => (samples[at] = (index + 1) * sample));
    }
    const begun = performance.now();
    exports.process(128);
    // What it sends comes back to it.
    for (let length; exports.take && (length = exports.take()) > 0; ) exports.push(length);
    // The first second is compiled while it runs.
    if (quantum > 1_000) times.push((performance.now() - begun) * 1_000);
  }
  return times.sort((a, b) => a - b);
}

const quantile = (/** @type {number[]} */ times, /** @type {number} */ share) => times[Math.floor((times.length - 1) * share)];
const ordinary = run((quantum) => (quantum & 128 ? 1 : 0.01));
const denormal = run(() => 1e-39);
// By 3 dB a quantum, over and over: a filter's memory of it is what gets denormal.
const decay = run((quantum) => 10 ** (-0.15 * (quantum % 400)));
const again = run((quantum) => (quantum & 128 ? 1 : 0.01));
const medians = [denormal, decay, again].map((times) => quantile(times, 0.5));
console.log(...[0, 0.5, 0.95, 1].map((share) => quantile(ordinary, share)), gzipSync(bytes, { level: 9 }).length, ...medians);
