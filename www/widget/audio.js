/**
 * The audio graph: microphone → engine → the track that is sent, and the far end's audio → engine, for its level and its
 * keys only. Playback is not here: an audio element plays the far end natively, and must, unmuted, for Chromium to let
 * any of it into the graph.
 *
 * Whatever fails here, the call goes on: then the microphone's own track is sent, without levels.
 */

import { cancelled, setBrowser } from "./echo.js";

/** A worklet that has not answered by then is not running: a compilation takes a tenth of it. */
const LAYER_WITHIN_MS = 5000;

/** @typedef {import("./echo.js").Layer} Layer */
/** @typedef {import("./echo.js").Echo} Echo */

/**
 * @typedef {object} Reports
 * @property {(own: number, far: number) => void} onLevels both sides' levels in dBov
 * @property {(digit: string) => void} onDigit the engine has heard a key of the far end
 * @property {(usable: boolean) => void} onUsable whether the engine's track carries the voice, or the microphone's must
 * @property {(track: MediaStreamTrack) => void} onMicrophone the microphone was opened again, with other processing; the track before
 *   is to be stopped
 */

/** @param {string} id of a link in panel.html @returns {string} its address */
export const asset = (id) => /** @type {HTMLLinkElement} */ (document.getElementById(id)).href;

export class AudioGraph {
  #context = new AudioContext({ latencyHint: "interactive" });
  /** @type {AudioWorkletNode | undefined} */
  #node;
  /** By input of the node. Kept, that they be not collected, and that they be connected once the node is there. @type {(MediaStreamAudioSourceNode | undefined)[]} */
  #sources = [];
  #reports;
  /** @type {MediaStreamTrack | undefined} */
  #microphone;
  /** @type {Layer} */
  #layer = "browser";
  /** The change of layer that is under way; the next one waits for it. @type {Promise<unknown>} */
  #changing = Promise.resolve();
  /** The canceller's module, once it was asked for. @type {Promise<ArrayBuffer> | undefined} */
  #canceller;
  /** Takes the worklet's word on what runs. @type {(layer: Layer) => void} */
  #onLayer = () => {};
  #destination = this.#context.createMediaStreamDestination();

  /** @param {Reports} reports */
  constructor(reports) {
    this.#reports = reports;
    const context = this.#context;
    const usable = () => reports.onUsable(!!this.#node && context.state === "running");
    context.onstatechange = usable;
    const engine = fetch(asset("engine-wasm")).then((response) => response.arrayBuffer());
    Promise.all([engine, context.audioWorklet.addModule(asset("worklet-js"))]).then(([bytes]) => {
      const node = new AudioWorkletNode(context, "ringlet-engine", {
        numberOfInputs: 2,
        outputChannelCount: [1],
        channelCount: 1,
        channelCountMode: "explicit",
        processorOptions: { engine: bytes },
      });
      node.port.onmessage = ({ data }) => {
        if (data.echo) this.#onLayer(data.echo);
        else if (data.digit) reports.onDigit(data.digit);
        else reports.onLevels(data.own, data.far);
      };
      node.onprocessorerror = () => reports.onUsable(false);
      this.#sources.forEach((source, input) => source?.connect(node, 0, input));
      node.connect(this.#destination);
      this.#node = node;
      usable();
    }).catch((error) => console.warn("Ringlet: the call goes on without its audio engine.", error));
    // Browsers that ignore allow="autoplay" resume once the microphone is captured.
    this.resume();
  }

  /** To be tried again when the shopper has pressed something. */
  resume() {
    this.#context.resume().catch(() => {});
  }

  /** The engine's voice of the shopper. */
  get track() {
    return /** @type {MediaStreamTrack} */ (this.#destination.stream.getAudioTracks()[0]);
  }

  /** @param {MediaStreamTrack} track */
  setMicrophone(track) {
    this.#microphone = track;
    this.#add(track, 0);
    this.resume();
    // Another microphone comes as it was asked for, with the browser's own canceller.
    if (this.#layer !== "browser") this.setEcho(this.#layer);
  }

  /** @param {MediaStreamTrack} track */
  setFarEnd(track) {
    this.#add(track, 1);
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.#node?.port.postMessage({ muted });
  }

  /**
   * Sets the layer that works against the far end's echo. What cannot be had falls back to the next cheaper one.
   * @param {Layer} wanted
   * @returns {Promise<Echo>} what is really set, and why it is not what was asked for
   */
  setEcho(wanted) {
    const change = this.#changing.then(() => this.#setEcho(wanted));
    this.#changing = change;
    return change;
  }

  close() {
    this.#context.onstatechange = null;
    this.#context.close().catch(() => {});
  }

  /** @param {Layer} wanted @returns {Promise<Echo>} */
  async #setEcho(wanted) {
    let layer = wanted;
    /** @type {string | undefined} */
    let code;
    if (layer === "canceller" && (await this.#run(layer)) !== layer) {
      [layer, code] = ["suppressor", "RL-113"];
    }
    // Its own canceller goes when the module is ready to take over, and not before.
    const own = layer === "browser" || layer === "suppressor";
    // The suppressor does not need it.
    if (!(await this.#setBrowser(own)) && layer !== "suppressor") {
      code = "RL-115";
      layer = layer === "canceller" ? "suppressor" : layer === "browser" ? "off" : "browser";
    }
    if (layer !== "canceller" && (await this.#run(layer)) !== layer) {
      code = "RL-114";
      layer = cancelled(this.#microphone) ? "browser" : "off";
    }
    this.#layer = layer;
    return { layer, browser: cancelled(this.#microphone), ...(code && { code }) };
  }

  /**
   * Has the worklet run a layer.
   * @param {Layer} layer
   * @returns {Promise<Layer | undefined>} what runs then; undefined if there is no worklet that could say
   */
  async #run(layer) {
    const port = this.#node?.port;
    // Nothing of the worklet's is asked for.
    if (!port) return layer === "browser" || layer === "off" ? layer : undefined;
    /** @type {ArrayBuffer | undefined} */
    let module;
    if (layer === "canceller") {
      this.#canceller ??= fetch(asset("canceller-wasm")).then((response) => {
        if (!response.ok) throw new Error(`${response.status} ${response.url}`);
        return response.arrayBuffer();
      });
      try {
        module = await this.#canceller;
      } catch (error) {
        console.warn("Ringlet: no echo canceller.", error);
        this.#canceller = undefined;
        return undefined;
      }
    }
    return new Promise((resolve) => {
      const late = setTimeout(resolve, LAYER_WITHIN_MS);
      this.#onLayer = (running) => {
        clearTimeout(late);
        resolve(running);
      };
      port.postMessage({ echo: layer, module });
    });
  }

  /** @param {boolean} on @returns {Promise<boolean>} whether the browser's own canceller is so, or there is no microphone yet */
  async #setBrowser(on) {
    const before = this.#microphone;
    if (!before) return true;
    const track = await setBrowser(before, on);
    if (track !== before) {
      this.#microphone = track;
      this.#add(track, 0);
      this.#reports.onMicrophone(track);
    }
    return cancelled(track) === on;
  }

  /** @param {MediaStreamTrack} track @param {number} input */
  #add(track, input) {
    const source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#sources[input]?.disconnect();
    this.#sources[input] = source;
    if (this.#node) source.connect(this.#node, 0, input);
  }
}
