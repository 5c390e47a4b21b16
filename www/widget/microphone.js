/** What the microphone is asked for, and why there is none. */

/** @param {import("./settings.js").Sound} [sound] what the shopper has, or the call centre */
export const voice = ({ echo, noise_suppression: noiseSuppression = true } = {}) => ({
  // Never two cancellers: the second would chase what the first one leaves.
  echoCancellation: echo !== "canceller" && echo !== "off",
  noiseSuppression,
  autoGainControl: true,
});

/**
 * The catalogue's code for what getUserMedia said.
 * @param {Error} error
 */
export function microphoneError({ name }) {
  /** @type {{allowsFeature(name: string): boolean} | undefined} */
  const policy = /** @type {any} */ (document).featurePolicy;
  switch (name) {
    case "NotAllowedError":
      return policy?.allowsFeature("microphone") === false ? "RL-104" : "RL-101";
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
