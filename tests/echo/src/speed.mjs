// Microseconds a quantum of 128 samples of a worklet's module as WASM, and its bytes on the wire. `node speed.mjs FILE LAYER` prints
// "min median p95 max gzip"; LAYER is handed to `set_echo`, where there is one. Node's V8 is Chromium's; its machine is not a shopper's.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const bytes = readFileSync(process.argv[2]);
const { exports: module } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
module.init(48_000);
module.set_echo?.(Number(process.argv[3]));
const [mic, far] = [module.mic_ptr(), module.far_ptr()].map((at) => new Float32Array(module.memory.buffer, at, 128));
const times = [];
for (let quantum = 0; quantum < 6_000; quantum++) {
  for (let at = 0; at < 128; at++) far[at] = 2 * (mic[at] = (Math.random() - 0.5) * 0.2 * (quantum & 128 ? 1 : 0.01));
  const begun = performance.now();
  module.process(128);
  // The first second is compiled while it runs.
  if (quantum > 1_000) times.push((performance.now() - begun) * 1_000);
}
times.sort((a, b) => a - b);
const quantile = (share) => times[Math.floor((times.length - 1) * share)];
console.log(...[0, 0.5, 0.95, 1].map(quantile), gzipSync(bytes, { level: 9 }).length);
