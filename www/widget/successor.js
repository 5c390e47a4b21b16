/**
 * What this page does for the one after it: a certificate of its own (next.js) and a path that waits for it, so that the next page
 * need not ask first. Not here: the token, without which neither is of use.
 */

import { asset } from "./audio.js";
import * as settings from "./settings.js";

/** @template T @param {(next: typeof import("./next.js")) => Promise<T>} does @returns {Promise<T | undefined>} */
const withNext = (does) => import(asset("next-js")).then(does).catch((error) => {
  console.warn("Ringlet: nothing is kept.", error);
  return undefined;
});

/** The certificate of the next page. @type {{id: string, fingerprint: string} | undefined} */
let announced;
/** It is being made. @type {Promise<{id: string, fingerprint: string} | undefined> | undefined} */
let making;

/**
 * The certificate that the page before has made for this one.
 * @param {settings.Settings["next"]} next
 * @returns {Promise<Partial<import("./next.js").Identity>>} empty where there is none
 */
export async function identity(next) {
  return (next && (await withNext(({ find }) => find(next.id)))) ?? {};
}

/**
 * Makes the next page known to the server, and lets the gateway make ready for it. Said again, it is the same page: for a server
 * that has forgotten, or a gateway that has not made ready.
 * @param {string} call its id
 * @param {(request: {type: "next", fingerprint: string}) => void} report tells the server
 */
export async function announce(call, report) {
  const made = await (making ??= withNext(({ make }) => make(call)));
  if (!made) {
    making = undefined;
    return;
  }
  if (!announced) {
    // Kept before it is said: the call goes to nobody else from then on.
    settings.set("next", { id: made.id });
    announced = made;
  }
  report({ type: "next", fingerprint: made.fingerprint });
}

/** The path is ready. @param {{fingerprint: string, sdp: string}} prepared */
export function prepared({ fingerprint, sdp }) {
  if (fingerprint === announced?.fingerprint) settings.set("next", { id: announced.id, sdp });
}

/** The call is over. @param {string} call */
export function forget(call) {
  if (announced) withNext((next) => next.forget(call));
}
