/** Microphones and loudspeakers by the names that the browser gives them. */

/** Names are told up to here, as `protocol::settings` takes them. */
const NAME_CHARACTERS = 64;

/** @typedef {{id: string, name: string}} Device */

/**
 * What there is. Empty where the browser names nothing: before the microphone is allowed, and in Firefox for loudspeakers.
 * @returns {Promise<{inputs: Device[], outputs: Device[]}>}
 */
export async function devices() {
  const all = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  const of = (/** @type {MediaDeviceKind} */ kind) =>
    all.filter((it) => it.kind === kind && it.label).map(({ deviceId, label }) => ({ id: deviceId, name: name(label) }));
  return { inputs: of("audioinput"), outputs: of("audiooutput") };
}

/** @param {string} label */
export const name = (label) => label.slice(0, NAME_CHARACTERS);

/** @param {Device[]} list One a line, as the protocol has it. */
export const lines = (list) => list.map((it) => it.name).join("\n");

/**
 * What is there now and was not before. Not what stands for another one: `default` and its like.
 * @param {Device[]} now
 * @param {Device[]} before
 */
export const added = (now, before) =>
  now.find(({ id }) => !["default", "communications"].includes(id) && !before.some((it) => it.id === id));
