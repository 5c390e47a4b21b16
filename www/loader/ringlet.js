/**
 * The loader: the one file of the script tag. It draws the floating button, turns every element with `data-ringlet-link`
 * into a further icon, and opens the panel in a frame of the host that it came from, or in a window (`data-window="popup"`).
 *
 * It is deliberately no phone: it has no socket, no microphone and no call state of its own, and asks for nothing
 * before the click. Styles are constructed and set through the CSSOM, so that the shop's CSP needs to allow only this
 * host, for script and frame.
 */
(() => {
  const script = /** @type {HTMLScriptElement | null} */ (
    document.currentScript ?? document.querySelector('script[src*="ringlet.js"]')
  );
  // An element of the page may have that name as its id.
  if (!script || window.Ringlet?.preflight) return;

  /** From the click to the panel's first word. */
  const LOADED_WITHIN_MS = 8000;
  /** A frame that has loaded but says nothing is an error page: blocked by frame-ancestors, by a proxy, by a 5xx. */
  const SPOKEN_WITHIN_MS = 1500;
  /** A frame made ahead of the click carries a token that lives 10 minutes. */
  const WARM_FOR_MS = 300000;
  /** How long a call waits for its next page, whose frame a server that restarts cannot give. */
  const WINDOW_MS = 60000;
  /** Additions to the page are looked at together, since single-page shops make thousands. */
  const SCAN_AFTER_MS = 100;

  const base = new URL(".", script.src);
  window.Ringlet = {
    // Fetched when it is asked for.
    preflight: (options) => import(`${base}preflight.js`).then((module) => module.default(script.dataset, options)),
  };
  const ICON = "[data-ringlet-link]";
  /** Where the running call is kept for the next page of this tab, and the name by which its pages find the call window. */
  const KEY = "ringlet";

  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
:host{all:initial!important;position:fixed!important;z-index:2147483647!important;inset-inline-end:16px!important;bottom:max(16px,env(safe-area-inset-bottom))!important}
button{font:600 16px/1.25 system-ui,sans-serif;color:var(--ringlet-ink,#fff);background:var(--ringlet-color,#0b6b4f);border:0;border-radius:28px;cursor:pointer}
button:focus-visible{outline:3px solid #fff;box-shadow:0 0 0 6px #0a58ca}
.call{display:flex;margin-inline-start:auto;align-items:center;gap:10px;min-height:56px;max-width:calc(100vw - 32px);padding:8px 22px;box-shadow:0 6px 20px #0004}
.call:hover{filter:brightness(1.2)}
.call::before{content:"";width:24px;height:24px;flex:none;background:currentColor;forced-color-adjust:none;clip-path:path("M6.6 2.6 9 2l2.6 5.7-2 2.1c.9 2 2.6 3.7 4.6 4.6l2.1-2L22 15l-.6 2.4A4.7 4.7 0 0 1 16.8 21 13.8 13.8 0 0 1 3 7.2a4.7 4.7 0 0 1 3.6-4.6Z")}
iframe{position:absolute;bottom:0;inset-inline-end:0;width:344px;height:480px;max-width:calc(100vw - 32px);max-height:calc(100vh - 32px);border:0;border-radius:20px;box-shadow:0 12px 40px #0005;visibility:hidden}
iframe.open{visibility:visible}
p{width:300px;max-width:calc(100vw - 72px);margin:0 0 12px;padding:16px 20px;border-radius:20px;font:16px/1.25 system-ui,sans-serif;color:#16211d;background:#fff;box-shadow:0 6px 20px #0004}
p button{display:block;margin-top:12px;padding:12px 20px}
[hidden]{display:none}
@media(max-width:480px){iframe{position:fixed;inset-inline:0;width:100%!important;max-width:none;border-radius:20px 20px 0 0}}
@media(forced-colors:active){button,iframe,p{border:1px solid}}
@media print{:host{display:none!important}}`);

  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];

  /** @type {HTMLIFrameElement | undefined} */
  let frame;
  /** The panel in a window of its own, opened here or by an earlier page. @type {Window | undefined} */
  let popup;
  /** The panel's address. */
  let src = "";
  /** Whether the frame has come to its end of loading, be it with the panel or with an error page. */
  let shown = false;
  /** Whether the frame's panel has said that it is there. */
  let loaded = false;
  /** When the frame was made, in milliseconds of the page's clock. */
  let madeAt = 0;
  /** What opened the panel: an icon, or this very page that found a running call. @type {HTMLElement | undefined} */
  let opener;
  /** What the panel is to know. @type {{customer?: string, token?: string, quality?: string, blocked?: boolean, clicked?: boolean}} */
  let context = {};
  /** @type {MessagePort | undefined} */
  let port;
  /** The call is over and its panel still open. */
  let ended = false;
  /** @type {HTMLParagraphElement | undefined} */
  let notice;
  let deadline = 0;
  let scanDue = 0;

  /** @type {HTMLButtonElement | undefined} */
  let button;
  if (script.dataset.link) {
    button = document.createElement("button");
    button.className = "call";
    button.dataset.ringletLink = script.dataset.link;
    button.textContent = script.dataset.label ?? "Call us";
    prepare(button);
    root.append(button);
  }

  /** @param {HTMLElement} icon */
  function prepare(icon) {
    icon.setAttribute("aria-haspopup", "dialog");
    if (!icon.matches("button,input,summary")) {
      if (!icon.hasAttribute("role")) icon.setAttribute("role", "button");
      if (!icon.matches("a[href],[tabindex]")) icon.tabIndex = 0;
    }
  }

  /** Makes icons of what has come, and puts back what the page has thrown away with its content. */
  function scan() {
    scanDue = 0;
    if (!host.isConnected) document.documentElement.append(host);
    for (const icon of document.querySelectorAll(`${ICON}:not([aria-haspopup])`)) {
      prepare(/** @type {HTMLElement} */ (icon));
    }
  }

  /**
   * The icon that an event happened on, if any.
   * @param {Event} event
   * @returns {HTMLElement | undefined}
   */
  function iconOf(event) {
    return /** @type {HTMLElement | undefined} */ (
      event.composedPath().find((node) => /** @type {Element} */ (node).matches?.(ICON))
    );
  }

  /**
   * What the script tag says, and the icon in its place.
   * @param {HTMLElement} icon
   * @returns {DOMStringMap}
   */
  function given(icon) {
    return { ...script?.dataset, ...icon.dataset };
  }

  /**
   * The panel's address for an icon; empty when merchant or link is missing.
   * @param {HTMLElement} icon
   */
  function address(icon) {
    const { merchant, token } = given(icon);
    const link = icon.dataset.ringletLink;
    return merchant && (link || token) ? panel(merchant, link) : "";
  }

  /** @param {string} merchant @param {string} [link] */
  function panel(merchant, link = "") {
    return `${base}panel?${new URLSearchParams({ merchant, link })}`;
  }

  /**
   * The call that a page before this one had. Storage throws where the browser forbids it.
   * @returns {{merchant: string, link?: string, token?: string, popup?: boolean, panel?: object} | undefined}
   */
  function kept() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY) ?? "");
    } catch {
      // Then there was none.
    }
  }

  function page() {
    return location.origin + location.pathname;
  }

  /** @param {object | null} call */
  function keep(call) {
    try {
      if (call) {
        const { searchParams } = new URL(src);
        sessionStorage.setItem(KEY, JSON.stringify({ ...Object.fromEntries(searchParams), popup: !!popup, ...call }));
      } else sessionStorage.removeItem(KEY);
    } catch {
      // Then the call ends with this page.
    }
  }

  /**
   * Makes the frame, invisible. The frame fetches and compiles, and waits to be opened.
   * @param {string} address
   * @param {object} [call] the running one that it is to take up
   */
  function make(address, call) {
    unmake();
    src = address;
    const made = document.createElement("iframe");
    made.title = button?.textContent || "Call";
    made.allow = "microphone; autoplay";
    // The server checks the shop's origin early by it; a shop's `no-referrer` would withhold it.
    made.referrerPolicy = "origin";
    // A running call need not wait for the panel to say that it is there, and for this page to have time to answer.
    made.name = call ? JSON.stringify({ page: page(), call }) : "";
    made.src = src;
    made.onload = () => {
      if (made !== frame) return;
      shown = true;
      if (opener && !loaded) expect(SPOKEN_WITHIN_MS);
    };
    frame = made;
    madeAt = performance.now();
    root.append(made);
  }

  function unmake() {
    clearTimeout(deadline);
    port?.close();
    frame?.remove();
    frame = popup = port = undefined;
    shown = loaded = ended = false;
  }

  /** @param {number} ms */
  function expect(ms) {
    clearTimeout(deadline);
    deadline = setTimeout(fail, ms);
  }

  function fail() {
    const window = popup;
    if (!window && kept()?.token && madeAt < WINDOW_MS) return resume();
    const icon = /** @type {HTMLElement} */ (opener);
    close();
    if (window) {
      window.close();
      // A shop may cut itself off from windows that it opens (COOP); a frame works all the same.
      return open(icon, true);
    }
    say("RL-106", "The phone could not be loaded: check the connection and try again.");
  }

  /** @param {HTMLElement} icon @param {boolean} [blocked] no window could be had */
  function open(icon, blocked) {
    notice?.remove();
    const to = address(icon);
    if (!to) return say("RL-206", "This call button is not set up.");
    const { customer, token, quality, window: kind } = given(icon);
    if (kind === "popup" && !frame && !blocked) {
      const found = window.open("", KEY, "popup,width=360,height=600");
      if (found) {
        found.focus();
        let fresh = false;
        try {
          fresh = !found.location.href.startsWith(base.href);
        } catch {
          // The browser keeps its address from us: it is the panel, in a call or after one.
        }
        if (fresh) {
          unmake();
          found.location.href = src = to;
          popup = found;
          context = { customer, token, quality, clicked: true };
          begin(icon);
          keep(kept() ?? {});
        }
        return;
      }
      blocked = true;
    }
    if (opener && !ended) {
      // One call at a time: the click brings its panel back.
      frame?.focus();
      port?.postMessage({ show: true });
      return;
    }
    if (!frame || ended || frame.src !== to || performance.now() - madeAt > WARM_FOR_MS) make(to);
    context = { customer, token, quality, blocked };
    begin(icon);
    frame?.classList.add("open");
    frame?.focus();
  }

  /** @param {HTMLElement} by */
  function begin(by) {
    opener?.setAttribute("aria-expanded", "false");
    opener = by;
    opener.setAttribute("aria-expanded", "true");
    if (button && !popup) button.hidden = true;
    if (loaded) start();
    else expect(shown ? SPOKEN_WITHIN_MS : LOADED_WITHIN_MS);
  }

  /** Takes the running call up again, if there is one. The frame shows once it knows its size, and takes no focus. */
  function resume() {
    const call = kept();
    if (!call) return;
    src = panel(call.merchant, call.link);
    // A call window goes on by itself, and says that it is there.
    if (!call.token || call.popup) return;
    make(src, call);
    begin(button ?? host);
  }

  /** Hands the panel what it needs, and with it the word to call, or to take up the call that runs. */
  function start() {
    clearTimeout(deadline);
    port?.close();
    const channel = new MessageChannel();
    port = channel.port1;
    port.onmessage = ({ data }) => {
      if (data.state) ended = data.state === "ended";
      if (data.keep !== undefined) keep(data.keep);
      if (data.page) {
        // Never elsewhere: a script's address has no origin, and a call does not follow to another.
        const { origin, href } = new URL(data.page, location.href);
        const shown = origin === location.origin;
        // Who is there already has no way back from it.
        const here = href === location.href;
        port?.postMessage({ shown, here });
        if (shown && !here) location.assign(href);
      }
      if (data.back) history.back();
      if (data.height && frame) {
        frame.style.width = `${data.width}px`;
        frame.style.height = `${data.height}px`;
        frame.classList.add("open");
      }
      if (data.close) {
        keep(null);
        close();
      }
    };
    (popup ?? frame?.contentWindow)?.postMessage({ ringlet: "open", page: page(), ...context, call: kept() }, base.origin, [channel.port2]);
  }

  function close() {
    // Whoever is elsewhere on the page by now stays there.
    const focused = document.activeElement === host;
    unmake();
    if (button) button.hidden = false;
    opener?.setAttribute("aria-expanded", "false");
    if (focused) opener?.focus();
    opener = undefined;
  }

  /**
   * Says what went wrong where no panel can.
   * @param {string} code
   * @param {string} sentence
   */
  function say(code, sentence) {
    notice?.remove();
    notice = document.createElement("p");
    notice.setAttribute("role", "alert");
    const dismiss = document.createElement("button");
    dismiss.textContent = "OK";
    dismiss.onclick = () => notice?.remove();
    notice.append(`${sentence} (${code})`, dismiss);
    root.prepend(notice);
  }

  addEventListener("message", ({ data, origin, source }) => {
    if (origin !== base.origin) return;
    const speaks = /here|loaded/.test(data.ringlet);
    // An earlier page's call window; of our other frames (preflight.js) none.
    if (speaks && !frame && !popup) {
      popup = /** @type {Window} */ (source);
      opener = button ?? host;
    }
    if (source !== (popup ?? frame?.contentWindow)) return;
    if (!speaks) {
      // The phone does not load. A server that restarts is not asked at once again.
      if (opener) expect(SPOKEN_WITHIN_MS);
      else unmake();
    } else if (data.ringlet === "loaded" || !port) {
      loaded = true;
      // Also after the panel has reloaded itself, to call again.
      if (opener) start();
    }
  });

  /** @param {Event} event */
  const warm = (event) => {
    const icon = iconOf(event);
    const to = icon && !opener && !popup && given(icon).window !== "popup" && address(icon);
    if (to && frame?.src !== to) make(to);
  };
  for (const kind of ["pointerover", "focusin", "touchstart"]) {
    // Passive by default, there.
    document.addEventListener(kind, warm, true);
  }

  document.addEventListener("click", (event) => {
    const icon = iconOf(event);
    if (!icon) return;
    event.preventDefault();
    open(icon);
  }, true);
  document.addEventListener("keydown", (event) => {
    const icon = iconOf(event);
    // Buttons make their own clicks.
    if (!icon || event.repeat || !/^(Enter| )$/.test(event.key) || icon.matches("button,input,summary")) return;
    event.preventDefault();
    open(icon);
  }, true);

  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    // Back from the browser's page cache: the call has gone on, elsewhere or to its end.
    close();
    resume();
  });

  scan();
  resume();
  new MutationObserver(() => {
    scanDue ||= setTimeout(scan, SCAN_AFTER_MS);
  }).observe(document, { childList: true, subtree: true, attributeFilter: ["data-ringlet-link"] });
})();
