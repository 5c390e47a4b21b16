/**
 * The microphone as a source: which one, and what the browser does to its sound. Not here: its permission, which the panel asks for.
 */

import { voice } from "../microphone.js";

/** @typedef {import("./sound.js").Host} Host */

/**
 * Has the browser process the microphone's sound otherwise.
 * @param {Host} host
 * @param {{echoCancellation?: boolean, noiseSuppression?: boolean}} wanted
 * @returns {Promise<boolean>} whether it is so, or there is no microphone yet
 */
export async function processed(host, wanted) {
  const track = host.microphone();
  if (!track || is(track, wanted)) return true;
  const { deviceId } = track.getSettings();
  await track.applyConstraints({ ...voice(host.settings.current().sound), ...wanted, deviceId }).catch(() => {});
  if (is(track, wanted)) return true;
  // Chromium sets a source up once; a second one of the same microphone is another source, unless it takes the first for near enough.
  if (await opened(host, deviceId, wanted)) return true;
  track.stop();
  if (await opened(host, deviceId, wanted)) return true;
  // Else nobody hears the shopper. A track that was stopped does not say so itself.
  if (!(await opened(host, deviceId))) track.dispatchEvent(new Event("ended"));
  return false;
}

/**
 * Opens a microphone in the place of the one before.
 * @param {Host} host
 * @param {string | undefined} deviceId whichever the browser takes, without one
 * @param {{echoCancellation?: boolean, noiseSuppression?: boolean}} [wanted] else it is not taken
 * @returns {Promise<boolean>} whether it is there
 */
export async function opened(host, deviceId, wanted = {}) {
  const audio = { ...voice(host.settings.current().sound), ...wanted, deviceId: deviceId && { exact: deviceId } };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: /** @type {MediaTrackConstraints} */ (audio) }).catch(() => undefined);
  const track = stream?.getAudioTracks()[0];
  if (track && is(track, wanted)) {
    host.replace(track);
    return true;
  }
  track?.stop();
  return false;
}

/** @param {MediaStreamTrack} track @param {object} wanted of its settings */
function is(track, wanted) {
  const settings = /** @type {Record<string, unknown>} */ (track.getSettings());
  return Object.entries(wanted).every(([name, value]) => (settings[name] ?? false) === value);
}
