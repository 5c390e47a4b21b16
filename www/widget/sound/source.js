/**
 * The microphone as a source: what the browser does to its sound. Not here: its permission, which the panel asks for.
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
  if (!track) return true;
  if (is(track, wanted)) return true;
  const constraints = { ...voice(host.settings.current().sound), ...wanted };
  await track.applyConstraints(constraints).catch(() => {});
  if (is(track, wanted)) return true;
  // Chromium sets a source up once; a second one of the same microphone is another source.
  const { deviceId } = track.getSettings();
  const other = await navigator.mediaDevices
    .getUserMedia({ audio: { ...constraints, deviceId: deviceId ? { exact: deviceId } : undefined } })
    .catch(() => undefined);
  const [opened] = other?.getAudioTracks() ?? [];
  if (opened && is(opened, wanted)) {
    host.replace(opened);
    return true;
  }
  opened?.stop();
  return false;
}

/** @param {MediaStreamTrack} track @param {object} wanted of its settings */
function is(track, wanted) {
  const settings = /** @type {Record<string, unknown>} */ (track.getSettings());
  return Object.entries(wanted).every(([name, value]) => (settings[name] ?? false) === value);
}
