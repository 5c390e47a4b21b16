/** What the microphone is asked for, and why there is none. */

/** @param {import("./settings.js").Sound} [sound] what the shopper has, or the call centre */
export const voice = ({ echo, noise_suppression: noiseSuppression = true, microphone: deviceId } = {}) => ({
  // Never two cancellers: the second would chase what the first one leaves.
  echoCancellation: echo !== "canceller" && echo !== "off",
  noiseSuppression,
  autoGainControl: true,
  deviceId,
});

/** Whether the page or a frame around it withholds the microphone; browsers without that API do not tell. */
export function isForbidden() {
  /** @type {{allowsFeature(name: string): boolean} | undefined} */
  const policy = /** @type {any} */ (document).featurePolicy;
  return policy?.allowsFeature("microphone") === false;
}

/**
 * The catalogue's code for what getUserMedia said.
 * @param {Error} error
 */
export function microphoneError({ name }) {
  switch (name) {
    case "NotAllowedError":
      return isForbidden() ? "RL-104" : "RL-101";
    case "NotFoundError":
    case "OverconstrainedError":
      return "RL-102";
    case "NotReadableError":
    case "AbortError":
      return "RL-103";
    default:
      return "RL-105";
  }
}
