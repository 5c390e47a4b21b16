/**
 * Runs all of opus.wasm, beside page and audio: that it is compiled when the audio thread needs it, and that it computes what it must.
 * The module arrives as bytes, the answer is whether it may be used.
 */

/** @param {MessageEvent<ArrayBuffer>} message */
onmessage = async ({ data }) => {
  let runs = false;
  try {
    const { instance } = await WebAssembly.instantiate(data);
    const { vectors, vectors_expected: expected } = /** @type {Record<string, () => number>} */ (instance.exports);
    runs = vectors?.() === expected?.();
  } catch {
    // Said by the answer.
  }
  postMessage(runs);
};
