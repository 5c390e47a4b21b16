// The engine's WASM as a worklet meets it, and its arithmetic against a native build's.
// `node --test softphone-wasm/engine/abi.test.mjs`, after building with `--features vectors`; ENGINE_WASM names another file.
// It does not test what the engine computes: the crate's own tests do, and the checksum says that they hold here as well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const file = process.env.ENGINE_WASM ?? new URL("../../target/wasm/wasm32-unknown-unknown/wasm/engine.wasm", import.meta.url);
const module = new WebAssembly.Module(readFileSync(file));
const engine = () => new WebAssembly.Instance(module, {}).exports;
const buffer = (instance, at) => new Float32Array(instance.memory.buffer, at, instance.max_frames());

/** The tones of a digit for `ms`, and silence for as long. */
function digit(rate, low, high, ms) {
  const samples = new Float32Array((2 * rate * ms) / 1000);
  for (let at = 0; at < samples.length / 2; at++) {
    samples[at] = 0.2 * (Math.sin((2 * Math.PI * low * at) / rate) + Math.sin((2 * Math.PI * high * at) / rate));
  }
  return samples;
}

test("it imports nothing", () => assert.deepEqual(WebAssembly.Module.imports(module), []));

test("it computes the same bits as a native build", (t) => {
  const { vectors, vectors_expected } = engine();
  if (!vectors) return t.skip("built without the feature `vectors`");
  assert.equal(vectors() >>> 0, vectors_expected() >>> 0);
});

test("before init it is silent, and senseless rates change nothing", () => {
  const instance = engine();
  buffer(instance, instance.mic_ptr()).fill(0.5);
  instance.process(128);
  assert.ok(buffer(instance, instance.out_ptr()).every((sample) => sample === 0));
  assert.deepEqual([0, 7_999, NaN, -1, 1e30].map(instance.init), [0, 0, 0, 0, 0]);
  assert.deepEqual([instance.mic_level(), instance.far_level(), instance.next_digit()], [-127, -127, -1]);
});

test("the far end is not sent back once the suppressor is on, and nothing else is set by a wrong number", () => {
  const instance = engine();
  instance.init(48_000);
  const [mic, far, out] = [instance.mic_ptr(), instance.far_ptr(), instance.out_ptr()].map((at) => buffer(instance, at));
  const bytes = instance.memory.buffer.byteLength;
  const sent = [1, 0, 7].map((layer) => {
    instance.set_echo(layer);
    for (let count = 0; count < 400; count++) {
      for (let at = 0; at < 128; at++) mic[at] = (far[at] = Math.sin((count * 128 + at) / 9) / 3) / 2;
      instance.process(128);
    }
    return Math.max(...out.subarray(0, 128));
  });
  assert.ok(sent[0] < 1e-3 && sent[1] > 0.1 && sent[2] > 0.1, String(sent));
  assert.equal(instance.memory.buffer.byteLength, bytes, "the memory does not grow");
});

test("gain, mute, levels and the far end's digits cross as numbers", () => {
  for (const rate of [8_000, 16_000, 44_100, 48_000]) {
    const instance = engine();
    assert.equal(instance.init(rate), 1);
    const [mic, far, out] = [instance.mic_ptr(), instance.far_ptr(), instance.out_ptr()].map((at) => buffer(instance, at));
    mic.fill(0.25);
    instance.set_gain(2);
    const pages = instance.memory.buffer.byteLength;
    for (const [low, high] of [[941, 1209], [852, 1209], [770, 1477]]) {
      const samples = digit(rate, low, high, 60);
      for (let at = 0; at < samples.length; at += 128) {
        far.fill(0).set(samples.subarray(at, at + 128));
        instance.process(128);
      }
    }
    assert.deepEqual([1, 2, 3, 4].map(instance.next_digit), [10, 7, 6, -1], `*76 at ${rate} Hz`);
    assert.ok(out.subarray(0, 128).every((sample) => sample === 0.5));
    assert.ok(Math.abs(instance.mic_level() + 6.02) < 0.1);
    assert.ok(instance.far_level() > -40 && instance.far_level() < -10);
    instance.set_muted(1);
    for (let count = 0; count < 20; count++) instance.process(1e9);
    assert.ok(out.every((sample) => sample === 0));
    assert.equal(instance.memory.buffer.byteLength, pages, "the memory does not grow");
  }
});
