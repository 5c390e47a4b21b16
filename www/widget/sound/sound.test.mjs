// What the shopper is told of the sound, and can undo, when not all that was asked for is possible or a device goes.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

/** What a document makes, as far as the sound needs it. */
const elements = [];
class Element {
  children = [];
  textContent = "";
  append(...children) { this.children.push(...children); }
  before() {}
  setAttribute() {}
  querySelector() { return new Element(); }
}
Object.assign(globalThis, {
  document: {
    adoptedStyleSheets: [],
    createElement() {
      const made = new Element();
      elements.push(made);
      return made;
    },
    getElementById: () => new Element(),
  },
  CSSStyleSheet: class { replaceSync() {} },
  setTimeout: (act) => setImmediate(act),
});

const folder = mkdtempSync(join(tmpdir(), "sound-"));
const [entry, outfile] = [fileURLToPath(new URL("sound.js", import.meta.url)), join(folder, "sound.mjs")];
await build({ entryPoints: [entry], bundle: true, format: "esm", loader: { ".css": "text" }, outfile });
const { Sound } = await import(pathToFileURL(outfile));
rmSync(folder, { recursive: true });

const USUAL = [
  { kind: "audioinput", deviceId: "default", label: "Usual microphone" }, { kind: "audiooutput", deviceId: "default", label: "Usual" },
];
const HEADSET = { kind: "audiooutput", deviceId: "h", label: "Headset" };

/** A microphone's track. */
class Track {
  readyState = "live";
  label = "Usual microphone";
  getSettings = () => ({ echoCancellation: true, noiseSuppression: true });
  stop() { this.readyState = "ended"; }
}

/** The panel, with these devices, in which an echo layer other than the canceller can be had, and no sound louder than it comes. */
function panel(...there) {
  let [kept, microphone] = [{}, new Track()];
  const devices = [...USUAL, ...there];
  const audio = { srcObject: {}, volume: 1, muted: false, sinkId: "", async setSinkId(id) { this.sinkId = id; } };
  const graph = {
    runs: true,
    gains: [],
    onLayer() {},
    tell({ echo, gain }) {
      if (echo) this.onLayer(echo);
      else this.gains.push(gain);
      return true;
    },
  };
  const reports = [];
  const getUserMedia = async () => {
    if (!devices.some(({ kind }) => kind === "audioinput")) throw new Error("NotFoundError");
    return { getAudioTracks: () => [new Track()] };
  };
  const mediaDevices = { enumerateDevices: async () => [...devices], getUserMedia };
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
  globalThis.fetch = async () => ({ ok: false, status: 404, url: "canceller.wasm" });
  elements.length = 0;
  const sound = new Sound({
    audio,
    settings: { current: () => kept, set: (name, value) => { kept = { ...kept, [name]: value }; } },
    graph: () => graph,
    peer: () => undefined,
    microphone: () => microphone,
    replace: (track) => { microphone = track; },
    mute: (muted) => { kept = { ...kept, muted }; },
    keypad() {},
    report: (message) => reports.push(message),
    sentence: (code) => `The sentence of ${code}.`,
    known: mediaDevices.enumerateDevices(),
  });
  const [text, button, note] = elements;
  const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  return {
    sound, audio, graph, devices,
    microphone: () => microphone,
    kept: () => kept.sound,
    reported: () => reports.at(-1),
    /** What the shopper reads, and the button beside it. */
    async note() {
      await settled();
      return note.hidden ? undefined : [text.textContent.trim(), button.textContent];
    },
    async undo() {
      button.onclick();
      await sound.tell();
    },
  };
}

test("what came about is told and can be undone, though not all of what was asked for did", async () => {
  const it = panel();
  await it.sound.set({ type: "set", by: "desk", speaker_db: -6, output_device: "gone" });
  assert.deepEqual(await it.note(), ["The call centre made what you hear softer.", "Undo"]);
  assert.equal(it.reported().refused, true);
  await it.undo();
  assert.deepEqual([it.audio.volume, it.reported().speaker_db, await it.note()], [1, 0, undefined]);
});

test("a layer against echo that came about in the place of another one is told and can be undone", async () => {
  const it = panel();
  await it.sound.set({ type: "set", by: "agent", echo: "canceller" });
  assert.deepEqual(await it.note(), ["The call centre changed what works against echo.", "Undo"]);
  assert.deepEqual([it.reported().refused, it.reported().echo], [true, "suppressor"]);
  await it.undo();
  assert.equal(it.reported().echo, "browser");
});

test("where nothing came about, or it was so already, there is nothing to be told or undone", async () => {
  const it = panel();
  await it.sound.set({ type: "set", by: "desk", speaker_db: 6, output_device: "gone" });
  assert.deepEqual([it.reported().refused, await it.note()], [true, undefined]);
  await it.sound.set({ type: "set", by: "desk", muted: false, echo: "browser" });
  assert.deepEqual([it.reported().refused, await it.note()], [undefined, undefined]);
});

test("a step is told as what it was, wherever one comes from", async () => {
  const it = panel();
  for (const speaker_db of [-8, -4]) await it.sound.set({ type: "set", by: "agent", speaker_db });
  assert.deepEqual(await it.note(), ["The call centre made what you hear louder.", "Undo"]);
  await it.undo();
  assert.equal(it.reported().speaker_db, 0);
});

test("a lost loudspeaker gives way to the usual one, which is told", async () => {
  const it = panel(HEADSET);
  await it.sound.choose({ output_device: "Headset" });
  assert.deepEqual([it.audio.sinkId, it.reported().output_device, it.kept().speaker], ["h", "Headset", "h"]);
  it.devices.pop();
  await it.sound.devicesChanged();
  assert.deepEqual(await it.note(), ["The sentence of RL-127. (RL-127)", "OK"]);
  assert.deepEqual([it.audio.sinkId, it.reported().output_device, it.kept().speaker], ["", "Usual", undefined]);
  await it.undo();
  await it.sound.devicesChanged();
  assert.equal(await it.note(), undefined, "it is told once");
});

test("a lost microphone without another one is told, and the next one that is connected takes its place", async () => {
  const it = panel();
  const [microphone] = it.devices.splice(0, 1);
  it.microphone().stop();
  await it.sound.lost();
  assert.deepEqual(await it.note(), ["The sentence of RL-126. (RL-126)", "OK"]);
  assert.equal(it.microphone().readyState, "ended");
  it.devices.push(microphone);
  await it.sound.devicesChanged();
  assert.deepEqual(await it.note(), ["The sentence of RL-125. (RL-125)", "OK"]);
  assert.equal(it.microphone().readyState, "live");
});
