// Which layer the worklet runs against the echo, where a module is slow to come.
import assert from "node:assert/strict";
import test from "node:test";

/** What waits for a module to be instantiated. */
const waiting = [];
const exports = {
  memory: { buffer: new ArrayBuffer(64) }, init: () => 1, max_frames: () => 1, mic_ptr: () => 0, far_ptr: () => 4, out_ptr: () => 8,
  set_echo(on) { this.suppresses = !!on; },
};
let Engine;
Object.assign(globalThis, {
  sampleRate: 48_000,
  AudioWorkletProcessor: class {
    said = [];
    port = { postMessage: (message) => this.said.push(message) };
  },
  registerProcessor(_, processor) { Engine = processor; },
  WebAssembly: {
    Module: class {},
    Instance: class { exports = { ...exports }; },
    instantiate: () => new Promise((resolve, reject) => waiting.push({ resolve, reject })),
  },
});
await import("./worklet.js");

/** A worklet that was asked for the canceller. */
function worklet() {
  const it = new Engine({ processorOptions: {} });
  it.port.onmessage({ data: { echo: "canceller", module: new ArrayBuffer(1) } });
  return { it, module: waiting.pop(), settled: () => new Promise(setImmediate) };
}

test("a canceller that is there runs, and says so", async () => {
  const { it, module, settled } = worklet();
  module.resolve({ instance: { exports } });
  await settled();
  assert.deepEqual([!!it.cancel, it.engine.suppresses, it.said], [true, false, [{ echo: "canceller" }]]);
});

test("a canceller that comes after the layer that was asked for instead takes nothing out, be it good or broken", async () => {
  for (const come of [({ resolve }) => resolve({ instance: { exports } }), ({ reject }) => reject(new Error("broken"))]) {
    const { it, module, settled } = worklet();
    it.port.onmessage({ data: { echo: "suppressor" } });
    await settled();
    come(module);
    await settled();
    assert.deepEqual([!!it.cancel, it.engine.suppresses, it.said], [false, true, [{ echo: "suppressor" }]]);
  }
});
