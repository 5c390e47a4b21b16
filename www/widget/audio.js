/**
 * The audio graph: microphone → engine → the track that is sent, and the far end's audio → engine, for its level and its
 * keys only. Playback is not here, but of frames: an audio element plays the far end natively, and must, unmuted, for
 * Chromium to let any of it into the graph.
 *
 * Whatever fails here, the call goes on: then the microphone's own track is sent, without levels.
 */

/** How soon what audio as frames takes is fetched again, where the network did not give it. */
const FETCH_AGAIN_MS = 1000;

/**
 * @typedef {object} Reports
 * @property {(own: number, far: number) => void} onLevels both sides' levels in dBov
 * @property {(digit: string) => void} onDigit the engine has heard a key of the far end
 * @property {(frame: ArrayBuffer) => void} onFrame a frame is to be sent
 * @property {() => string | undefined} quality what a frame of Opus may cost: a word of `Quality`
 * @property {(runs: boolean) => void} onOpus frames are of Opus from now on, or of G.711 again
 * @property {(usable: boolean) => void} onUsable whether the engine's track carries the voice, or the microphone's must
 */

/** @param {string} id of a link in panel.html @returns {string} its address */
export const asset = (id) => /** @type {HTMLLinkElement} */ (document.getElementById(id)).href;

export class AudioGraph {
  context = new AudioContext({ latencyHint: "interactive" });
  /** Plays frames, as loud as `sound/speaker.js` sets it. */
  output = new GainNode(this.context);
  /** @type {AudioWorkletNode | undefined} */
  #node;
  /** By input of the node. Kept, that they be not collected, and that they be connected once the node is there. @type {(MediaStreamAudioSourceNode | undefined)[]} */
  #sources = [];
  /** Takes the worklet's word on which layer runs against the echo. @type {(layer: import("./sound/echo.js").Layer) => void} */
  onLayer = () => {};
  /** Audio goes as frames. */
  #open = false;
  /** Has what that takes, or fetches it. @type {Promise<void> | undefined} */
  #fetching;
  /** To the line (line.js), once it is there. @type {MessagePort | undefined} */
  line;
  #destination = this.context.createMediaStreamDestination();
  #reports;

  /** @param {Reports} reports */
  constructor(reports) {
    this.#reports = reports;
    const { context } = this;
    this.output.connect(context.destination);
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
        if (data.echo) this.onLayer(data.echo);
        else if (data.digit) reports.onDigit(data.digit);
        else reports.onLevels(data.own, data.far);
      };
      node.onprocessorerror = () => reports.onUsable(false);
      this.#sources.forEach((source, input) => source?.connect(node, 0, input));
      node.connect(this.#destination);
      this.#node = node;
      if (this.#open) this.frames(true);
      usable();
    }).catch((error) => console.warn("Ringlet: the call goes on without its audio engine.", error));
    // Browsers that ignore allow="autoplay" resume once the microphone is captured.
    this.resume();
  }

  /** To be tried again when the shopper has pressed something. */
  resume() {
    this.context.resume().catch(() => {});
  }

  /** The engine's voice of the shopper. */
  get track() {
    return /** @type {MediaStreamTrack} */ (this.#destination.stream.getAudioTracks()[0]);
  }

  /** @param {MediaStreamTrack} track */
  setMicrophone(track) {
    this.#add(track, 0);
    this.resume();
  }

  /** @param {MediaStreamTrack} track */
  setFarEnd(track) {
    this.#add(track, 1);
  }

  /** Whether there is an engine. */
  get runs() {
    return !!this.#node;
  }

  /** Lets audio go as frames, or ends that. @param {boolean} open */
  frames(open) {
    this.#open = open;
    const engine = this.#node;
    if (!engine) return;
    if (open) {
      this.#fetching ??= import(asset("line-js"))
        .then(({ connect }) => connect(this.output, engine, asset, this.#reports))
        .then((line) => {
          this.line = line;
          this.frames(this.#open);
        })
        .catch((error) => {
          console.warn("Ringlet: audio cannot go as frames yet.", error);
          this.#fetching = undefined;
          setTimeout(() => this.frames(this.#open), FETCH_AGAIN_MS);
        });
    }
    this.line?.postMessage(open);
  }

  /** Plays a frame that came. @param {ArrayBuffer} frame */
  play(frame) {
    this.line?.postMessage(frame, [frame]);
  }

  /**
   * Tells the worklet, if it is there.
   * @param {{muted: boolean} | {gain: number} | {echo: string, module?: ArrayBuffer}} message `gain` is linear, the microphone's
   * @returns {boolean} whether it is there
   */
  tell(message) {
    this.#node?.port.postMessage(message);
    return this.runs;
  }

  close() {
    this.#open = false;
    this.context.onstatechange = null;
    this.context.close().catch(() => {});
  }

  /** @param {MediaStreamTrack} track @param {number} input */
  #add(track, input) {
    const source = this.context.createMediaStreamSource(new MediaStream([track]));
    this.#sources[input]?.disconnect();
    this.#sources[input] = source;
    if (this.#node) source.connect(this.#node, 0, input);
  }
}
