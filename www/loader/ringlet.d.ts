/**
 * What the script tag's script gives to the shop's own scripts: `window.Ringlet`.
 *
 * Types only; a shop that uses TypeScript copies this file.
 */

export {};

declare global {
  interface Window {
    /** There once `ringlet.js` has run. */
    Ringlet: RingletApi;
  }

  interface RingletApi {
    /**
     * Finds out whether this browser, on this page and in this network, can call. Nobody is rung and nothing is recorded; it
     * takes about five seconds, and ten where a network blocks something. A server lets an address do this some times a
     * minute (`RL-519`), so do not call it on every page.
     *
     * Never rejects but where the page's Content-Security-Policy forbids our script; whatever else is wrong stands in the report.
     */
    preflight(options?: RingletPreflightOptions): Promise<RingletReport>;
  }

  interface RingletPreflightOptions {
    /** The merchant; by default the script tag's `data-merchant`. */
    merchant?: string;
    /** The link; by default the script tag's `data-link`. */
    link?: string;
    /** Ask the shopper for the microphone, if the browser has to. By default it is not asked for. */
    microphone?: boolean;
    /** Called with each result as it comes. */
    onResult?: (check: RingletCheck) => void;
  }

  /** What was checked, in the order of the report. */
  type RingletCheckName =
    | "page"
    | "policy"
    | "microphone"
    | "socket"
    | "udp"
    | "tcp"
    | "websocket"
    | "round_trip"
    | "loss";

  interface RingletCheck {
    name: RingletCheckName;
    /** `warning`: calls work, but not as well as they could; `skipped`: not checked, `code` says why, if there is a reason. */
    state: "ok" | "warning" | "failed" | "skipped";
    /** Of docs/errors.md. */
    code?: string;
    /** A sentence for the shopper. */
    message?: string;
    /** Cause and cure, for the engineer. */
    cure?: string;
    /** `round_trip` and `socket`: milliseconds; `loss`: percent, both ways together. */
    value?: number;
  }

  interface RingletReport {
    /**
     * From 5, as good as a telephone line can be, to 1, hardly to be understood, or no call possible: the categories of speech transmission quality of ITU-T
     * G.109, by the E-model (G.107) from round trip and loss; at most 4 without UDP, 3 without TCP either.
     */
    score: 1 | 2 | 3 | 4 | 5;
    /** What would carry a call; absent: nothing. */
    transport?: "udp" | "tcp" | "websocket";
    checks: RingletCheck[];
  }
}
