/**
 * `Ringlet.preflight()`, fetched when it is first called. In the shop's page it finds out what that page forbids; the rest is
 * done by the check page in a frame of our origin, invisible, which says its results to this page only.
 */

/** The frame has not said that it is there: blocked by the shop's CSP, by frame-ancestors, by a proxy. */
const LOADED_WITHIN_MS = 8000;
/** The longest check, and the microphone's prompt. */
const DONE_WITHIN_MS = 60000;

/** Where the script tag's script came from, as this. */
const base = new URL(".", import.meta.url);

/**
 * @param {DOMStringMap} given the script tag's attributes
 * @param {RingletPreflightOptions} [options]
 * @returns {Promise<RingletReport>}
 */
export default function preflight(given, { merchant = given.merchant, link = given.link, microphone, onResult } = {}) {
  const { origin } = base;
  const frame = document.createElement("iframe");
  frame.allow = "microphone; autoplay";
  // The server checks the shop's origin by it; a shop's `no-referrer` would withhold it.
  frame.referrerPolicy = "origin";
  frame.style.cssText = "position:fixed!important;width:1px!important;height:1px!important;opacity:0!important;pointer-events:none!important;border:0!important";
  frame.tabIndex = -1;
  frame.setAttribute("aria-hidden", "true");
  frame.src = `${base}check?${new URLSearchParams({ merchant: merchant ?? "", link: link ?? "", framed: "1" })}`;
  return new Promise((resolve) => {
    /** @param {RingletReport} report */
    const done = (report) => {
      clearTimeout(late);
      removeEventListener("message", hear);
      document.removeEventListener("securitypolicyviolation", violated);
      frame.remove();
      resolve(report);
    };
    /** @param {string} code @param {string} message @param {string} cure */
    const fail = (code, message, cure) => {
      /** @type {RingletCheck} */
      const check = { name: "page", state: "failed", code, message, cure };
      onResult?.(check);
      done({ score: 1, checks: [check] });
    };
    const silent = () => fail("RL-509", "The check could not be loaded in this page.", `The frame with ${frame.src} said nothing. The page's origin must be one of the merchant's, and the network's proxy must let it pass.`);
    /** @param {SecurityPolicyViolationEvent} event */
    const violated = ({ blockedURI, effectiveDirective }) => {
      if (!blockedURI.startsWith(origin) || !/^(frame|child|default)-src/.test(effectiveDirective)) return;
      fail("RL-513", "This page does not let the phone open.", `Add ${origin} to frame-src of the page's Content-Security-Policy.`);
    };
    /** @param {MessageEvent} event */
    const hear = ({ data, origin: from, source }) => {
      if (source !== frame.contentWindow || from !== origin || data?.ringlet !== "check") return;
      clearTimeout(late);
      late = setTimeout(silent, DONE_WITHIN_MS);
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data: { check, report } }) => {
        if (check) onResult?.(check);
        if (report) done(report);
      };
      frame.contentWindow?.postMessage({ ringlet: "check", microphone }, origin, [port2]);
    };
    let late = setTimeout(silent, LOADED_WITHIN_MS);
    addEventListener("message", hear);
    document.addEventListener("securitypolicyviolation", violated);
    document.documentElement.append(frame);
  });
}
