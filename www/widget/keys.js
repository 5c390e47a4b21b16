/**
 * The shopper's keys: shown as they go down, kept until there is something to take them. Not here: whose buttons they are.
 */

/** How soon keys that came before the audio path are tried again. */
const AGAIN_MS = 50;
/** Keys that are shown as sent, or wait; older ones scroll out. */
export const KEYS_SHOWN = 16;

export class Keys {
  #waiting = "";
  #timer = 0;
  #sent;
  #heard;
  #send;

  /**
   * @param {HTMLElement} sent where they are shown
   * @param {() => boolean} heard whether the far end's audio is there, and with it somebody or something to take keys
   * @param {(keys: string) => boolean | undefined} send says whether they could be sent
   */
  constructor(sent, heard, send) {
    this.#sent = sent;
    this.#heard = heard;
    this.#send = send;
  }

  /** @param {string} digit */
  press(digit) {
    if (!this.#heard()) return;
    this.#waiting = (this.#waiting + digit).slice(-KEYS_SHOWN);
    const key = document.querySelector(`[data-key="${digit}"]`);
    key?.classList.add("down");
    setTimeout(() => key?.classList.remove("down"), 150);
    this.#go();
  }

  /** The answer may come before the audio path is up; keys wait for it. */
  #go() {
    clearTimeout(this.#timer);
    if (!this.#waiting || !this.#heard()) return;
    if (!this.#send(this.#waiting)) {
      this.#timer = setTimeout(() => this.#go(), AGAIN_MS);
      return;
    }
    this.#sent.textContent = (this.#sent.textContent + this.#waiting).slice(-KEYS_SHOWN);
    this.#waiting = "";
  }
}
