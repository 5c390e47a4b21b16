/**
 * The check page: by itself it shows the results as they come, and a report to copy; in a frame of a shop's page it says them to
 * that page only, for `Ringlet.preflight()`.
 */

import { Checks, NAMES } from "./checks.js";

/** @type {Record<RingletCheckName, string>} */
const TITLES = {
  page: "This shop may call",
  policy: "Pages here may use the microphone",
  microphone: "Microphone",
  socket: "Call service reached",
  udp: "Audio over UDP",
  tcp: "Audio over TCP",
  websocket: "Audio over WebSocket",
  round_trip: "Round trip",
  loss: "Losses",
};
const STATES = { ok: "Good", warning: "Could be better", failed: "Not possible", skipped: "Not checked" };
/** A way that the network lets through or not. */
const WAYS = { ok: "Passes", warning: "Blocked", failed: "Blocked", skipped: "Not checked" };
const MARKS = { ok: "✓", warning: "!", failed: "✕", skipped: "–" };
const VERDICTS = ["", "No call is possible.", "Calls will be hard to follow.", "Calls will work, with flaws.", "Calls will sound good.", "Calls will sound as good as they can."];
const UNITS = { round_trip: "ms", socket: "ms", loss: "%" };

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const given = document.documentElement.dataset;
const catalogue = JSON.parse(part("catalogue").textContent ?? "{}");
const framed = parent !== window;

/** @param {boolean} microphone @param {(check: RingletCheck) => void} onResult */
function run(microphone, onResult) {
  const { token = "", error = "" } = given;
  return new Checks({ catalogue, token, error, microphone, framed, onResult }).run();
}

if (framed) {
  let asked = false;
  addEventListener("message", async ({ data, source, ports: [port] }) => {
    if (source !== parent || data?.ringlet !== "check" || !port || asked) return;
    asked = true;
    const report = await run(!!data.microphone, (check) => port.postMessage({ check }));
    port.postMessage({ report });
  });
  // Nothing of it is secret.
  parent.postMessage({ ringlet: "check" }, "*");
} else if (given.error) {
  // Of a merchant or link that does not exist there is nothing to check.
  const [message = "", cure = ""] = catalogue[given.error] ?? [];
  part("progress").textContent = `${message} ${cure} (${given.error})`;
  part("start").hidden = part("asking").hidden = true;
} else {
  part("start").onclick = () => show();
}

async function show() {
  const start = /** @type {HTMLButtonElement} */ (part("start"));
  const results = part("results");
  const ask = /** @type {HTMLInputElement} */ (part("ask"));
  start.disabled = ask.disabled = true;
  results.replaceChildren();
  part("verdict").hidden = true;
  part("progress").textContent = "Checking… this takes up to ten seconds.";
  const report = await run(ask.checked, (check) => {
    // A page by itself has no shop around it.
    if (check.name === "page") return;
    const row = line(check);
    const before = [...results.children].find((it) => it instanceof HTMLElement && it.dataset.check === check.name);
    if (before) before.replaceWith(row);
    else results.append(row);
    part("progress").textContent = `${results.children.length} of ${NAMES.length - 1} checks done.`;
  });
  part("progress").textContent = `Done. Score ${report.score} of 5. ${VERDICTS[report.score]}`;
  part("verdict").hidden = false;
  part("score").textContent = String(report.score);
  part("score").dataset.score = String(report.score);
  part("words").textContent = VERDICTS[report.score] ?? "";
  const text = asText(report);
  part("copied").textContent = "";
  part("copy").onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      part("copied").textContent = "Copied.";
    } catch {
      // No permission, or no secure page: then by hand.
      part("text").hidden = false;
      getSelection()?.selectAllChildren(part("text"));
      part("copied").textContent = "Marked, to be copied by hand.";
    }
  };
  part("text").textContent = text;
  part("text").hidden = true;
  start.disabled = ask.disabled = false;
  start.textContent = "Check again";
}

/** @param {RingletCheck} check @returns {HTMLElement} */
function line({ name, state, code, message, cure, value }) {
  const row = document.createElement("li");
  row.dataset.check = name;
  row.dataset.state = state;
  if (code) row.dataset.code = code;
  const mark = made("span", "mark", MARKS[state]);
  mark.setAttribute("aria-hidden", "true");
  const words = made("div", "words", "");
  const head = made("p", "head", `${TITLES[name]}: `);
  head.append(made("b", "", result(name, state, value)));
  words.append(head);
  if (message) words.append(made("p", "", message));
  if (code) {
    const details = document.createElement("details");
    const summary = made("summary", "", "Cause and cure ");
    const link = Object.assign(document.createElement("a"), { href: `errors#${code}`, textContent: code, target: "_blank" });
    details.append(summary, made("p", "", `${cure ?? ""} `));
    details.lastElementChild?.append(link);
    words.append(details);
  }
  row.append(mark, words);
  return row;
}

/** @param {RingletCheckName} name @param {RingletCheck["state"]} state @param {number} [value] */
function result(name, state, value) {
  if (value !== undefined) return `${value} ${UNITS[/** @type {keyof typeof UNITS} */ (name)] ?? ""}`;
  return (["udp", "tcp", "websocket"].includes(name) ? WAYS : STATES)[state];
}

/** @param {string} tag @param {string} className @param {string} text */
function made(tag, className, text) {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

/** What goes to support. @param {RingletReport} report */
function asText({ score, transport, checks }) {
  const lines = checks.filter(({ name }) => name !== "page").map(({ name, state, code, value, cure }) => {
    return [`${MARKS[state]} ${TITLES[name]}: ${result(name, state, value)}`, code && `${code}: ${cure}`].filter(Boolean).join("\n    ");
  });
  return [
    `Ringlet call check, ${new Date().toISOString()}`,
    `${location.href}`,
    navigator.userAgent,
    `Score ${score} of 5; calls go over ${transport ?? "nothing"}`,
    ...lines,
  ].join("\n");
}
