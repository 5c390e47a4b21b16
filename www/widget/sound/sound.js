/**
 * What can be set of the call's sound: by the call centre with the keys of an ordinary phone or from a desk, and by the shopper, who
 * can undo what others did. It applies what is asked for, says so, and tells back what is really set.
 *
 * Fetched when it is first needed. It shares no module's state with the panel: what it needs of that comes as its `Host`. Whether a
 * thing may be asked for at all is the merchant's to say, and the server's to hold.
 */

import { measure } from "./connection.js";
import { added, devices, lines, name } from "./devices.js";
import { setEcho } from "./echo.js";
import { Note } from "./note.js";
import { Section } from "./section.js";
import { opened, processed } from "./source.js";
import { factor, Speaker } from "./speaker.js";
import css from "./sound.css";

/** How long a page that has only just come may take to have its engine and the far end's audio. */
const SOUND_WITHIN_MS = 2000;
/** How often that is looked at. */
const LOOK_EVERY_MS = 50;
/** What a connection is, by its score. */
const WORDS = ["", "bad", "poor", "fair", "good", "very good"];

/**
 * @typedef {object} Host the panel, as far as its sound goes
 * @property {HTMLAudioElement} audio plays the far end
 * @property {typeof import("../settings.js")} settings
 * @property {() => import("../audio.js").AudioGraph | undefined} graph undefined while its engine does not run
 * @property {() => RTCPeerConnection | undefined} peer
 * @property {() => MediaStreamTrack | undefined} microphone
 * @property {(track: MediaStreamTrack) => void} replace puts another microphone in the place of that one
 * @property {(muted: boolean) => void} mute
 * @property {(open: boolean) => void} keypad
 * @property {(message: import("../../../crates/protocol/ringlet").VisitorRequest) => void} report
 * @property {(code: string) => string} sentence of the catalogue, for the shopper
 * @property {Promise<MediaDeviceInfo[]> | undefined} known the devices that there were when the microphone was allowed
 */

/**
 * What can be set, named as in the protocol.
 * @typedef {object} Values
 * @property {number} [microphone_db]
 * @property {number} [speaker_db]
 * @property {boolean} [muted]
 * @property {import("./echo.js").Layer} [echo]
 * @property {boolean} [noise_suppression]
 * @property {string} [input_device]
 * @property {string} [output_device]
 */

/** @typedef {import("./devices.js").Device} Device */
/** @typedef {Required<Omit<Values, "input_device" | "output_device">> & Values & {inputs: Device[], outputs: Device[]}} Now what is really set */

export class Sound {
  #host;
  #speaker;
  #note = new Note();
  #section;
  /** One change at a time. @type {Promise<unknown>} */
  #changing = Promise.resolve();
  /** What the shopper had before the call centre changed it, while that can be undone. @type {Values} */
  #before = {};
  /** What the shopper was told of that. */
  #told = "";
  /** The connection is being tested. */
  #testing = false;
  /** There is sound, or none is waited for any more. */
  #sounds = false;
  /** The devices that the shopper knows of. @type {Promise<Device[]>} */
  #known;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
    this.#speaker = new Speaker(host);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    document.adoptedStyleSheets.push(sheet);
    this.#section = new Section((values) => this.choose(values), () => this.#chooseSpeaker());
    const known = host.known ?? Promise.resolve([]);
    this.#known = known.then((all) => all.map(({ deviceId, label }) => ({ id: deviceId, name: label })));
  }

  /**
   * The call centre sets something. With nothing to be set, it wants to know what is.
   * @param {import("../../../crates/protocol/ringlet").VisitorEventSet} asked
   */
  set({ type: _, by: __, quality_test, ...wanted }) {
    return this.#next(async () => {
      await this.#sound();
      const had = await this.#now();
      const set = await this.#apply(wanted);
      const done = set && !(quality_test && this.#testing);
      if (quality_test && done) this.#test();
      const now = await this.#report({ ...(!done && { refused: true }) });
      // What was refused as a whole may have come about in part, or as the next cheaper thing.
      const names = /** @type {(keyof Values)[]} */ (Object.keys(wanted)).filter((it) => now[it] !== had[it]);
      if (!names.length) return;
      for (const it of names) this.#before = { [it]: had[it], ...this.#before };
      this.#told = sentence(Object.fromEntries(names.map((it) => [it, now[it]])), had);
      this.#say("");
    });
  }

  /** Tests the connection. Changes go on meanwhile. */
  async #test() {
    this.#testing = true;
    this.#say("The call centre tests your connection.");
    const { graph, peer, settings } = this.#host;
    const found = await measure(peer(), settings.current().slow ? graph()?.line : undefined).catch((error) => {
      console.warn("Ringlet: the connection cannot be tested.", error);
    });
    this.#testing = false;
    this.#say(found ? `Your connection is ${WORDS[found.quality_score]} (${found.quality_score} of 5).` : "");
    await this.#report(found ?? { refused: true });
  }

  /** Says something beside what can be undone. @param {string} text */
  #say(text) {
    if (Object.keys(this.#before).length) this.#note.say(`${this.#told} ${text}`, "Undo", () => this.#undo());
    else if (text) this.#note.say(text);
    else this.#note.hide();
  }

  /** Waits for something to be set, where the page has only just come. */
  async #sound() {
    const { audio, graph } = this.#host;
    for (let ms = 0; !this.#sounds; ms += LOOK_EVERY_MS) {
      this.#sounds = (!!graph()?.runs && !!audio.srcObject) || ms >= SOUND_WITHIN_MS;
      if (!this.#sounds) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  /**
   * The shopper sets something.
   * @param {Values} values
   */
  choose(values) {
    this.#forget();
    return this.#next(async () => {
      await this.#apply(values);
      await this.#report();
    });
  }

  /** Opens the section, or closes it. @param {boolean} [open] */
  toggle(open = !this.#section.open) {
    if (!open && !this.#section.open) return;
    if (open) this.#host.keypad(false);
    this.#section.open = open;
    return this.#next(async () => this.#section.show(await this.#now()));
  }

  /** Sets again what is kept, as far as that is possible without the engine or with it. */
  restore() {
    return this.#next(async () => {
      const { microphone_db, speaker_db = 0, echo, speaker } = this.#kept;
      if (speaker && !(await this.#speaker.playOn(speaker))) this.#keep({ speaker: undefined });
      if (this.#host.graph()?.runs) await this.#apply({ microphone_db, speaker_db, echo });
      else if (speaker_db < 0) this.#speaker.amplify(speaker_db);
      await this.#report();
    });
  }

  /** The shopper has muted the microphone, or opened it. */
  mutedByHand() {
    if ("muted" in this.#before) this.#forget();
    return this.#next(() => this.#report());
  }

  /** Who steers the call does not know, or not any more, what is set. */
  tell() {
    return this.#next(async () => {
      await this.#report();
    });
  }

  /** The microphone is gone: another one takes its place. */
  lost() {
    return this.#next(async () => {
      // Its end and the change of devices both tell; the first has done it.
      if (this.#host.microphone()?.readyState !== "ended") return true;
      this.#keep({ microphone: undefined });
      const found = await opened(this.#host, undefined);
      const code = found ? "RL-125" : "RL-126";
      this.#note.say(`${this.#host.sentence(code)} (${code})`);
      await this.#report();
      return true;
    });
  }

  /** Something was plugged in or out. */
  async devicesChanged() {
    const known = await this.#known;
    const { inputs, outputs } = await devices();
    this.#known = Promise.resolve([...inputs, ...outputs]);
    if (this.#host.microphone()?.readyState === "ended") await this.lost();
    return this.#next(async () => {
      const { sinkId } = this.#host.audio;
      if (sinkId && !outputs.some(({ id }) => id === sinkId)) {
        await this.#speaker.playOn("");
        this.#keep({ speaker: undefined });
        this.#note.say(`${this.#host.sentence("RL-127")} (RL-127)`);
      }
      const [input, output] = [added(inputs, known), added(outputs, known)];
      const found = output ?? input;
      // It may be the default by now, and then it is used already.
      if (found && found.name !== name(this.#host.microphone()?.label ?? "")) {
        const use = { ...(input && { input_device: input.name }), ...(output && { output_device: output.name }) };
        this.#note.say(`${found.name} is connected.`, "Use it", () => this.choose(use));
      }
      await this.#report();
    });
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
  async #apply({ microphone_db, speaker_db, muted, echo, noise_suppression, input_device, output_device }) {
    const host = this.#host;
    const { inputs, outputs } = await devices();
    let all = true;
    if (input_device !== undefined) {
      const id = inputs.find((it) => it.name === input_device)?.id;
      const is = !!id && (await opened(host, id));
      if (is) this.#keep({ microphone: id });
      all &&= is;
    }
    if (output_device !== undefined) {
      const id = outputs.find((it) => it.name === output_device)?.id;
      const is = !!id && (await this.#speaker.playOn(id));
      if (is) this.#keep({ speaker: id });
      all &&= is;
    }
    if (microphone_db !== undefined) {
      const is = !!host.graph()?.tell({ gain: factor(microphone_db) });
      if (is) this.#keep({ microphone_db });
      all &&= is || !microphone_db;
    }
    if (speaker_db !== undefined) {
      const is = await this.#speaker.amplify(speaker_db);
      this.#keep({ speaker_db: is ? speaker_db : 0 });
      all &&= is;
    }
    if (muted !== undefined) host.mute(muted);
    if (noise_suppression !== undefined) {
      const is = await processed(host, { noiseSuppression: noise_suppression });
      if (is) this.#keep({ noise_suppression });
      all &&= is;
    }
    if (echo) {
      const { layer } = await setEcho(host, echo);
      this.#keep({ echo: layer });
      all &&= layer === echo;
    }
    return all;
  }

  /** What is really set. @returns {Promise<Now>} */
  async #now() {
    const { audio, microphone, settings, graph } = this.#host;
    const { inputs, outputs } = await devices();
    const { microphone_db = 0, speaker_db = 0, echo = "browser" } = this.#kept;
    const track = microphone();
    const own = track?.getSettings().echoCancellation === false ? "off" : "browser";
    const runs = graph()?.runs;
    return {
      // What is kept may wait for its engine.
      microphone_db: runs ? microphone_db : 0,
      speaker_db,
      muted: !!settings.current().muted,
      echo: runs ? echo : own,
      noise_suppression: !!track?.getSettings().noiseSuppression,
      input_device: name(track?.label ?? ""),
      output_device: outputs.find(({ id }) => id === (audio.sinkId || "default"))?.name,
      inputs,
      outputs,
    };
  }

  get #kept() {
    return this.#host.settings.current().sound ?? {};
  }

  /** @param {import("../settings.js").Sound} set */
  #keep(set) {
    this.#host.settings.set("sound", { ...this.#kept, ...set });
  }

  /**
   * Tells the call centre what is really set, and shows it.
   * @param {{refused?: boolean} | import("./connection.js").Found} [more]
   * @returns {Promise<Now>} that
   */
  async #report(more) {
    const now = await this.#now();
    const { inputs, outputs, ...values } = now;
    this.#host.report({ type: "settings", ...values, input_devices: lines(inputs), output_devices: lines(outputs), quality_test: this.#testing, ...more });
    if (this.#section.open) this.#section.show(now);
    return now;
  }

  #undo() {
    const before = this.#before;
    this.#forget();
    this.#next(async () => {
      await this.#apply(before);
      await this.#report({ refused: true });
    });
  }

  #forget() {
    this.#before = {};
    this.#note.hide();
  }

  async #chooseSpeaker() {
    const media = /** @type {{selectAudioOutput(): Promise<MediaDeviceInfo>}} */ (/** @type {unknown} */ (navigator.mediaDevices));
    const { deviceId } = await media.selectAudioOutput();
    this.#next(async () => {
      if (await this.#speaker.playOn(deviceId)) this.#keep({ speaker: deviceId });
      await this.#report();
    });
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
 * @param {Values} now what is set otherwise than before
 * @param {Values} before
 */
function sentence(now, before) {
  const way = (/** @type {number} */ level, then = 0) => (level < then ? "softer" : "louder");
  const done = [];
  if (now.microphone_db !== undefined) done.push(`made your microphone ${way(now.microphone_db, before.microphone_db)}`);
  if (now.speaker_db !== undefined) done.push(`made what you hear ${way(now.speaker_db, before.speaker_db)}`);
  if (now.muted) done.push("muted your microphone");
  if (now.echo) done.push("changed what works against echo");
  if (now.noise_suppression !== undefined) done.push(`turned noise suppression ${now.noise_suppression ? "on" : "off"}`);
  if (now.input_device) done.push(`chose your microphone: ${now.input_device}`);
  if (now.output_device) done.push(`chose your speaker: ${now.output_device}`);
  return `The call centre ${done.join(" and ")}.`;
}
