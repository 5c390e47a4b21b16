/** The panel's section for the sound: what the shopper can choose, showing what is really set. Not here: how it is set. */

import { MAX_DB, MIN_DB } from "./limits.js";

/** @typedef {import("./sound.js").Values} Values */
/** @typedef {import("./sound.js").Now} Now */

/** @param {string} name @param {string} label */
const level = (name, label) =>
  `<label>${label}<input type="range" name="${name}" min="${MIN_DB}" max="${MAX_DB}" step="2"></label>`;

const HTML = `
<label>Microphone<select name="input_device"></select></label>
<label>Speaker<select name="output_device"></select><button id="speaker">Choose…</button></label>
${level("speaker_db", "Volume")}
${level("microphone_db", "Your voice")}
<label>Against echo<select name="echo">
<option value="off">Nothing (headset)</option><option value="browser">Usual</option>
<option value="suppressor">Strong</option><option value="canceller">Strongest</option></select></label>
<label><span>Less background noise</span><input type="checkbox" name="noise_suppression"></label>`;

export class Section {
  /** @type {HTMLFormElement} */
  #form = document.createElement("form");

  /**
   * @param {(values: Values) => void} choose
   * @param {() => void} chooseSpeaker by the browser's own list
   */
  constructor(choose, chooseSpeaker) {
    const form = this.#form;
    form.id = "sound";
    form.hidden = true;
    form.ariaLabel = "Sound";
    form.innerHTML = HTML;
    form.onsubmit = () => false;
    form.onchange = ({ target }) => {
      const { name, type, value, checked } = /** @type {HTMLInputElement} */ (target);
      choose({ [name]: type === "range" ? Number(value) : type === "checkbox" ? checked : value });
    };
    this.#button.onclick = chooseSpeaker;
    document.getElementById("keypad")?.before(form);
  }

  get open() {
    return !this.#form.hidden;
  }

  set open(open) {
    this.#form.hidden = !open;
    document.getElementById("tune")?.setAttribute("aria-expanded", String(open));
    if (open) this.#field("input_device").focus();
  }

  /** @param {Now} now */
  show(now) {
    this.#list("input_device", now.inputs.map((it) => it.name), now.input_device);
    this.#list("output_device", now.outputs.map((it) => it.name), now.output_device);
    // Firefox names no loudspeaker before the shopper has chosen one; Safari has no choice.
    const asks = "selectAudioOutput" in navigator.mediaDevices;
    this.#button.hidden = !asks;
    const row = this.#field("output_device").parentElement;
    if (row) row.hidden = !asks && now.outputs.length < 2;
    this.#field("output_device").hidden = !now.outputs.length;
    for (const name of /** @type {const} */ (["speaker_db", "microphone_db"])) {
      const field = this.#field(name);
      field.value = String(now[name]);
      field.setAttribute("aria-valuetext", `${now[name]} dB`);
    }
    this.#field("echo").value = now.echo;
    /** @type {HTMLInputElement} */ (this.#field("noise_suppression")).checked = now.noise_suppression;
  }

  get #button() {
    return /** @type {HTMLButtonElement} */ (this.#form.querySelector("button"));
  }

  /** @param {string} name @returns {HTMLInputElement | HTMLSelectElement} */
  #field(name) {
    return /** @type {HTMLInputElement} */ (this.#form.elements.namedItem(name));
  }

  /** @param {string} name @param {string[]} names @param {string} [chosen] */
  #list(name, names, chosen) {
    const field = /** @type {HTMLSelectElement} */ (this.#field(name));
    field.replaceChildren(...names.map((it) => new Option(it, it, false, it === chosen)));
  }
}
