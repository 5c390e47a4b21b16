/**
 * The score of a connection: the E-model of ITU-T G.107 for a line of G.711, in its usual simplification for packet networks,
 * and the five categories of G.109.
 */

/** The rating of a line with neither delay nor loss. */
const R0 = 93.2;
/** What coding, packets, playout and trunk add to the way of the packets, in ms. */
const ADDED_DELAY_MS = 80;
/** The packet-loss robustness of G.711 with concealment (G.113 Appendix I), in percent. */
const BPL = 25.1;
/** Where the categories begin (G.109, table 1): best, high, medium, low. */
const CATEGORIES = [90, 80, 70, 60];
/** A way that is not the best has its worst days still to come: TCP makes a wait of each loss. */
const CEILING = { udp: 5, tcp: 4, websocket: 3 };

/**
 * @param {"udp" | "tcp" | "websocket" | undefined} transport what would carry a call
 * @param {number} roundTripMs
 * @param {number} lossPercent of both ways together
 * @returns {1 | 2 | 3 | 4 | 5}
 */
export function score(transport, roundTripMs, lossPercent) {
  if (!transport) return 1;
  const delay = roundTripMs / 2 + ADDED_DELAY_MS;
  const impairedByDelay = 0.024 * delay + (delay > 177.3 ? 0.11 * (delay - 177.3) : 0);
  // Each side hears the losses of one way.
  const oneWay = lossPercent / 2;
  const impairedByLoss = (95 * oneWay) / (oneWay + BPL);
  const rating = R0 - impairedByDelay - impairedByLoss;
  const category = CATEGORIES.filter((least) => rating >= least).length + 1;
  return /** @type {1 | 2 | 3 | 4 | 5} */ (Math.min(category, CEILING[transport]));
}
