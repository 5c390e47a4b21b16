// The canceller's WASM as a worklet meets it. `node --test softphone-wasm/modules/canceller/abi.test.mjs`; CANCELLER_WASM names another file.
// It does not test how well it cancels in rooms: `cargo xtask bench audio --section echo` does.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const file = process.env.CANCELLER_WASM ?? new URL("../../../target/wasm/wasm32-unknown-unknown/wasm/canceller.wasm", import.meta.url);
const module = new WebAssembly.Module(readFileSync(file));
const canceller = () => new WebAssembly.Instance(module, {}).exports;
const buffer = (instance, at) => new Float32Array(instance.memory.buffer, at, instance.max_frames());

/** Noise in bursts of a third of a second, the same in every run. */
function* bursts() {
  for (let at = 0, seed = 1; ; at++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    yield (at % 32_000 < 16_000 ? 0.3 : 0.003) * (seed / 0x40000000 - 1);
  }
}

test("it imports nothing", () => assert.deepEqual(WebAssembly.Module.imports(module), []));

test("before init it is silent, and senseless rates change nothing", () => {
  const instance = canceller();
  buffer(instance, instance.mic_ptr()).fill(0.5);
  instance.process(128);
  assert.ok(buffer(instance, instance.out_ptr()).every((sample) => sample === 0));
  assert.deepEqual([0, 7_999, NaN, -1, 1e30].map(instance.init), [0, 0, 0, 0, 0]);
});

test("an echo of 80 ms goes, its delay is found, a voice stays, and the memory does not grow", () => {
  for (const rate of [44_100, 48_000]) {
    const instance = canceller();
    assert.equal(instance.init(rate), 1);
    const [mic, far, out] = [instance.mic_ptr(), instance.far_ptr(), instance.out_ptr()].map((at) => buffer(instance, at));
    const bytes = instance.memory.buffer.byteLength;
    const past = new Float32Array(0.08 * rate), noise = bursts();
    const run = (seconds, speaks, voice) => {
      let [before, after] = [0, 0];
      for (let quantum = 0; quantum < (seconds * rate) / 128; quantum++) {
        for (let at = 0; at < 128; at++) {
          const place = (quantum * 128 + at) % past.length;
          const said = voice * Math.sin((quantum * 128 + at) / 11) * Math.sin((quantum * 128 + at) / 3_000);
          mic[at] = 0.4 * past[place] + said;
          far[at] = past[place] = speaks ? noise.next().value : 0;
        }
        instance.process(128);
        for (let at = 0; at < 128; at++) [before, after] = [before + mic[at] ** 2, after + out[at] ** 2];
      }
      return 10 * Math.log10(after / before);
    };
    run(5, true, 0);
    assert.ok(run(5, true, 0) < -30, `the echo at ${rate} Hz`);
    assert.ok(Math.abs(instance.delay_ms() - 80) <= 8, `${instance.delay_ms()} ms`);
    run(1, false, 0.1);
    assert.ok(Math.abs(run(3, false, 0.1)) < 2, `the voice at ${rate} Hz`);
    assert.equal(instance.memory.buffer.byteLength, bytes);
  }
});
