/**
 * What can be set of the call's sound: by the call centre with the keys of an ordinary phone or from a desk, and undone by the
 * shopper. It applies what is asked for, says so, and tells back what is really set.
 *
 * Fetched when it is first needed. It shares no module's state with the panel: what it needs of that comes as its `Host`. Whether a
 * thing may be asked for at all is the merchant's to say, and the server's to hold.
 *
 * Not here as yet, and refused: sound louder than it comes (`speaker_db` over 0), noise suppression, devices, the quality test.
 */

import { setEcho } from "./echo.js";
import css from "./sound.css";

/**
 * @typedef {object} Host the panel, as far as its sound goes
 * @property {HTMLAudioElement} audio plays the far end
 * @property {typeof import("../settings.js")} settings
 * @property {() => import("../audio.js").AudioGraph | undefined} graph
 * @property {() => MediaStreamTrack | undefined} microphone
 * @property {(track: MediaStreamTrack) => void} replace puts another microphone in the place of that one
 * @property {(muted: boolean) => void} mute
 * @property {(message: import("../../../crates/protocol/ringlet").VisitorRequest) => void} report
 */

/** @typedef {import("../settings.js").Sound & {muted?: boolean}} Values as `set` and `settings` of the protocol carry them */

const DEFAULTS = { microphone_db: 0, speaker_db: 0, muted: false, echo: /** @type {const} */ ("browser") };

/** @param {number} db @returns {number} the linear factor */
const factor = (db) => 10 ** (db / 20);

export class Sound {
  #host;
  /** One change at a time. @type {Promise<unknown>} */
  #changing = Promise.resolve();
  #what = document.createElement("span");
  #note = document.createElement("p");
  /** What the shopper had before the call centre changed it, while that can be undone. @type {Values} */
  #before = {};

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    document.adoptedStyleSheets.push(sheet);
    const undo = document.createElement("button");
    undo.textContent = "Undo";
    undo.onclick = () => this.#undo();
    this.#note.id = "set";
    this.#note.hidden = true;
    this.#what.role = "status";
    this.#note.append(this.#what, undo);
    document.getElementById("calling")?.before(this.#note);
  }

  /** What is set now. @returns {Required<Pick<Values, keyof typeof DEFAULTS>>} */
  get values() {
    const { muted = false, sound } = this.#host.settings.current();
    return { ...DEFAULTS, ...sound, muted };
  }

  /**
   * The call centre sets something.
   * @param {import("../../../crates/protocol/ringlet").VisitorEventSet} asked
   */
  set({ type: _, by: __, ...wanted }) {
    return this.#next(async () => {
      const before = this.values;
      const known = Object.keys(wanted).every((name) => name in before);
      const done = known && !((wanted.speaker_db ?? 0) > 0) && (await this.#apply(wanted));
      this.#report(!done);
      if (done) this.#say({ ...before, ...this.#before }, wanted);
    });
  }

  /** Sets again what is kept, as far as that is possible without the engine or with it. */
  restore() {
    return this.#next(async () => {
      const { speaker_db } = this.values;
      await this.#apply(this.#host.graph()?.runs ? this.values : { speaker_db });
      this.#report();
    });
  }

  /** The shopper has muted the microphone, or opened it. */
  mutedByHand() {
    if ("muted" in this.#before) this.#hide();
    this.#report();
  }

  /**
   * The layer against the far end's echo.
   * @param {import("./echo.js").Layer} layer
   * @returns {Promise<import("./echo.js").Echo>} what is really set
   */
  setEcho(layer) {
    return this.#next(async () => {
      const set = await setEcho(this.#host, layer);
      this.#keep({ echo: set.layer });
      return set;
    });
  }

  /**
   * @param {Values} values
   * @returns {Promise<boolean>} whether all of it came about
   */
  async #apply({ microphone_db, speaker_db, muted, echo }) {
    const { audio } = this.#host;
    let all = true;
    if (microphone_db !== undefined) {
      all &&= !!this.#host.graph()?.tell({ gain: factor(microphone_db) }) || !microphone_db;
      this.#keep({ microphone_db });
    }
    if (speaker_db !== undefined) {
      audio.volume = factor(speaker_db);
      // Where the device's own keys are the only volume (iOS), it stays at 1.
      const is = Math.abs(audio.volume - factor(speaker_db)) < 0.01;
      all &&= is;
      this.#keep({ speaker_db: is ? speaker_db : 0 });
    }
    if (muted !== undefined) this.#host.mute(muted);
    if (echo) {
      const set = await setEcho(this.#host, echo);
      all &&= set.layer === echo;
      this.#keep({ echo: set.layer });
    }
    return all;
  }

  /** @param {import("../settings.js").Sound} set */
  #keep(set) {
    const { settings } = this.#host;
    settings.set("sound", { ...settings.current().sound, ...set });
  }

  /** @param {boolean} [refused] Tells the call centre what is really set. */
  #report(refused) {
    this.#host.report({ type: "settings", ...this.values, ...(refused && { refused }) });
  }

  /** @param {Values} had @param {Values} wanted */
  #say(had, wanted) {
    for (const name of /** @type {(keyof Values)[]} */ (Object.keys(wanted))) Object.assign(this.#before, { [name]: had[name] });
    this.#note.hidden = false;
    const text = sentence(wanted, had);
    // A region that comes with its text is not read out; one that changes is.
    setTimeout(() => { this.#what.textContent = text; }, 100);
  }

  #undo() {
    const before = this.#before;
    this.#hide();
    this.#next(async () => {
      await this.#apply(before);
      this.#report(true);
    });
  }

  #hide() {
    this.#before = {};
    this.#what.textContent = "";
    this.#note.hidden = true;
  }

  /** @template T @param {() => Promise<T>} change @returns {Promise<T>} */
  #next(change) {
    const next = this.#changing.then(change);
    this.#changing = next.catch((error) => console.warn("Ringlet:", error));
    return next;
  }
}

/**
 * What the shopper is told.
 * @param {Values} wanted
 * @param {Values} before
 */
function sentence({ microphone_db, speaker_db, muted, echo }, before) {
  const way = (/** @type {number} */ now, then = 0) => (now < then ? "softer" : "louder");
  const done = [];
  if (microphone_db !== undefined) done.push(`made your microphone ${way(microphone_db, before.microphone_db)}`);
  if (speaker_db !== undefined) done.push(`made what you hear ${way(speaker_db, before.speaker_db)}`);
  if (muted) done.push("muted your microphone");
  if (echo) done.push("changed what works against echo");
  return `The call centre ${done.join(" and ")}.`;
}
