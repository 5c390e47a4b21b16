/**
 * Audio as frames, in the audio graph: engine → line → frames that go; frames that come → line → loudspeaker. Fetched when a
 * network lets no WebRTC pass, and by no other call. Frames are of G.711 until Opus has been fetched as well; without it, they stay so.
 *
 * Not here: when that is (the phone), what a frame is (softphone-wasm/modules/line), and who carries it (panel.js).
 */

/** What the audio may cost, by the numbers of softphone-wasm/modules/opus/src/abi.rs. Whatever else is chosen is the first. */
const QUALITIES = ["standard", "saver", "best"];

/** A worker that has not run Opus by then has stopped, or is on a machine that Opus is too much for: elsewhere it takes less than a second. */
const TRIED_WITHIN_MS = 20000;

/**
 * Makes the line's node behind the engine's.
 * @param {AudioNode} output plays what is heard
 * @param {AudioNode} engine its output is spoken, its second input hears what is played
 * @param {(id: string) => string} asset finds addresses
 * @param {Pick<import("./audio.js").Reports, "onFrame" | "onOpus" | "quality">} reports
 * @returns {Promise<MessagePort>} takes frames that came, and whether the line is open; it begins closed. Asked by
 *   `null`, it tells its counts
 */
export async function connect(output, engine, asset, { onFrame, onOpus, quality }) {
  const { context } = output;
  const [response] = await Promise.all([
    fetch(asset("line-wasm")),
    context.audioWorklet.addModule(asset("line-worklet-js")),
  ]);
  if (!response.ok) throw new Error(`${response.status} ${response.url}`);
  const line = new AudioWorkletNode(context, "ringlet-line", {
    outputChannelCount: [1],
    channelCount: 1,
    channelCountMode: "explicit",
    processorOptions: { line: await response.arrayBuffer() },
  });
  /** @type {Worker | undefined} */
  let worker;
  line.port.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) return onFrame(data);
    if (typeof data !== "boolean") return;
    worker?.terminate();
    onOpus(data);
  };
  engine.connect(line);
  line.connect(output);
  // For its level, its keys and the canceller. A circle of nodes is silent unless there is a delay in it; a block is the least.
  line.connect(new DelayNode(context)).connect(engine, 0, 1);
  addOpus(asset, line.port, Math.max(QUALITIES.indexOf(quality() ?? ""), 0)).then(
    (tried) => { worker = tried; },
    (error) => console.warn("Ringlet: frames stay of G.711.", error),
  );
  return line.port;
}

/**
 * Fetches Opus, tries it in a worker, and hands it to the line. Chromium compiles each function when it is first called, some 70 ms of them in
 * the first frame, which the audio thread does not have; what the worker has compiled it finds done, for as long as the worker lives.
 * @param {(id: string) => string} asset finds addresses
 * @param {MessagePort} line
 * @param {number} quality
 * @returns {Promise<Worker>} to be ended when the line has answered
 */
async function addOpus(asset, line, quality) {
  const response = await fetch(asset("opus-wasm"), { priority: "low" });
  if (!response.ok) throw new Error(`${response.status} ${response.url}`);
  const bytes = await response.arrayBuffer();
  const worker = new Worker(asset("opus-worker-js"));
  try {
    await new Promise((resolve, reject) => {
      const fail = () => reject(new Error("Opus does not run as it must."));
      worker.onmessage = ({ data }) => (data ? resolve(data) : fail());
      worker.onerror = fail;
      setTimeout(fail, TRIED_WITHIN_MS);
      worker.postMessage(bytes);
    });
  } catch (error) {
    worker.terminate();
    throw error;
  }
  line.postMessage({ opus: bytes, quality }, [bytes]);
  return worker;
}
