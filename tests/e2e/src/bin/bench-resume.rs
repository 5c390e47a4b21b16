//! Measures how long nobody hears the other while a shopper turns a page in a call: a real browser follows the shop's own
//! links, 20 pages a call, against SIPp and a talker. Run by `cargo xtask bench resume`; `-- 3` makes it 3 calls, not 10.
//!
//! What the far end hears is timed by its RTP, from packet with sound to packet with sound. What the shopper hears is timed
//! in the panels, from the last sound of the old page's to the first of the new one's; and since that may be followed by another hole, the
//! longest one until the page has settled as well.

use anyhow::{Context as _, Result, ensure};
use e2e::browser::{Browser, Chromedriver};
use e2e::ringlet::{SHOP_URL, Setup};
use e2e::stand::Stand;
use e2e::wait::eventually;
use e2e::{namespace, quantiles};
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::sleep;

/// Calls, unless the command line says otherwise.
const CALLS: u32 = 10;

/// The pages that are turned in each call, one after the other, again and again.
const PAGES: [&str; 4] = ["/shoes.html", "/returns.html", "/cart.html", "/"];
const TURNS: usize = 20;

/// The target for both 95th percentiles, in ms.
const P95_MS: f64 = 1_000.0;

/// A page that takes longer is a fault, not a measurement.
const TURN_LIMIT: Duration = Duration::from_secs(20);

/// Looking at the page takes the browser's time, which is what is measured: nobody looks before most turns are over.
const UNDISTURBED: Duration = Duration::from_millis(1_200);

/// How long both sides must be heard before the page is turned, so that a second gap of the same turn counts, too.
const SETTLED: Duration = Duration::from_millis(500);

/// Notes in the panel when its first sound came, and for the next panel when its last did; and between them, when each step
/// towards sound was done. Unix time in ms.
const STOPWATCH: &str = "
    const now = () => performance.timeOrigin + performance.now();
    if (location.pathname !== '/panel') return;
    const seen = window.seen = { before: Number(localStorage.lastSound), left: Number(localStorage.left), begun: performance.timeOrigin, hole: 0 };
    const note = (step) => { seen[step] ??= now(); };
    let last = 0;
    addEventListener('pagehide', () => { localStorage.lastSound = last; localStorage.left = now(); }, true);
    addEventListener('message', () => note('opened'), { capture: true, once: true });
    new PerformanceObserver((list) => {
      const [page] = list.getEntriesByType('navigation');
      if (page) seen.responded = performance.timeOrigin + page.responseStart;
      const script = list.getEntriesByType('resource').find(({ name }) => /panel-\\w+\\.js/.test(name));
      if (script) seen.fetched = performance.timeOrigin + script.responseEnd;
    }).observe({ entryTypes: ['navigation', 'resource'] });
    seen.committed = now();
    const watch = (of, name, before, after) => {
      const real = of[name];
      of[name] = function (...given) {
        if (before) note(before);
        const done = real.apply(this, given);
        if (after) done.then(() => note(after), () => {});
        return done;
      };
    };
    watch(WebAssembly, 'instantiateStreaming', 'scripted', 'compiled');
    watch(RTCPeerConnection.prototype, 'setLocalDescription', 'offering', 'offered');
    watch(RTCPeerConnection.prototype, 'setRemoteDescription', 'answered');
    watch(RTCRtpSender.prototype, 'replaceTrack', 'speaking');
    watch(MediaDevices.prototype, 'getUserMedia', 'asked', 'allowed');
    const Peer = RTCPeerConnection, Socket = WebSocket;
    window.RTCPeerConnection = class extends Peer {
      constructor(...given) {
        super(...given);
        this.addEventListener('iceconnectionstatechange', () => this.iceConnectionState === 'connected' && note('paired'));
        this.addEventListener('connectionstatechange', () => this.connectionState === 'connected' && note('connected'));
      }
    };
    window.WebSocket = class extends Socket {
      constructor(...given) {
        note('socket');
        super(...given);
        this.addEventListener('open', () => note('open'));
      }
    };
    const slot = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'srcObject');
    Object.defineProperty(HTMLMediaElement.prototype, 'srcObject', { ...slot, set(stream) {
      slot.set.call(this, stream);
      if (!stream) return;
      const context = new AudioContext(), ear = context.createScriptProcessor(256, 1, 1);
      ear.onaudioprocess = ({ inputBuffer }) => {
        if (!inputBuffer.getChannelData(0).some((sample) => Math.abs(sample) > 0.02)) return;
        const at = now();
        seen.hole = Math.max(seen.hole, at - (last || seen.before || at));
        last = at;
        note('first');
      };
      context.createMediaStreamSource(stream).connect(ear).connect(context.destination);
    } });";

/// The steps that the stopwatch notes, in the order of a table.
const STEPS: [(&str, &str); 18] = [
    ("left", "the old panel is told to go"),
    ("begun", "the new page's loader has made the panel's frame"),
    ("responded", "the panel's page arrives"),
    ("committed", "its process begins with it"),
    ("fetched", "its script is there"),
    ("scripted", "its script runs"),
    ("opened", "the loader hands over the token"),
    ("asked", "the microphone is asked for"),
    ("allowed", "the microphone is there"),
    ("socket", "the socket is opened"),
    ("open", "the socket is open"),
    ("compiled", "the phone is compiled"),
    ("offering", "the offer is asked for"),
    ("offered", "the offer is there"),
    ("answered", "the answer is there"),
    ("paired", "ICE has a pair"),
    ("connected", "DTLS is done"),
    ("speaking", "the microphone's track is sent"),
];

/// How long each side heard nothing while a page was turned, in ms.
#[derive(Clone, Debug)]
struct Gaps {
    shopper: f64,
    /// The longest one, which may have come behind the first sound.
    hole: f64,
    far_end: f64,
    /// When each of [`STEPS`] was done, counted from the last sound.
    steps: Vec<Option<f64>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let alone = namespace::enter()?;
    let calls = std::env::args().nth(1).map_or(Ok(CALLS), |text| text.parse()).context("how many calls?")?;
    let directory = alone.artifacts.join("bench-resume");
    // The tone that tells the far end that the shopper turns a page would count as sound.
    let setup = Setup { media: "away_tone = \"off\"", ..Setup::default() };
    let stand = Stand::open(&directory, calls, &setup).await?;
    let bench = Bench { driver: Chromedriver::start(&directory).await?, stand };
    bench.run(calls).await
}

struct Bench {
    driver: Chromedriver,
    stand: Stand,
}

impl Bench {
    async fn run(mut self, calls: u32) -> Result<()> {
        let mut gaps = Vec::new();
        for _ in 0..calls {
            let browser = self.stand.browser(&self.driver, STOPWATCH).await?;
            gaps.extend(self.call(&browser).await.with_context(|| self.stand.server.tail())?);
            browser.quit().await?;
        }
        self.stand.close().await?;
        quantiles::print("gap in what the shopper hears", gaps.iter().map(|gaps| gaps.shopper).collect(), Some(P95_MS));
        let holes = gaps.iter().map(|gaps| gaps.hole).collect();
        quantiles::print("longest hole in what the shopper hears", holes, Some(P95_MS));
        quantiles::print("gap in what the far end hears", gaps.iter().map(|gaps| gaps.far_end).collect(), Some(P95_MS));
        for (n, (_, name)) in STEPS.iter().enumerate() {
            let times = gaps.iter().filter_map(|gaps| gaps.steps.get(n).copied().flatten()).collect();
            quantiles::print(&format!("after the last sound, {name}"), times, None);
        }
        Ok(())
    }

    async fn call(&self, browser: &Browser) -> Result<Vec<Gaps>> {
        self.stand.talker.forget();
        browser.show(SHOP_URL).await?;
        browser.click_button().await?;
        browser.is_answered().await?;
        self.both_hear(browser).await?;
        let mut gaps = Vec::new();
        for page in PAGES.iter().cycle().take(TURNS) {
            gaps.push(self.turn(browser, page).await.with_context(|| format!("turning to {page}"))?);
        }
        browser.hang_up().await?;
        self.stand.server.nothing_left().await?;
        Ok(gaps)
    }

    async fn turn(&self, browser: &Browser, page: &str) -> Result<Gaps> {
        self.stand.talker.take_longest_gap();
        browser.click_in_page(&format!("nav a[href=\"{page}\"], header a[href=\"{page}\"]")).await?;
        sleep(UNDISTURBED).await;
        eventually("the next page is there", TURN_LIMIT, async || {
            let path = browser.in_page("return location.pathname").await?;
            ensure!(path == page, "this is {path}");
            Ok(())
        })
        .await?;
        let seen = self.both_hear(browser).await?;
        let at = |what: &str| seen.get(what).and_then(Value::as_f64).with_context(|| format!("not {what}: {seen}"));
        let gap = self.stand.talker.take_longest_gap();
        let before = at("before")?;
        let steps = STEPS.iter().map(|(step, _)| at(step).ok().map(|at| at - before)).collect();
        Ok(Gaps { shopper: at("first")? - before, hole: at("hole")?, far_end: gap.as_secs_f64() * 1e3, steps })
    }

    /// Waits until both sides hear the other again, and some more; what the panel's stopwatch says.
    async fn both_hear(&self, browser: &Browser) -> Result<Value> {
        eventually("both sides hear each other", TURN_LIMIT, async || {
            let seen = browser.in_panel("return seen").await?;
            let begun = seen.get("begun").and_then(Value::as_f64).context("no panel")?;
            ensure!(seen.get("first").is_some_and(Value::is_number), "the shopper hears nothing: {seen}");
            let heard = self.stand.talker.last_sound().context("the far end hears nothing")?;
            ensure!(heard.duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3 > begun, "the far end hears nothing now");
            Ok(())
        })
        .await?;
        sleep(SETTLED).await;
        browser.in_panel("return seen").await
    }
}
