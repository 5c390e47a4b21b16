/**
 * What the shopper has set in this call. It goes with the call from page to page: the panel hands it to the shop page's
 * loader beside the token, since a third-party frame's own storage may be forbidden.
 *
 * It knows no setting's meaning, so whoever has one to keep adds a line to `Settings` and applies it in `restore`'s callback
 * of panel.js. Values must survive JSON. Nothing secret belongs here: the shop's scripts can read it.
 */

/**
 * What can be set of the sound, named as in the protocol.
 * @typedef {object} Sound
 * @property {number} [microphone_db] the amplification of what the shopper says
 * @property {number} [speaker_db] that of what the shopper hears
 * @property {import("./sound/echo.js").Layer} [echo] what works against the far end's echo
 * @property {boolean} [noise_suppression] the browser takes noise out of what the shopper says
 * @property {string} [microphone] which, by the id that the browser gives it here
 * @property {string} [speaker] which, the same
 */

/**
 * @typedef {object} Settings
 * @property {boolean} [muted] the microphone is muted
 * @property {boolean} [small] the panel is minimised
 * @property {boolean} [keypad] the key pad is open
 * @property {string} [quality] what the audio may cost: a word of `Quality`, by default the server's
 * @property {Sound} [sound] what is set of the sound, if anything ever was
 * @property {boolean} [shown] the call centre has shown this page, and the shopper has not gone on
 * @property {{id: string, sdp?: string}} [next] the certificate that the next page is to have (next.js), and the answer to its offer
 * @property {boolean} [slow] audio goes as frames, since the network lets no WebRTC pass
 */

/** @type {Settings} */
let settings = {};
/** @type {() => void} */
let changed = () => {};

/** What is set now. @returns {Readonly<Settings>} */
export const current = () => settings;

/**
 * Sets one value, and tells if it is another than before.
 * @template {keyof Settings} Name
 * @param {Name} name
 * @param {Settings[Name]} value
 */
export function set(name, value) {
  if (settings[name] === value) return;
  settings = { ...settings, [name]: value };
  changed();
}

/**
 * Begins with what a page before has kept.
 * @param {Settings | undefined} kept
 * @param {() => void} onChange called after each change from now on
 */
export function restore(kept, onChange) {
  settings = { ...kept };
  changed = onChange;
}
