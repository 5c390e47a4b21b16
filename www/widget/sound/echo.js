/**
 * The layers against the far end's echo, cheapest first: the browser's own canceller, the engine's suppressor, the canceller
 * module. Two cancellers never work one behind the other: the second would chase what the first one leaves.
 *
 * Not here: what takes the echo out (engine and module), and who chooses.
 */

import { asset } from "../audio.js";
import { processed } from "./source.js";

/**
 * How long the canceller may take, its fetch included; nothing else is set meanwhile. A compilation takes a tenth of it. What
 * comes instead has to be told within the call centre's 8 s.
 */
const CANCELLER_WITHIN_MS = 5000;
/** A worklet that has not answered by then, with nothing to compile, is not running. */
const SWITCHED_WITHIN_MS = 2000;
/** A fetch that nobody waits for goes on for whoever asks again. */
const FETCHED_WITHIN_MS = 30_000;

/**
 * `browser`: the browser's own canceller and nothing else, as every call begins. `suppressor`: the engine's switch behind it.
 * `canceller`: the module, with the browser's own turned off. `off`: nothing.
 * @typedef {"browser" | "suppressor" | "canceller" | "off"} Layer
 */

/**
 * What is really set, which may be less than what was asked for.
 * @typedef {object} Echo
 * @property {Layer} layer
 * @property {boolean} browser whether the browser's own canceller works on the microphone, as its track says
 * @property {string} [code] of the catalogue, if `layer` is not what was asked for: RL-113 the module could not be fetched or
 *   does not run, RL-114 there is no engine in the microphone's path, RL-115 the browser did not turn its own canceller on or off
 */

/** @typedef {import("./sound.js").Host} Host */

/** The canceller's module, once it was asked for. @type {Promise<ArrayBuffer> | undefined} */
let canceller;

/**
 * Sets the layer that works against the far end's echo; one at a time. What cannot be had falls back to the next cheaper one.
 * @param {Host} host
 * @param {Layer} wanted
 * @returns {Promise<Echo>} what is really set, and why it is not what was asked for
 */
export async function setEcho(host, wanted) {
  let layer = wanted;
  /** @type {string | undefined} */
  let code;
  if (layer === "canceller" && (await run(host, layer)) !== layer) {
    [layer, code] = ["suppressor", "RL-113"];
  }
  // Its own canceller goes when the module is ready to take over, and not before.
  const own = layer === "browser" || layer === "suppressor";
  // The suppressor does not need it.
  if (!(await processed(host, { echoCancellation: own })) && layer !== "suppressor") {
    code = "RL-115";
    layer = layer === "canceller" ? "suppressor" : layer === "browser" ? "off" : "browser";
  }
  const browser = () => !!host.microphone()?.getSettings().echoCancellation;
  if (layer !== "canceller" && (await run(host, layer)) !== layer) {
    code = "RL-114";
    layer = browser() ? "browser" : "off";
  }
  return { layer, browser: browser(), ...(code && { code }) };
}

/**
 * Has the worklet run a layer.
 * @param {Host} host
 * @param {Layer} layer
 * @returns {Promise<Layer | undefined>} what runs then; undefined if there is no worklet that could say
 */
async function run(host, layer) {
  const graph = host.graph();
  // Nothing of the worklet's is asked for.
  if (!graph?.runs) return layer === "browser" || layer === "off" ? layer : undefined;
  const takesModule = layer === "canceller";
  /** @type {Promise<undefined>} */
  const late = new Promise((resolve) => setTimeout(resolve, takesModule ? CANCELLER_WITHIN_MS : SWITCHED_WITHIN_MS));
  const module = takesModule ? await Promise.race([fetched(), late]) : undefined;
  if (takesModule && !module) return undefined;
  return Promise.race([late, new Promise((resolve) => {
    graph.onLayer = (running) => {
      // Not what was asked for before, and given up.
      if (running === layer || running === "browser") resolve(running);
    };
    graph.tell({ echo: layer, module });
  })]);
}

/** @returns {Promise<ArrayBuffer | undefined>} the canceller's module, unless it could not be fetched */
function fetched() {
  canceller ??= fetch(asset("canceller-wasm"), { signal: AbortSignal.timeout(FETCHED_WITHIN_MS) }).then((response) => {
    if (!response.ok) throw new Error(`${response.status} ${response.url}`);
    return response.arrayBuffer();
  });
  return canceller.catch((error) => {
    console.warn("Ringlet: no echo canceller.", error);
    canceller = undefined;
    return undefined;
  });
}
