/** A note with a button, of what has happened to the sound: read out by a screen reader, and seen in the minimised panel as well. */

/** A region that comes with its text is not read out; one that changes is. */
const READ_AFTER_MS = 100;

export class Note {
  #text = document.createElement("span");
  #button = document.createElement("button");
  #note = document.createElement("p");

  constructor() {
    this.#note.id = "set";
    this.#note.hidden = true;
    this.#text.role = "status";
    this.#note.append(this.#text, this.#button);
    document.getElementById("calling")?.before(this.#note);
  }

  /**
   * @param {string} text
   * @param {string} [label] of the button, if there is something to be done
   * @param {() => void} [act]
   */
  say(text, label = "OK", act = () => {}) {
    this.#note.hidden = false;
    this.#button.textContent = label;
    this.#button.onclick = () => {
      this.hide();
      act();
    };
    setTimeout(() => { this.#text.textContent = text; }, READ_AFTER_MS);
  }

  hide() {
    this.#text.textContent = "";
    this.#note.hidden = true;
  }
}
