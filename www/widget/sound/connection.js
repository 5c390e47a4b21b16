/**
 * How good the connection of the running call is, measured for some seconds while people talk: from the browser's statistics, or where
 * audio goes as frames from the line's counts and from requests to the server. Scored as a check is, and in the same words of the E-model.
 *
 * Not here: when, and who is told.
 */

import { score } from "../../check/score.js";

/** How long is measured: 200 packets, so that a loss of 1 % shows. */
const MEASURE_MS = 4000;
/** How much longer, where the gateway has not reported yet what of the shopper's voice it lost: reports come every 2.5 to 7.5 s (RFC 3550 section 6.2). */
const REPORTED_WITHIN_MS = 4000;
/** How often is read. */
const READ_EVERY_MS = 250;

/**
 * What was found, named as in the protocol. What could not be found out is left out.
 * @typedef {object} Found
 * @property {number} quality_score
 * @property {number} [round_trip_ms]
 * @property {number} [jitter_ms]
 * @property {number} [said_lost_percent]
 * @property {number} [heard_lost_percent]
 * @property {number} [concealed_percent]
 */

/**
 * What of it makes the score, not rounded.
 * @typedef {object} Way
 * @property {"udp" | "tcp" | "websocket"} transport
 * @property {number} [roundTrip]
 * @property {number} [jitter]
 * @property {number} [said] percent lost
 * @property {number} [heard] percent lost
 * @property {number} [concealed] percent
 */

/**
 * @param {RTCPeerConnection | undefined} peer
 * @param {MessagePort | undefined} line where audio goes as frames
 * @returns {Promise<Found>}
 * @throws {Error} when nothing can be measured
 */
export async function measure(peer, line) {
  if (line) return scored(await overFrames(line));
  if (peer) return scored(await overWebRtc(peer));
  throw new Error("there is no path");
}

/** @param {Way} way @returns {Found} */
export function scored({ transport, roundTrip, jitter, said, heard, concealed }) {
  // What came too late to be played was lost as well.
  const lost = (said ?? 0) + Math.max(heard ?? 0, concealed ?? 0);
  return {
    quality_score: score(transport, roundTrip ?? 0, lost),
    round_trip_ms: whole(roundTrip),
    jitter_ms: whole(jitter),
    said_lost_percent: whole(said),
    heard_lost_percent: whole(heard),
    concealed_percent: whole(concealed),
  };
}

/** @param {RTCPeerConnection} peer @returns {Promise<Way>} */
async function overWebRtc(peer) {
  const before = read(await peer.getStats());
  const readings = [before];
  const isReported = () => readings.some(({ reported }) => reported > before.reported);
  const began = performance.now();
  while (performance.now() - began < MEASURE_MS + (isReported() ? 0 : REPORTED_WITHIN_MS)) {
    await pause(READ_EVERY_MS);
    readings.push(read(await peer.getStats()));
  }
  return way(readings);
}

/** @typedef {ReturnType<typeof read>} Reading */

/**
 * What readings one after the other tell.
 * @param {Reading[]} readings at least one
 * @returns {Way}
 */
export function way(readings) {
  const [before, now] = /** @type {[Reading, Reading]} */ ([readings[0], readings[readings.length - 1]]);
  /** What the gateway has reported since, by the time of the report. @type {Map<number, number>} */
  const reports = new Map();
  for (const { reported, fractionLost } of readings) {
    if (reported > before.reported) reports.set(reported, 100 * fractionLost);
  }
  const [got, lost, samples] = [now.got - before.got, Math.max(0, now.lost - before.lost), now.samples - before.samples];
  return {
    transport: now.transport,
    roundTrip: median(readings.flatMap(({ roundTrip }) => roundTrip ?? [])),
    jitter: now.jitter,
    said: reports.size ? [...reports.values()].reduce((sum, percent) => sum + percent) / reports.size : undefined,
    heard: got ? (100 * lost) / (got + lost) : 100,
    concealed: samples > 0 ? (100 * Math.max(0, now.concealed - before.concealed)) / samples : undefined,
  };
}

/** @param {RTCStatsReport} stats */
export function read(stats) {
  /** @type {any[]} */
  const all = [...stats.values()];
  const one = (/** @type {string} */ wanted) => all.find(({ type }) => type === wanted) ?? {};
  const pair = all.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded") ?? {};
  const { protocol } = all.find(({ id }) => id === pair.localCandidateId) ?? {};
  const [heard, said] = [one("inbound-rtp"), one("remote-inbound-rtp")];
  return {
    transport: /** @type {"udp" | "tcp"} */ (protocol === "tcp" ? protocol : "udp"),
    roundTrip: milliseconds(pair.currentRoundTripTime),
    got: heard.packetsReceived ?? 0,
    lost: heard.packetsLost ?? 0,
    jitter: milliseconds(heard.jitter),
    samples: heard.totalSamplesReceived ?? 0,
    // Concealed silence is nothing that anybody misses.
    concealed: (heard.concealedSamples ?? 0) - (heard.silentConcealedSamples ?? 0),
    reported: said.timestamp ?? 0,
    fractionLost: said.fractionLost ?? 0,
  };
}

/** @param {MessagePort} line @returns {Promise<Way>} */
async function overFrames(line) {
  const before = await count(line);
  /** @type {number[]} */
  const roundTrips = [];
  const began = performance.now();
  while (performance.now() - began < MEASURE_MS) {
    const asked = performance.now();
    // Over a connection that is there already, beside the socket that has the audio.
    await fetch("healthz", { method: "HEAD", cache: "no-store" }).then(() => roundTrips.push(performance.now() - asked), () => {});
    await pause(READ_EVERY_MS);
  }
  const now = await count(line);
  const played = now.played - before.played;
  return {
    transport: "websocket",
    roundTrip: median(roundTrips),
    concealed: played > 0 ? (100 * (now.concealed - before.concealed)) / played : undefined,
  };
}

/** @param {MessagePort} line @returns {Promise<{played: number, concealed: number}>} in samples */
function count(line) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("the line does not answer")), MEASURE_MS);
    const listen = (/** @type {MessageEvent} */ { data }) => {
      if (data.played === undefined) return;
      clearTimeout(late);
      line.removeEventListener("message", listen);
      resolve(data);
    };
    line.addEventListener("message", listen);
    line.postMessage(null);
  });
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @param {number[]} values */
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** @param {number | undefined} seconds */
const milliseconds = (seconds) => seconds === undefined ? undefined : 1000 * seconds;

/** @param {number | undefined} value */
const whole = (value) => value === undefined ? undefined : Math.round(value);
