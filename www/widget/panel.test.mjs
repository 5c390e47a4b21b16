// What becomes of a page that the call centre shows, where the panel goes on with a call before its loader has said anything.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

/** What the switchboard waits for a page (`CARRIED_OUT_WITHIN`). */
const TOLD_WITHIN_MS = 3000;

const PHONE = `
  export default async () => {};
  export const sentence = (code) => code;
  export class Phone {
    constructor(listener) { globalThis.phone = { listener }; }
    tell() {}
    setMicrophone() {}
    fail() {}
  }`;

class Element {
  dataset = {};
  style = {};
  classList = { toggle() {}, contains: () => false, add() {} };
  textContent = "";
  hidden = false;
  append() {}
  focus() {}
  hasAttribute() { return false; }
  setAttribute() {}
  toggleAttribute() {}
  // Of the audio element.
  mayPlay = false;
  paused = true;
  async play() {
    if (!this.mayPlay) throw new DOMException("", "NotAllowedError");
    this.paused = false;
  }
}

/** By name. @type {Record<string, Element>} */
let parts = {};
let timers = [];
let listeners = {};
const shop = { postMessage() {} };
Object.assign(globalThis, {
  document: {
    documentElement: { dataset: {} },
    getElementById: (id) => (parts[id] ??= new Element()),
    addEventListener() {},
    hasFocus: () => false,
  },
  window: { name: "" },
  parent: shop,
  opener: null,
  location: { ancestorOrigins: ["https://shop.example"], href: "https://ringlet.example/panel", hash: "" },
  ResizeObserver: class { observe() {} },
  addEventListener: (name, listener) => { listeners[name] = listener; },
  fetch: async () => {},
  setTimeout: (act, ms) => timers.push({ act, ms }),
  clearTimeout() {},
});
const mediaDevices = { getUserMedia: () => new Promise(() => {}), enumerateDevices: async () => [], addEventListener() {} };
globalThis.MediaStream = class {};
Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });

const folder = mkdtempSync(join(tmpdir(), "panel-"));
const [entry, outfile, phone] = [fileURLToPath(new URL("panel.js", import.meta.url)), join(folder, "panel.mjs"), join(folder, "phone.mjs")];
writeFileSync(phone, PHONE);
await build({ entryPoints: [entry], bundle: true, format: "esm", alias: { phone }, outfile });
after(() => rmSync(folder, { recursive: true }));

let panels = 0;

/** A panel that goes on with a call, before its loader has said anything. */
async function panel() {
  [parts, timers, listeners] = [{}, [], {}];
  window.name = JSON.stringify({ page: "https://shop.example/", call: { token: "t", panel: {} } });
  panels += 1;
  await import(`${pathToFileURL(outfile)}?${panels}`);
  await new Promise(setImmediate);
  const { listener } = globalThis.phone;
  /** What the shop's page was told. */
  const said = [];
  const port = { postMessage: (message) => said.push(message) };
  return {
    hear: () => listener.onTrack({}),
    push: () => listener.onMessage({ type: "page", url: "/orders/17" }),
    /** The loader is there. */
    open: () => listeners.message({ data: { ringlet: "open" }, origin: "https://shop.example", source: shop, ports: [port] }),
    pages: () => said.filter(({ page }) => page).map(({ page }) => page),
    keeps: () => said.filter(({ keep }) => keep).map(({ keep }) => !!keep.panel.shown),
    /** Time passes until the call centre is refused. */
    wait() {
      for (const { act } of timers.splice(0).filter(({ ms }) => ms < TOLD_WITHIN_MS)) act();
    },
  };
}

test("a page that is shown is handed to the shop's page, and the next panel knows of it", async () => {
  const it = await panel();
  it.open();
  it.push();
  assert.deepEqual([it.pages(), it.keeps().at(-1)], [["/orders/17"], true]);
  it.wait();
  it.open();
  assert.deepEqual(it.pages(), ["/orders/17"]);
});

test("a page that is shown before the loader is there waits for it", async () => {
  const it = await panel();
  it.push();
  it.open();
  assert.deepEqual([it.pages(), it.keeps().at(-1)], [["/orders/17"], true]);
  it.open();
  assert.deepEqual(it.pages(), ["/orders/17"]);
});

test("a page that the loader comes too late for is not shown once the call centre is refused, and no panel says that it was", async () => {
  const it = await panel();
  it.push();
  it.wait();
  it.open();
  assert.deepEqual([it.pages(), it.keeps().at(-1)], [[], false]);
});

test("a browser that lets nothing be heard before the microphone is there is asked again when it is, and the shopper need not tap", async () => {
  let allow = () => {};
  const track = { stop() {}, readyState: "live" };
  mediaDevices.getUserMedia = () => new Promise((resolve) => { allow = () => resolve({ getAudioTracks: () => [track] }); });
  const { hear } = await panel();
  hear();
  await new Promise(setImmediate);
  assert.deepEqual([parts.tap.hidden, parts.tap.textContent], [false, "Tap to hear"]);
  parts.audio.mayPlay = true;
  allow();
  await new Promise(setImmediate);
  assert.deepEqual([parts.tap.hidden, parts.audio.paused], [true, false]);
});

test("a tap that lets the far end be heard and the microphone be asked for stays away while the question stands", async () => {
  mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError"); };
  const { hear } = await panel();
  hear();
  await new Promise(setImmediate);
  let deny = () => {};
  mediaDevices.getUserMedia = () => new Promise((_, reject) => { deny = () => reject(new DOMException("", "NotAllowedError")); });
  parts.audio.mayPlay = true;
  parts.tap.onclick();
  await new Promise(setImmediate);
  assert.deepEqual([parts.tap.hidden, parts.audio.paused], [true, false]);
  deny();
  await new Promise(setImmediate);
  assert.deepEqual([parts.tap.hidden, parts.tap.textContent], [false, "Tap to speak"]);
});
