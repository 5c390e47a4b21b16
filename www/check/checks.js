/**
 * All checks of a browser, one after the other or side by side, each with a state, a code and the catalogue's words. What a shop's
 * page alone can tell is found out by `loader/preflight.js`; what is shown, by `check.js`.
 */

import { isForbidden, microphoneError } from "../widget/microphone.js";
import { Refused, Session, leg, pause } from "./legs.js";
import { score } from "./score.js";

/** Above this a conversation suffers (ITU-T G.114: 400 ms one way, 150 ms for ease; less what coding and playout take). */
const LONG_ROUND_TRIP_MS = 300;
/** Above this, concealment is heard. */
const HIGH_LOSS_PERCENT = 3;
/** How loud the tone is that is sent and comes back; nobody hears it. */
const TONE_GAIN = 0.1;
/** An audio context that does not run by then waits for a click. */
const RUNNING_WITHIN_MS = 500;

/** @typedef {Record<string, [string, string]>} Catalogue sentence and cure by code */

/**
 * @typedef {object} Task
 * @property {Catalogue} catalogue
 * @property {string} token
 * @property {string} error why this page may not call, as a code
 * @property {boolean} microphone ask for it
 * @property {boolean} framed in a shop's page
 * @property {(check: RingletCheck) => void} onResult
 */

/** @type {RingletCheckName[]} */
export const NAMES = ["page", "policy", "microphone", "socket", "udp", "tcp", "websocket", "round_trip", "loss"];

/** Runs the checks and keeps their results. */
export class Checks {
  /** @type {Map<RingletCheckName, RingletCheck>} */
  #results = new Map();
  #task;

  /** @param {Task} task */
  constructor(task) {
    this.#task = task;
  }

  /** @returns {Promise<RingletReport>} */
  async run() {
    const { error, framed } = this.#task;
    if (error) this.#is("page", "failed", error);
    else this.#is("page", framed ? "ok" : "skipped");
    const context = tone();
    const [microphone] = await Promise.all([this.#microphone(), context.ready]);
    const way = error ? this.#nothingOf("socket") : await this.#network(context.track() ?? microphone);
    microphone?.stop();
    context.close();
    return this.#report(way);
  }

  /** Asks only if it is told to. @returns {Promise<MediaStreamTrack | undefined>} */
  async #microphone() {
    const forbidden = isForbidden();
    this.#is("policy", forbidden ? "failed" : "ok", forbidden ? "RL-104" : undefined);
    const { mediaDevices, permissions } = navigator;
    /** @param {"failed" | "skipped" | "ok"} state @param {string} [code] */
    const is = (state, code) => this.#is("microphone", state, code);
    if (!mediaDevices) return is("failed", "RL-105");
    if (forbidden) return is("failed", "RL-104");
    // Firefox has learned the name late, and throws before.
    const permission = await permissions?.query({ name: /** @type {PermissionName} */ ("microphone") }).catch(() => null);
    if (permission?.state === "denied") return is("failed", "RL-101");
    if (!this.#task.microphone && permission?.state !== "granted") {
      const devices = await mediaDevices.enumerateDevices();
      const some = devices.some(({ kind }) => kind === "audioinput");
      return some ? is("skipped", "RL-508") : is("failed", "RL-102");
    }
    try {
      const stream = await mediaDevices.getUserMedia({ audio: true });
      is("ok");
      return stream.getAudioTracks()[0];
    } catch (error) {
      return is("failed", microphoneError(/** @type {Error} */ (error)));
    }
  }

  /**
   * Socket, then all ways side by side.
   * @param {MediaStreamTrack | undefined} track
   * @returns {Promise<{transport: RingletReport["transport"], roundTrip: number, loss: number} | undefined>}
   */
  async #network(track) {
    /** @type {Session} */
    let session;
    try {
      const opened = await Session.open(this.#task.token);
      session = opened.session;
      this.#is("socket", "ok", undefined, opened.ms);
    } catch (error) {
      this.#is("socket", "failed", error instanceof Refused ? error.message : "RL-501");
      return this.#nothingOf("udp");
    }
    let onAnswer = () => {};
    /** @type {Promise<void>} */
    const answered = new Promise((resolve) => {
      onAnswer = resolve;
    });
    const legs = [leg(session, "udp", track, onAnswer), leg(session, "tcp", track, onAnswer)];
    // Where no leg is answered, no frame would come back.
    const ended = Promise.all(legs).then(() => {});
    const frames = Promise.race([answered, ended]).then(() => session.frames());
    const [udp, tcp, websocket] = await Promise.all([...legs, frames]);
    session.close();
    if (!udp || !tcp || !websocket) return;
    this.#is("udp", udp.up ? "ok" : "warning", udp.up ? undefined : (udp.code ?? "RL-502"));
    this.#is("tcp", tcp.up ? "ok" : "warning", tcp.up ? undefined : (tcp.code ?? (tcp.offered === false ? "RL-510" : "RL-503")));
    this.#is("websocket", websocket.up ? "ok" : "warning", websocket.up ? undefined : "RL-504");
    const [transport, best] = udp.up ? /** @type {const} */ (["udp", udp])
      : tcp.up ? /** @type {const} */ (["tcp", tcp])
      : websocket.up ? /** @type {const} */ (["websocket", websocket]) : [];
    if (!best) {
      for (const name of /** @type {const} */ (["udp", "tcp", "websocket"])) {
        this.#is(name, "failed", this.#results.get(name)?.code);
      }
      return this.#nothingOf("round_trip");
    }
    const { roundTrip = websocket.roundTrip, loss } = best;
    const long = roundTrip !== undefined && roundTrip > LONG_ROUND_TRIP_MS;
    this.#is("round_trip", roundTrip === undefined ? "skipped" : long ? "warning" : "ok", long ? "RL-505" : undefined, roundTrip);
    if (loss === undefined) this.#is("loss", "skipped", "RL-507");
    else if (loss > HIGH_LOSS_PERCENT) this.#is("loss", "warning", "RL-506", loss);
    else this.#is("loss", "ok", undefined, loss);
    return { transport, roundTrip: roundTrip ?? 0, loss: loss ?? 0 };
  }

  /** What cannot be checked any more. @param {RingletCheckName} first */
  #nothingOf(first) {
    for (const name of NAMES.slice(NAMES.indexOf(first))) this.#is(name, "skipped");
    return undefined;
  }

  /**
   * @param {RingletCheckName} name
   * @param {RingletCheck["state"]} state
   * @param {string} [code]
   * @param {number} [value]
   */
  #is(name, state, code, value) {
    const [message, cure] = (code && this.#task.catalogue[code]) || [];
    /** @type {RingletCheck} */
    const check = { name, state };
    if (code) Object.assign(check, { code, message, cure });
    if (value !== undefined) check.value = Math.round(10 * value) / 10;
    this.#results.set(name, check);
    this.#task.onResult(check);
    return undefined;
  }

  /** @param {{transport: RingletReport["transport"], roundTrip: number, loss: number} | undefined} way @returns {RingletReport} */
  #report(way) {
    const checks = NAMES.flatMap((name) => this.#results.get(name) ?? []);
    const blocked = ["page", "policy", "microphone"].some((name) => checks.some((it) => it.name === name && it.state === "failed"));
    const { transport, roundTrip = 0, loss = 0 } = way ?? {};
    return { score: blocked ? 1 : score(transport, roundTrip, loss), ...(transport && { transport }), checks };
  }
}

/** Something to send without a microphone, where the browser lets a page make sound. */
function tone() {
  const context = new AudioContext();
  const destination = context.createMediaStreamDestination();
  const oscillator = new OscillatorNode(context);
  oscillator.connect(new GainNode(context, { gain: TONE_GAIN })).connect(destination);
  oscillator.start();
  return {
    ready: Promise.race([context.resume().catch(() => {}), pause(RUNNING_WITHIN_MS)]),
    track: () => (context.state === "running" ? destination.stream.getAudioTracks()[0] : undefined),
    close: () => context.close().catch(() => {}),
  };
}
