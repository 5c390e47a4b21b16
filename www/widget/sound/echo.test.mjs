// Which layer is set against the echo where a module or the worklet keeps one waiting.
import assert from "node:assert/strict";
import test from "node:test";
import { setEcho } from "./echo.js";

/** What the switchboard waits for a layer (`LAYERED_WITHIN`). */
const TOLD_WITHIN_MS = 8000;

/** @type {{act: () => void, ms: number}[]} */
let timers = [];
/** How long was waited, in all. */
let waited = 0;
let fetches = 0;
let fetched = () => new Promise(() => {});
globalThis.document = { getElementById: () => ({ href: "canceller.wasm" }) };
globalThis.setTimeout = (act, ms) => timers.push({ act, ms });
globalThis.fetch = (_, { signal } = {}) => {
  fetches += 1;
  assert.ok(signal, "it has no deadline");
  return fetched();
};

/** A call whose worklet says at once what `answers` gives. */
function host(answers) {
  const settings = { echoCancellation: true };
  const graph = {
    runs: true,
    onLayer() {},
    asked: [],
    tell(message) {
      this.asked.push(message.echo);
      for (const running of answers(message.echo)) this.onLayer(running);
    },
  };
  const microphone = { getSettings: () => settings, applyConstraints: async (wanted) => Object.assign(settings, wanted) };
  return { graph: () => graph, microphone: () => microphone, settings: { current: () => ({}) } };
}

/** Sets a layer while time passes whenever nothing else does. */
async function set(host, layer) {
  [timers, waited] = [[], 0];
  let done;
  setEcho(host, layer).then((it) => { done = it; });
  for (let turn = 0; !done && turn < 10; turn += 1) {
    await new Promise(setImmediate);
    const next = done ? undefined : timers.shift();
    waited += next?.ms ?? 0;
    next?.act();
  }
  return done;
}

test("a module whose fetch stalls gives way to the suppressor before the far end is refused, and runs once it came", async () => {
  const it = host((layer) => [layer]);
  let come = (_) => {};
  fetched = () => new Promise((resolve) => { come = resolve; });
  for (const _ of ["at first", "again"]) {
    assert.deepEqual(await set(it, "canceller"), { layer: "suppressor", browser: true, code: "RL-113" });
    assert.ok(waited < TOLD_WITHIN_MS, `${waited} ms`);
  }
  come({ ok: true, arrayBuffer: async () => new ArrayBuffer(1) });
  assert.deepEqual(await set(it, "canceller"), { layer: "canceller", browser: false });
  assert.deepEqual([fetches, it.graph().asked], [1, ["suppressor", "suppressor", "canceller"]]);
});

test("a worklet that answers nothing is given up before the far end is refused", async () => {
  for (const layer of ["suppressor", "canceller"]) {
    assert.deepEqual(await set(host(() => []), layer), { layer: "browser", browser: true, code: "RL-114" });
    assert.ok(waited < TOLD_WITHIN_MS, `${waited} ms`);
  }
});

test("the late answer of a layer that was given up is not taken for the next one's", async () => {
  const it = host((layer) => ["canceller", layer]);
  assert.deepEqual(await set(it, "suppressor"), { layer: "suppressor", browser: true });
});
