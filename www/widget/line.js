/**
 * Audio as frames, in the audio graph: engine → line → frames that go; frames that come → line → loudspeaker. Fetched when a
 * network lets no WebRTC pass, and by no other call.
 *
 * Not here: when that is (the phone), what a frame is (softphone-wasm/modules/line), and who carries it (panel.js).
 */

/**
 * Makes the line's node behind the engine's.
 * @param {BaseAudioContext} context
 * @param {AudioNode} engine its output is spoken, its second input hears what is played
 * @param {(id: string) => string} asset finds addresses
 * @param {(frame: ArrayBuffer) => void} onFrame a frame is to be sent
 * @returns {Promise<MessagePort>} takes frames that came, and whether the line is open; it begins closed. Asked by
 *   `null`, it tells its counts
 */
export async function connect(context, engine, asset, onFrame) {
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
  line.port.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) onFrame(data);
  };
  engine.connect(line);
  const volume = new GainNode(context);
  line.connect(volume).connect(context.destination);
  // As loud as the element that plays the far end over WebRTC. That one is at 0 where the graph plays louder than it comes (sound/speaker.js),
  // which frames are not played.
  const audio = /** @type {HTMLAudioElement} */ (document.getElementById("audio"));
  const follow = () => { volume.gain.value = audio.volume || 1; };
  audio.onvolumechange = follow;
  follow();
  // For its level, its keys and the canceller. A circle of nodes is silent unless there is a delay in it; a block is the least.
  line.connect(new DelayNode(context)).connect(engine, 0, 1);
  return line.port;
}
