/**
 * Audio as frames, in the audio graph: engine → line → frames that go; frames that come → line → loudspeaker. Fetched when a
 * network lets no WebRTC pass, and by no other call.
 *
 * Not here: when that is (the phone), what a frame is (softphone-wasm/modules/line), and who carries it (panel.js).
 */

/**
 * Makes the line's node behind the engine's.
 * @param {AudioNode} output plays what is heard
 * @param {AudioNode} engine its output is spoken, its second input hears what is played
 * @param {(id: string) => string} asset finds addresses
 * @param {(frame: ArrayBuffer) => void} onFrame a frame is to be sent
 * @returns {Promise<MessagePort>} takes frames that came, and whether the line is open; it begins closed
 */
export async function connect(output, engine, asset, onFrame) {
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
  line.port.onmessage = ({ data }) => onFrame(data);
  engine.connect(line);
  line.connect(output);
  // For its level, its keys and the canceller. A circle of nodes is silent unless there is a delay in it; a block is the least.
  line.connect(new DelayNode(context)).connect(engine, 0, 1);
  return line.port;
}
