/**
 * The layers against the far end's echo, cheapest first: the browser's own canceller, the engine's suppressor, the canceller
 * module. Two cancellers never work one behind the other: the second would chase what the first one leaves.
 *
 * Not here: what takes the echo out (engine and module), and who chooses.
 */

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

/**
 * What the microphone is asked for.
 * @param {boolean} echoCancellation the browser's own
 */
export const voice = (echoCancellation) => ({ echoCancellation, noiseSuppression: true, autoGainControl: true });

/** @param {MediaStreamTrack | undefined} track whether the browser's own canceller works on it */
export const cancelled = (track) => !!track?.getSettings().echoCancellation;

/**
 * Turns the browser's own canceller on or off.
 * @param {MediaStreamTrack} track
 * @param {boolean} on
 * @returns {Promise<MediaStreamTrack>} the track that does as asked, or the same one as before
 */
export async function setBrowser(track, on) {
  if (cancelled(track) === on) return track;
  await track.applyConstraints(voice(on)).catch(() => {});
  if (cancelled(track) === on) return track;
  // Chromium sets a source up once; a second one of the same microphone is another source.
  const { deviceId } = track.getSettings();
  const other = await navigator.mediaDevices
    .getUserMedia({ audio: { ...voice(on), deviceId: deviceId ? { exact: deviceId } : undefined } })
    .catch(() => undefined);
  const [opened] = other?.getAudioTracks() ?? [];
  if (opened && cancelled(opened) === on) return opened;
  opened?.stop();
  return track;
}
