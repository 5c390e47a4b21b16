/**
 * The panel: what the shopper sees and presses, the microphone's permission, and the word to and from the shop's page.
 *
 * The call's state is the server's and comes through the phone; this shows it. Nothing here calls before the page's
 * loader says so: the panel may have been loaded ahead of the click.
 */

import init, { Phone, sentence } from "phone";
import { AudioGraph, asset } from "./audio.js";
import { KEYS_SHOWN, Keys } from "./keys.js";
import { microphoneError, voice } from "./microphone.js";
import { push } from "./pushed.js";
import * as settings from "./settings.js";
import * as successor from "./successor.js";
import { STATES, WAYS } from "./words.js";

/** A permission that was given before is there sooner; then the question need not be mentioned. */
const ASKING_AFTER_MS = 700;
/** How long the far end's keys stay on the screen. */
const NOTE_FOR_MS = 6000;
/** The level that leaves a meter empty, in dBov: a quiet room. */
const SILENCE_DBOV = -60;
/** From "has ended meanwhile" to the panel's closing by itself: long enough to be read. */
const READ_WITHIN_MS = 5000;
/** How often a window of its own tells the shop's page, whichever that is by now, that it is there. */
const HERE_EVERY_MS = 1000;

/** @typedef {import("../../crates/protocol/ringlet").VisitorEvent} VisitorEvent */
/** @typedef {import("../../crates/protocol/ringlet").VisitorRequest} VisitorRequest */

/** @param {string} id @returns {HTMLElement} */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const panel = part("panel");
const audio = /** @type {HTMLAudioElement} */ (part("audio"));
const sheet = /** @type {HTMLLinkElement} */ (part("panel-css"));
const given = document.documentElement.dataset;

/** The window of the shop's page: the one around the frame, or the one that has opened this window. @type {Window} */
const shop = opener ?? parent;
const isWindow = parent === window;
/** To the shop's page. @type {MessagePort | undefined} */
let port;
/** The origin of the shop's page, as the browser vouches for it. */
let shopOrigin = "";
/** What opened the panel was a click, and no page that found a running call. */
let clicked = false;
/** The call has been begun with what stood in the frame's name, before the page's loader said anything. */
let early = false;
/** @type {Phone | undefined} */
let phone;
/** @type {AudioGraph | undefined} */
let graph;
/** @type {MediaStreamTrack | undefined} */
let microphone;
/** The call's id. */
let id = "";
/** With which the next page takes the call up again. @type {string | undefined} */
let token;
/** This page takes up a call of the page before it, and has not been told yet that it may. */
let resuming = false;
/** The microphone of a call that is taken up again waits for a tap. */
let denied = false;
let engineUsable = false;
let ended = false;
/** What an end has said to whom the call is kept by: `null` if there is nothing to keep any more. @type {null | undefined} */
let forgets;
let clock = 0;
let noteTimer = 0;
let keysHeard = "";

const compiled = init({ module_or_path: fetch(asset("phone-wasm")) });
compiled.catch((error) => {
  console.error("Ringlet: the phone could not be loaded.", error);
  shop.postMessage({ ringlet: "failed" }, "*");
});

addEventListener("message", ({ data, origin, source, ports }) => {
  if (source !== shop || data?.ringlet !== "open" || !ports[0]) return;
  const first = !port;
  // A window of its own outlives the shop's page, and belongs to the next one.
  if (!first && !(isWindow && origin === shopOrigin)) return;
  port = ports[0];
  port.onmessage = ({ data: { shown: done, here } }) => (done === undefined ? minimise(false) : pageShown(done, here));
  if (first && !early) return begin(origin, data);
  port.postMessage({ state: panel.dataset.state, keep: forgets });
  keep();
  push(port);
  resize();
});
sheet.onload = resize;
// Nothing of it is secret, and only the page's loader answers.
shop.postMessage({ ringlet: "loaded" }, "*");
if (isWindow) {
  panel.classList.add("window");
  if (opener) setInterval(() => shop.postMessage({ ringlet: "here" }, "*"), HERE_EVERY_MS);
  // The shop's page has cut itself off (Cross-Origin-Opener-Policy), or there never was one.
  else compiled.then(() => end("RL-317", sentence("RL-317")), () => {});
}

const named = location.ancestorOrigins?.[0];
if (named && window.name) {
  // A page that has found a running call: its loader need not be waited for.
  try {
    const context = JSON.parse(window.name);
    window.name = "";
    early = true;
    begin(named, context);
  } catch {
    // A name that is none of ours.
  }
}

/** @param {string} origin of the page, as the browser vouches for it @param {Context} context */
function begin(origin, context) {
  new ResizeObserver(resize).observe(panel);
  shopOrigin = origin;
  clicked = !!context.clicked;
  if (given.error) end(given.error, given.message ?? "");
  else call(context);
}

/** @typedef {Navigator & {connection?: {saveData?: boolean, effectiveType?: string}}} Connected */

/** @typedef {import("./context").Context} Context */

/** @param {Context} context */
async function call({ page, customer, token: destination, quality, call: before, blocked }) {
  show("connecting");
  token = before?.token;
  const again = resuming = !!token;
  settings.restore(before?.panel, keep);
  // Who comes from another page of the shop is reading this one.
  if (!again) panel.focus();
  // Microphone, socket and engine set out together; none waits for another.
  const asked = ask();
  const asking = setTimeout(() => note("Please allow the microphone.", true), ASKING_AFTER_MS);
  // Making an audio context holds the main thread up for tens of milliseconds. A call that is taken up again is heard
  // without: then the graph comes when the path is agreed on.
  if (!again) startGraph();
  const { muted = false, small = false, keypad: open = false, shown = false, next } = before?.panel ?? {};
  const found = successor.identity(next);
  // Who pays for each megabyte has often told the browser so (Network Information API).
  const { connection } = /** @type {Connected} */ (navigator);
  const saves = connection?.saveData || /2g/.test(connection?.effectiveType ?? "");
  settings.set("quality", quality ?? settings.current().quality ?? (saves ? "saver" : undefined));
  if (again) {
    mute(muted);
    keypad(open);
    part("shown").hidden = !shown;
    // Of this page it is said once, whatever the shopper does next.
    settings.set("shown", false);
    // A path that was prepared leads to one page.
    settings.set("next", next && { id: next.id });
    // Says the size as well: no observer of sizes is run in a frame that does not show yet.
    minimise(small);
  }
  try {
    await compiled;
  } catch {
    // The page's loader has been told, and takes the panel away.
    return;
  }
  const socket = new URL("ws/visitor", location.href).href.replace("http", "ws");
  const moving = location.hash === "#move" || undefined;
  try {
    const chosen = settings.current().quality;
    const { certificate, fingerprint } = await found;
    const prepared = certificate && next?.sdp;
    phone = new Phone(
      listener, socket, given.token ?? "", shopOrigin, page, customer, destination, token, moving, chosen,
      certificate, fingerprint, prepared,
    );
    if (before?.panel?.slow) phone.expectSlow();
  } catch (error) {
    // WebRTC is missing or switched off.
    console.error("Ringlet:", error);
    clearTimeout(asking);
    // Allowed after all: nothing would ever close it again.
    asked?.then((stream) => stream.getTracks().forEach((track) => track.stop()), () => {});
    return end("RL-105", sentence("RL-105"));
  }
  try {
    await speak(asked);
    if (blocked) note(`${sentence("RL-318")} (RL-318)`, true);
  } catch (error) {
    if (again) {
      // The far end is heard, and was once allowed to hear: nothing that would end a call.
      console.warn("Ringlet:", error);
      note("");
      denied = true;
      askForTap();
    } else phone.fail(microphoneError(/** @type {Error} */ (error)), String(error));
  } finally {
    clearTimeout(asking);
  }
}

/** Asks for the microphone. */
function ask() {
  const asked =
    navigator.mediaDevices?.getUserMedia({ audio: voice(settings.current().sound) }) ?? Promise.reject(new TypeError("no mediaDevices"));
  asked.catch(() => {});
  return asked;
}

/** @param {Promise<MediaStream>} asked */
async function speak(asked) {
  microphone = (await asked).getAudioTracks()[0];
  if (ended) return release();
  note("");
  if (microphone) use(microphone);
}

/** @param {MediaStreamTrack} track */
function use(track) {
  microphone = track;
  track.enabled = !panel.hasAttribute("data-muted");
  known ??= navigator.mediaDevices.enumerateDevices();
  // Unplugged: another one takes its place, if there is one. The shopper still hears.
  track.onended = async () => (await withSound((sound) => sound.lost())) ?? note(sentence("RL-102"), true);
  graph?.setMicrophone(track);
  send();
  // Firefox and Safari let a page without the shopper's tap be heard once it has the microphone.
  if (audio.srcObject) hear();
}

/** What sets the sound: most calls never need it. @type {Promise<import("./sound/sound.js").Sound> | undefined} */
let loading;
/** The devices that there were when the microphone was allowed. @type {Promise<MediaDeviceInfo[]> | undefined} */
let known;

/**
 * @template T
 * @param {(sound: import("./sound/sound.js").Sound) => T | Promise<T>} does
 * @returns {Promise<T | undefined>}
 */
async function withSound(does) {
  loading ??= import(asset("sound-js")).then(({ Sound }) => new Sound({
    audio,
    known, sentence,
    keypad,
    settings,
    graph: () => (engineUsable ? graph : undefined),
    peer: () => phone?.peer,
    microphone: () => microphone,
    replace(/** @type {MediaStreamTrack} */ track) {
      if (ended) return track.stop();
      microphone?.stop();
      use(track);
    },
    mute,
    report,
  }));
  loading.catch(() => { loading = undefined; });
  try {
    return await does(await loading);
  } catch (error) {
    console.warn("Ringlet: the sound cannot be set.", error);
    report({ type: "settings", refused: true });
  }
}

/**
 * Sets the layer against the far end's echo. For whoever lets it be chosen: this module's address is that of `panel-js` in panel.html.
 * @param {import("./sound/echo.js").Layer} layer
 */
export const setEcho = (layer) => withSound((sound) => sound.setEcho(layer));

/** Plays the far end, or asks for the tap without which the browser does not. */
function hear() {
  audio.play().then(() => { part("tap").hidden = ended || !denied; }, askForTap);
}

/** One button for all that the browser allows on a tap only. */
function askForTap() {
  if (ended) return;
  part("tap").textContent = audio.srcObject && audio.paused ? "Tap to hear" : "Tap to speak";
  part("tap").hidden = false;
}

function startGraph() {
  try {
    graph = new AudioGraph({
      onLevels(own, far) {
        // The engine's needle falls gently; a pressed mute is to be seen at once.
        level("own", panel.hasAttribute("data-muted") ? SILENCE_DBOV : own);
        level("far", far);
      },
      onDigit: (digit) => phone?.keyHeard(digit),
      onFrame: (frame) => phone?.sendFrame(frame),
      onOpus: (runs) => phone?.useOpus(runs),
      quality: () => settings.current().quality,
      onUsable(usable) {
        engineUsable = usable;
        send();
        // What the page before had set, or who asked before there was an engine; without one less of it is really so.
        if (settings.current().sound) withSound((sound) => (usable ? sound.restore() : sound.tell()));
      },
    });
    if (microphone) graph.setMicrophone(microphone);
  } catch (error) {
    console.warn("Ringlet: the call goes on without its audio engine.", error);
  }
}

/** Sends the engine's voice, or where there is no engine the microphone's own. */
function send() {
  if (microphone && phone && !ended) phone.setMicrophone((engineUsable && graph?.track) || microphone);
}

const listener = {
  /** @param {string} call @param {string} merchant @param {string} link */
  onWelcome(call, merchant, link) {
    id = call;
    part("merchant").textContent = document.title = merchant;
    part("line").textContent = link;
  },
  /** @param {string} state @param {number} answeredMs */
  onState(state, answeredMs) {
    resuming = false;
    show(state, answeredMs);
    if (state === "answered") {
      successor.announce(id, report);
      // Said again by a server that has forgotten all.
      tellSound();
    }
  },
  /** @param {string} next */
  onKeep(next) {
    token = next;
    keep();
  },
  /** @param {MediaStreamTrack} track */
  onTrack(track) {
    audio.srcObject = new MediaStream([track]);
    hear();
    if (!graph) startGraph();
    graph?.setFarEnd(track);
  },
  /** @param {boolean} on */
  onFrames(on) {
    settings.set("slow", on);
    if (on && !graph) startGraph();
    graph?.frames(on);
  },
  /** @param {ArrayBuffer} frame */
  onFrame: (frame) => graph?.play(frame),
  /** @param {string} transport */
  onTransport: (transport) => void (part("way").textContent = WAYS[transport] ?? ""),
  /** @param {string} digit */
  onDigit(digit) {
    keysHeard = (keysHeard + " " + digit).slice(-2 * KEYS_SHOWN);
    note(`They pressed${keysHeard}`);
  },
  /** @param {object} told */
  onMessage(told) {
    const message = /** @type {VisitorEvent} */ (told);
    if (message.type === "page") push(port, message.url);
    if (message.type === "prepared") successor.prepared(message);
    if (message.type === "set") withSound((sound) => sound.set(message));
  },
  // Longer than a SYN takes to be repeated twice.
  onSearch: () => fetch("healthz", { cache: "no-store", signal: AbortSignal.timeout(3500) }).catch(() => ({ type: /** @type {const} */ ("") })),
  /** @param {string} code @param {string} message */
  onWarning: (code, message) => note(`${message} (${code})`),
  onEnded: end,
};

/** @param {string} state @param {number} [answeredMs] how long ago the far end answered */
function show(state, answeredMs = 0) {
  panel.dataset.state = state;
  part("state").textContent = STATES[state] ?? state;
  /** @type {HTMLButtonElement} */ (part("keys")).disabled = !heard();
  port?.postMessage({ state });
  if (state === "answered" && !clock) {
    const answered = Date.now() - answeredMs;
    const tick = () => {
      const seconds = Math.round((Date.now() - answered) / 1000);
      part("time").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    };
    tick();
    clock = setInterval(tick, 1000);
  }
}

/**
 * The last word of a call.
 * @param {string} code of the catalogue, empty if it was no error
 * @param {string} message
 */
function end(code, message) {
  if (ended) return;
  // A panel that outlived a deploy cures itself, once.
  if (code === "RL-404" && location.hash !== "#again") return reload("#again");
  if (code === "RL-309" && clicked) {
    // Who clicks wants to talk, whatever became of an earlier call.
    port?.postMessage({ keep: null });
    return reload("#");
  }
  const elsewhere = code === "RL-308";
  // Of these the call itself may outlive the panel: the button leads back to it.
  const back = !token ? "" : elsewhere ? "Move the call here" : code === "RL-107" ? "Back to the call" : "";
  const failed = code && !elsewhere && code !== "RL-309";
  ended = true;
  clearInterval(clock);
  release();
  note("");
  minimise(false);
  panel.dataset.state = "ended";
  part("state").textContent = elsewhere ? "In another tab" : failed && !clock ? "No call" : "Call ended";
  panel.toggleAttribute("data-failed", !!failed);
  const last = part("end");
  last.textContent = message;
  if (code) last.append(Object.assign(document.createElement("a"), { textContent: code, href: `errors#${code}`, target: "_blank" }));
  for (const id of ["calling", "keypad", "meters", "minimise", "shown", "tap"]) part(id).hidden = true;
  last.hidden = part("over").hidden = false;
  const again = part("again");
  if (back) again.textContent = back;
  if (elsewhere) {
    again.onclick = () => {
      tell();
      reload("#move");
    };
  }
  again.hidden = (elsewhere && !back) || code === "RL-317";
  if (document.hasFocus()) (again.hidden ? part("close") : again).focus();
  // A tab that the call was moved away from does not follow it over its next pages, unless it is moved back.
  forgets = back && (resuming || !elsewhere) ? undefined : null;
  port?.postMessage({ state: "ended", keep: forgets });
  if (!elsewhere) successor.forget(id);
  if (code === "RL-309") setTimeout(() => part("close").click(), READ_WITHIN_MS);
}

/** Begins anew, with a new token, and whatever was deployed since. @param {string} why */
function reload(why) {
  // Not by `hash`, of which each change would be a step for the browser's back button.
  location.replace(why);
  location.reload();
}

/** Tells the page what its next page needs to know, while there is a call to know of. */
function keep() {
  if (token && !ended) tell();
}

function tell() {
  port?.postMessage({ keep: { token, panel: settings.current() } });
}

/** @param {VisitorRequest} message what the phone does not care about */
function report(message) {
  phone?.tell(JSON.stringify(message));
}

/** Tells what is set of the sound; where nothing ever was, it is as every call begins. */
function tellSound() {
  if (loading || settings.current().sound) withSound((sound) => sound.tell());
  else report({ type: "settings", microphone_db: 0, muted: !!settings.current().muted, speaker_db: 0, echo: "browser" });
}

/**
 * What the shop's page has made of the address that the call centre named. It may stay the same page, at another place.
 * @param {boolean} done
 * @param {boolean} here the shopper was there already: back leads elsewhere
 */
function pageShown(done, here) {
  report({ type: "shown", done });
  part("back").hidden = here && (part("shown").hidden || part("back").hidden);
  part("shown").hidden = !done;
  if (!done || here) settings.set("shown", false);
  if (!done) note(`${sentence("RL-120")} (RL-120)`);
}

/** Gives microphone and audio back; the browser's recording sign goes out. */
function release() {
  microphone?.stop();
  graph?.close();
  audio.srcObject = null;
}

/** @param {string} text @param {boolean} [stays] until it is replaced */
function note(text, stays) {
  part("note").textContent = text;
  clearTimeout(noteTimer);
  if (text && !stays) {
    noteTimer = setTimeout(() => {
      keysHeard = "";
      note("");
    }, NOTE_FOR_MS);
  }
}

/** @param {"own" | "far"} side @param {number} dbov */
function level(side, dbov) {
  const share = Math.min(1, Math.max(0, 1 - dbov / SILENCE_DBOV));
  part(side).style.transform = `scaleX(${share.toFixed(2)})`;
}

/** Whether the far end's audio is there, and with it somebody or something to take keys. */
function heard() {
  return ["early_media", "answered"].includes(panel.dataset.state ?? "");
}

const keys = new Keys(part("sent"), heard, (digits) => phone?.digits(digits));

/** @param {boolean} small */
function minimise(small) {
  small &&= !isWindow;
  panel.classList.toggle("small", small);
  part("minimise").setAttribute("aria-expanded", String(!small));
  part("minimise").setAttribute("aria-label", small ? "Show the call" : "Minimise");
  resize();
  settings.set("small", small);
}

function resize() {
  if (isWindow || !sheet.sheet) return;
  const width = panel.classList.contains("small") ? 320 : 344;
  port?.postMessage({ width, height: panel.offsetHeight });
}

/** @param {boolean} muted */
function mute(muted) {
  panel.toggleAttribute("data-muted", muted);
  if (microphone) microphone.enabled = !muted;
  graph?.tell({ muted });
  part("mute").setAttribute("aria-pressed", String(muted));
  settings.set("muted", muted);
}

/** @param {boolean} open */
function keypad(open) {
  part("keypad").hidden = !open;
  part("keys").setAttribute("aria-expanded", String(open));
  settings.set("keypad", open);
}

part("back").onclick = () => {
  part("shown").hidden = true;
  settings.set("shown", false);
  port?.postMessage({ back: true });
};
part("mute").onclick = () => {
  mute(!panel.hasAttribute("data-muted"));
  if (loading) withSound((sound) => sound.mutedByHand());
  else tellSound();
};
part("tap").onclick = () => {
  part("tap").hidden = true;
  graph?.resume();
  const asks = denied;
  denied = false;
  hear();
  if (asks) speak(ask()).catch(() => {
    denied = true;
    askForTap();
  });
};
part("keys").onclick = () => {
  if (loading) withSound((sound) => sound.toggle(false));
  keypad(!!part("keypad").hidden);
};
part("tune").onclick = () => withSound((sound) => sound.toggle());
navigator.mediaDevices?.addEventListener("devicechange", () => {
  if (microphone && !ended) withSound((sound) => sound.devicesChanged());
});
part("keypad").onclick = ({ target }) => {
  const key = /** @type {HTMLElement} */ (target).closest("button")?.dataset.key;
  if (key) keys.press(key);
};
part("hangup").onclick = () => (phone ? phone.hangup() : part("close").click());
part("minimise").onclick = () => minimise(!panel.classList.contains("small"));
part("again").onclick = () => reload("#");
part("close").onclick = () => {
  port?.postMessage({ close: true });
  if (isWindow) close();
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (/^[0-9*#]$/.test(event.key)) keys.press(event.key);
  else if (event.key === "Escape") ended ? part("close").click() : minimise(true);
});
// Any of these may mean another network; the phone looks for itself. TypeScript does not know `connection`.
const changed = () => phone?.networkChanged();
addEventListener("online", changed);
addEventListener("pageshow", changed);
/** @type {{connection?: EventTarget}} */ (navigator).connection?.addEventListener("change", changed);
document.addEventListener("resume", changed);

addEventListener("pagehide", () => {
  if (!token || ended) return phone?.hangup();
  // The shop's next page takes the call up; the server is to know at once that this one has let go.
  ended = true;
  phone?.leave();
  release();
});
