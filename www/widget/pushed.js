/** A page that the call centre shows, on its way to the shop's page, which may not be there yet. Not here: what that makes of it. */

import * as settings from "./settings.js";

/** How long it waits: not for the 3 s after which the call centre is refused, for what is refused is not done later. */
const WAITS_MS = 2000;

let waiting = "";

/**
 * Hands a page over, or the one that waits.
 * @param {MessagePort | undefined} port to the shop's page
 * @param {string} [page] its address
 */
export function push(port, page = waiting) {
  waiting = port ? "" : page;
  if (!port) setTimeout(() => { waiting = ""; }, WAITS_MS);
  else if (page) {
    // Before the page goes, what its successor is to know.
    settings.set("shown", true);
    port.postMessage({ page });
  }
}
