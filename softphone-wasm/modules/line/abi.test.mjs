// The line's WASM as a worklet meets it. `node --test softphone-wasm/modules/line/abi.test.mjs`; LINE_WASM names another file.
// It does not test jitter and rates: the crate's own tests do.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const file = process.env.LINE_WASM ?? new URL("../../../target/wasm/wasm32-unknown-unknown/wasm/line.wasm", import.meta.url);
const module = new WebAssembly.Module(readFileSync(file));
const [RATE, BLOCK, HZ] = [48_000, 128, 1_000];

/** An instance with its buffers. */
function line() {
  const it = new WebAssembly.Instance(module, {}).exports;
  const { buffer } = it.memory;
  return {
    ...it,
    bytes: () => it.memory.buffer.byteLength,
    spoken: new Float32Array(buffer, it.spoken_ptr(), it.max_frames()),
    heard: new Float32Array(buffer, it.heard_ptr(), it.max_frames()),
    frame: new Uint8Array(buffer, it.frame_ptr(), it.max_frame()),
  };
}

/** Hands a frame over. */
function push(to, frame) {
  to.frame.set(frame);
  return to.push(frame.length);
}

test("it imports nothing, and has the sizes that its ABI promises", () => {
  assert.deepEqual(WebAssembly.Module.imports(module), []);
  const { max_frames, max_frame } = line();
  assert.deepEqual([max_frames(), max_frame()], [2_048, 1_282]);
});

test("before init it is silent, and senseless rates change nothing", () => {
  const it = line();
  it.heard.fill(0);
  it.process(BLOCK);
  assert.ok(it.heard.every((sample) => sample === 0));
  assert.deepEqual([it.take(), push(it, new Uint8Array(167)), it.played(), it.concealed()], [0, 0, 0, 0]);
  assert.deepEqual([0, 7_999, NaN, -1, 1e30].map(it.init), [0, 0, 0, 0, 0]);
});

test("a tone passes from one line to another, closed lines say nothing, and the memory does not grow", () => {
  const [near, far] = [line(), line()];
  assert.deepEqual([near.init(RATE), far.init(RATE)], [1, 1]);
  const bytes = near.bytes();
  far.open(1);
  let [frames, sine, cosine, energy] = [0, 0, 0, 0];
  for (let block = 0; block < (4 * RATE) / BLOCK; block++) {
    if (block === RATE / BLOCK) near.open(1);
    for (let at = 0; at < BLOCK; at++) near.spoken[at] = 0.5 * Math.sin((2 * Math.PI * HZ * (block * BLOCK + at)) / RATE);
    near.process(BLOCK);
    for (let length = near.take(); length; length = near.take()) {
      assert.ok(block >= RATE / BLOCK, "a closed line speaks");
      assert.equal(length, 7 + 160);
      assert.equal(push(far, near.frame.slice(0, length)), 1);
      frames++;
    }
    far.process(BLOCK);
    if (block < (2 * RATE) / BLOCK) continue;
    for (let at = 0; at < BLOCK; at++) {
      const [sample, angle] = [far.heard[at], (2 * Math.PI * HZ * (block * BLOCK + at)) / RATE];
      [sine, cosine, energy] = [sine + sample * Math.sin(angle), cosine + sample * Math.cos(angle), energy + sample ** 2];
    }
  }
  assert.ok(Math.abs(frames - 150) <= 1, `${frames} frames in 3 s`);
  const [tone, samples] = [(2 * (sine ** 2 + cosine ** 2)) / (2 * RATE), 2 * RATE];
  assert.ok(Math.abs(10 * Math.log10((2 * energy) / samples / 0.25)) < 1, "as loud as it was spoken");
  assert.ok(tone / energy > 0.98, "nothing but the tone");
  assert.deepEqual([near.bytes(), far.bytes()], [bytes, bytes]);
  // The first second was silence before the stream.
  assert.ok(Math.abs(far.played() - 32_000) <= 40 && Math.abs(far.concealed() - 8_000) < 1_000, `${far.concealed()} concealed`);
});

test("what is no frame is refused, whatever its length", () => {
  const it = line();
  it.init(RATE);
  it.open(1);
  for (const length of [0, 7, 1_282, 1_283, 0xffffffff]) assert.equal(it.push(length), 0, `${length} bytes`);
});
