// The Opus module's WASM as the line meets it, by the line's table as the worklet fills it, and its arithmetic against a native build's.
// `node --test softphone-wasm/modules/opus/abi.test.mjs`; OPUS_WASM and LINE_WASM name other files. It does not test losses: the crate's own tests do.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const built = (name) => new URL(`../../../target/wasm/wasm32-unknown-unknown/wasm/${name}.wasm`, import.meta.url);
const compiled = (file) => new WebAssembly.Module(readFileSync(file));
const [MODULE, LINE] = [compiled(process.env.OPUS_WASM ?? built("opus_module")), compiled(process.env.LINE_WASM ?? built("line"))];
const opus = () => new WebAssembly.Instance(MODULE, {}).exports;
const [RATE, BLOCK, HZ] = [48_000, 128, 1_000];

/** As in www/widget/line-worklet.js, whose list is the one that counts. */
const worklet = readFileSync(new URL("../../../www/widget/line-worklet.js", import.meta.url), "utf8");
const OPUS = [...worklet.match(/const OPUS = \[([^\]]*)\]/)[1].matchAll(/"(\w+)"/g)].map(([, name]) => name);

/** A line with its buffers, and Opus beside it. */
function line() {
  const [it, codec] = [new WebAssembly.Instance(LINE, {}).exports, opus()];
  const { buffer } = it.memory;
  return {
    it,
    codec,
    spoken: new Float32Array(buffer, it.spoken_ptr(), it.max_frames()),
    heard: new Float32Array(buffer, it.heard_ptr(), it.max_frames()),
    frame: new Uint8Array(buffer, it.frame_ptr(), it.max_frame()),
    useOpus(quality = 0) {
      const samples = codec.init(quality);
      assert.equal(samples, quality === 1 ? 480 : 160);
      const first = it.__indirect_function_table.grow(OPUS.length);
      OPUS.forEach((name, at) => it.__indirect_function_table.set(first + at, codec[name]));
      it.use_opus(first, samples);
    },
  };
}

test("it imports nothing", () => assert.deepEqual(WebAssembly.Module.imports(MODULE), []));

test("it computes the same bits as a native build", () => {
  const { vectors, vectors_expected } = opus();
  assert.equal(vectors() >>> 0, vectors_expected() >>> 0);
});

test("before init nothing is coded, and senseless places and lengths do no harm", () => {
  const it = opus();
  assert.deepEqual([it.encode(160), it.decode(10), it.recover(10, 160), it.conceal(160), it.has_redundancy(10)], [0, 0, 0, 0, 0]);
  it.init(0);
  const [bytes, far] = [it.memory.buffer.byteLength, 0xffffffff];
  [318, 319, far].forEach((at) => it.set_word(at, -1));
  [959, 960, far].forEach((at) => it.set_sample(at, 1));
  assert.deepEqual([it.word(319), it.word(far), it.sample(960), it.sample(far)], [0, 0, 0, 0]);
  assert.deepEqual([it.decode(0), it.decode(1_277), it.decode(far), it.recover(far, far), it.conceal(961), it.encode(0)], [0, 0, 0, 0, 0, 0]);
  assert.ok(it.encode(far) <= 1_275);
  assert.equal(it.memory.buffer.byteLength, bytes);
});

test("it takes over from G.711 in mid-call between two lines, and neither memory grows", () => {
  const [near, far] = [line(), line()];
  for (const { it } of [near, far]) {
    it.init(RATE);
    it.open(1);
  }
  const kinds = [];
  let [weakest, bytes, sizes] = [Infinity, 0, undefined];
  for (let block = 0; block < (6 * RATE) / BLOCK; block++) {
    if (block === (2 * RATE) / BLOCK) {
      far.useOpus();
      near.useOpus();
      sizes = [near, far].flatMap(({ it, codec }) => [it.memory.buffer.byteLength, codec.memory.buffer.byteLength]);
    }
    if (block === (4 * RATE) / BLOCK) near.it.use_opus(0, 0);
    for (let at = 0; at < BLOCK; at++) near.spoken[at] = 0.5 * Math.sin((2 * Math.PI * HZ * (block * BLOCK + at)) / RATE);
    near.it.process(BLOCK);
    for (let length = near.it.take(); length; length = near.it.take()) {
      const kind = near.frame[0] & 0x7f;
      if (kind === 111) bytes += length;
      if (kinds.at(-1) !== kind) kinds.push(kind);
      far.frame.set(near.frame.subarray(0, length));
      assert.equal(far.it.push(length), 1);
    }
    far.it.process(BLOCK);
    if (block < RATE / BLOCK) continue;
    // What an encoder that begins looks ahead, 6.5 ms, is silence; no block of 20 ms is.
    near.energy = (near.energy ?? 0) + far.heard.subarray(0, BLOCK).reduce((sum, sample) => sum + sample ** 2, 0);
    if (block % 8) continue;
    weakest = Math.min(weakest, near.energy / (8 * BLOCK));
    near.energy = 0;
  }
  assert.deepEqual(kinds, [0, 111, 0]);
  assert.ok(bytes / 100 < 90, `${bytes / 100} bytes a frame, of 167 of G.711`);
  assert.ok(10 * Math.log10(weakest / 0.125) > -6, `${10 * Math.log10(weakest / 0.125)} dB in the weakest 20 ms`);
  assert.deepEqual([near, far].flatMap(({ it, codec }) => [it.memory.buffer.byteLength, codec.memory.buffer.byteLength]), sizes);
});

test("who saves sends a packet of 60 ms where others send three, and hardly any in silence", () => {
  const sent = [0, 1, 2].map((quality) => {
    const { it, spoken, frame, useOpus } = line();
    it.init(RATE);
    it.open(1);
    useOpus(quality);
    const counts = [[0, 0], [0, 0]];
    for (let block = 0; block < (8 * RATE) / BLOCK; block++) {
      const count = counts[Number(block >= (4 * RATE) / BLOCK)];
      for (let at = 0; at < BLOCK; at++) {
        const time = (block * BLOCK + at) / RATE;
        spoken[at] = time < 4 ? 0.2 * Math.sin(2 * Math.PI * HZ * time) * Math.sin(2 * Math.PI * 4 * time) : 0;
      }
      it.process(BLOCK);
      for (let length = it.take(); length; length = it.take()) {
        assert.equal(frame[0] & 0x7f, 111);
        count[0]++;
        count[1] += length;
      }
    }
    return counts;
  });
  const [[standard, silence], [saver, saved], [best]] = sent;
  const all = JSON.stringify(sent);
  assert.ok(standard[0] >= 198 && silence[0] >= 198 && saver[0] <= 67 && saved[0] <= 20, all);
  assert.ok(saver[1] < 0.7 * standard[1] && standard[1] < 0.85 * best[1], all);
});

test("a table without the module's functions is a trap, from which the line goes on with G.711", () => {
  const { it, frame } = line();
  it.init(RATE);
  it.open(1);
  const first = it.__indirect_function_table.grow(OPUS.length);
  assert.throws(() => it.use_opus(first, 160), WebAssembly.RuntimeError);
  assert.throws(() => { for (let block = 0; block < 20; block++) it.process(BLOCK); }, WebAssembly.RuntimeError);
  it.use_opus(0, 0);
  for (let block = 0; block < 20; block++) it.process(BLOCK);
  assert.equal(it.take(), 167);
  assert.equal(frame[0] & 0x7f, 0);
});

test("encoding and decoding take a small share of real time", (t) => {
  const it = opus();
  it.init(0);
  const times = [];
  for (let piece = 0, at = 0; piece < 600; piece++) {
    for (let n = 0; n < 160; n++, at++) it.set_sample(n, Math.round(9_000 * Math.sin(at / 7) * Math.sin(at / 900)));
    const began = performance.now();
    const length = it.encode(160);
    it.decode(length);
    if (piece >= 100) times.push(performance.now() - began);
  }
  const median = times.sort((a, b) => a - b)[times.length / 2];
  t.diagnostic(`${Math.round(1_000 * median)} µs for each 20 ms`);
  assert.ok(median < 5, `${median} ms`);
});
