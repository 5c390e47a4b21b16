//! Measures how soon a code that an agent keys takes effect at the shopper's: by RFC 4733 events, by SIP INFO and by tones in the
//! audio, in a real browser against SIPp and a talker. Run by `cargo xtask bench keys`; `-- 10` makes it 10 of each, not 30.
//!
//! Time runs from key-up: the first packet with an event's end bit, the INFO request, the packet with the end of the tone. The codes are
//! complete with their last key, so that no pause is waited for. In every call the first code makes the panel fetch what carries it
//! out, and counts like any other.

use anyhow::{Context as _, Result, ensure};
use e2e::browser::{Browser, Chromedriver};
use e2e::ringlet::{SHOP_URL, Setup};
use e2e::stand::Stand;
use e2e::wait::eventually;
use e2e::{namespace, quantiles};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// How often each effect is measured for each carrier, unless the command line says otherwise.
const REPETITIONS: u32 = 30;

/// In one call.
const TURNS: u32 = 5;

/// The target for every 95th percentile, in ms.
const P95_MS: f64 = 300.0;

/// What takes longer is a fault, not a measurement.
const LIMIT: Duration = Duration::from_secs(10);

/// Codes of one carrier that may be keyed again; with more the machine is no place to measure.
const MOST_AGAIN: usize = 5;

/// Between an effect and the next code: the panel's report and the tone that acknowledges it.
const SETTLED: Duration = Duration::from_millis(600);

/// Where a tone begins in its packet moves on by so many samples from code to code: it has no divisor with 160.
const OFFSET_STEP: usize = 37;

/// Notes in the shop's page when it begins to go, and in the panel when the level of what is sent, the volume of what is played and the
/// echo layer have changed. Unix time in ms. The tone's level shall change by the engine alone, so that the browser's own canceller, which the
/// panel is told works, does not.
const STOPWATCH: &str = "
    const now = () => performance.timeOrigin + performance.now();
    if (!location.protocol.startsWith('http')) return;
    if (location.pathname !== '/panel') {
      navigation.addEventListener('navigate', () => { localStorage.navigating ??= now(); });
      addEventListener('pagehide', () => { localStorage.left ??= now(); });
      return;
    }
    let seen = window.seen = {}, steady = 0, wanted = 0, blocks = 0, since = 0, peaks = [], source;
    // The way in which the level is to go: 1 up, -1 down, 0 nowhere.
    window.arm = (way) => {
      steady = [...peaks].sort((a, b) => a - b)[peaks.length >> 1] ?? 0;
      seen = window.seen = {};
      [wanted, blocks] = [way, 0];
      return steady;
    };
    const context = new AudioContext(), ear = context.createScriptProcessor(256, 1, 1);
    ear.onaudioprocess = ({ inputBuffer }) => {
      const peak = inputBuffer.getChannelData(0).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      peaks = [...peaks.slice(-39), peak];
      // A step has 4 dB, and stays: a glitch of the machine is neither.
      const db = wanted * 20 * Math.log10(peak / steady);
      blocks = db > 3 && db < 5 ? blocks + 1 : 0;
      if (blocks === 1) since = now();
      if (blocks === 6) seen.microphone ??= since;
    };
    ear.connect(context.destination);
    const replace = RTCRtpSender.prototype.replaceTrack;
    RTCRtpSender.prototype.replaceTrack = function (track) {
      source?.disconnect();
      source = context.createMediaStreamSource(new MediaStream([track]));
      source.connect(ear);
      return replace.call(this, track);
    };
    const volume = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'volume');
    Object.defineProperty(HTMLMediaElement.prototype, 'volume', { ...volume, set(value) {
      const before = volume.get.call(this);
      volume.set.call(this, value);
      if (value !== before) seen.speaker ??= now();
    } });
    const Node = AudioWorkletNode;
    window.AudioWorkletNode = class extends Node {
      constructor(...given) {
        super(...given);
        this.port.addEventListener('message', ({ data }) => { if (data.echo) seen.echo ??= now(); });
      }
    };
    const devices = navigator.mediaDevices, real = devices.getUserMedia.bind(devices), asked = new WeakMap();
    let ask;
    // The bench asks for less than the panel does, after this script has run.
    Object.defineProperty(devices, 'getUserMedia', { set(other) { ask = other; }, get: () => ask ? async (wanted) => {
      const stream = await ask(wanted);
      stream.getTracks().forEach((track) => asked.set(track, wanted.audio.echoCancellation));
      return stream;
    } : real });
    const settings = MediaStreamTrack.prototype.getSettings;
    MediaStreamTrack.prototype.getSettings = function () {
      return { ...settings.call(this), echoCancellation: asked.get(this) ?? true };
    };";

/// By which way keys travel.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    Events,
    Info,
    Tones,
}

impl Carrier {
    const ALL: [Self; 3] = [Self::Events, Self::Info, Self::Tones];

    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Info => "INFO",
            Self::Tones => "tones",
        }
    }

    fn scenario(self) -> &'static str {
        match self {
            Self::Events => "answers-at-once",
            Self::Info => "keys-on-demand",
            Self::Tones => "answers-without-events",
        }
    }
}

/// What is set in the panel, and codes that come one after the other.
const SET: [(&str, [&str; 4]); 4] = [
    ("microphone", ["*80", SAY_LOUDER, "*80", SAY_LOUDER]),
    // Softer is the audio element's volume, louder than it comes the audio graph's.
    ("speaker", ["*22", "*20", "*20", "*22"]),
    ("echo", ["*33"; 4]),
    ("canceller", ["*33"; 4]),
];

const SAY_LOUDER: &str = "*88";

/// A code acts when its last key is known, which may be before that is up; what comes sooner than a key lasts is not its effect.
const LAST_KEY_MS: f64 = 150.0;

/// Pages that the bench's codes show, one after the other.
const PAGES: [(&str, &str); 2] = [("*76", "/returns.html"), ("*75", "/shoes.html")];

/// What is measured, with the name that it is printed under.
const EFFECTS: [(&str, &str); 6] = [
    ("navigating", "the page begins to navigate"),
    ("left", "the page is left"),
    ("microphone", "the shopper's level changes"),
    ("speaker", "the volume changes"),
    ("echo", "the suppressor works"),
    ("canceller", "the canceller works"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let alone = namespace::enter()?;
    let repetitions =
        std::env::args().nth(1).map_or(Ok(REPETITIONS), |text| text.parse()).context("how many of each?")?;
    let directory = alone.artifacts.join("bench-keys");
    let driver = Chromedriver::start(&alone.artifacts).await?;
    for carrier in Carrier::ALL {
        let mut bench = Bench::open(&directory.join(carrier.name()), carrier, repetitions, &driver).await?;
        bench.run(repetitions).await.with_context(|| bench.stand.server.tail())?;
        for (effect, name) in EFFECTS {
            let times = bench.times.remove(effect).unwrap_or_default();
            quantiles::print(&format!("key-up to {name}, by {}", carrier.name()), times, Some(P95_MS));
        }
        quantiles::print_none_of(&format!("codes without effect, by {}", carrier.name()), bench.again);
    }
    Ok(())
}

struct Bench<'a> {
    driver: &'a Chromedriver,
    stand: Stand,
    carrier: Carrier,
    /// By effect, in ms.
    times: BTreeMap<&'static str, Vec<f64>>,
    codes: usize,
    /// Those that were keyed again.
    again: usize,
}

impl<'a> Bench<'a> {
    async fn open(directory: &Path, carrier: Carrier, repetitions: u32, driver: &'a Chromedriver) -> Result<Bench<'a>> {
        let calls = repetitions.div_ceil(TURNS);
        let stand = Stand::open_with(directory, carrier.scenario(), calls, &Setup::default()).await?;
        for (code, page) in PAGES {
            stand.server.command(code, &json!({"action": "page", "url": page})).await?;
        }
        Ok(Self { driver, stand, carrier, times: BTreeMap::new(), codes: 0, again: 0 })
    }

    async fn run(&mut self, repetitions: u32) -> Result<()> {
        let mut left = repetitions;
        let mut call = 0;
        while left > 0 {
            let browser = self.stand.browser(self.driver, STOPWATCH).await?;
            self.call(&browser, left.min(TURNS) as usize, call).await?;
            browser.quit().await?;
            left = left.saturating_sub(TURNS);
            call += 1;
        }
        self.stand.close().await
    }

    /// A call with so many codes of each kind, in another order than in the call before.
    async fn call(&mut self, browser: &Browser, turns: usize, call: usize) -> Result<()> {
        self.stand.talker.forget();
        browser.show(SHOP_URL).await?;
        browser.click_button().await?;
        for turn in 0..turns {
            self.is_steady(browser).await?;
            for n in 0..SET.len() {
                let (what, codes) = SET.get((n + call) % SET.len()).context("no such kind")?;
                let code = codes.get(turn % codes.len()).context("no such code")?;
                self.set(browser, what, code).await.with_context(|| format!("{code} for {what}"))?;
            }
            let (code, page) = PAGES.get(turn % PAGES.len()).context("no such page")?;
            self.turn(browser, code, page).await.with_context(|| format!("{code} for {page}"))?;
        }
        self.is_steady(browser).await?;
        browser.hang_up().await?;
        self.stand.server.nothing_left().await
    }

    /// Keys a code that sets something in the panel.
    async fn set(&mut self, browser: &Browser, what: &'static str, code: &str) -> Result<()> {
        if what == "canceller" {
            self.stand.server.set(&json!({"echo": "suppressor"})).await?;
            sleep(SETTLED).await;
        }
        let way = match (what, code) {
            ("microphone", SAY_LOUDER) => 1,
            ("microphone", _) => -1,
            _ => 0,
        };
        browser.in_panel(&format!("return arm({way})")).await?;
        let noted = if what == "canceller" { "echo" } else { what };
        let (key_up, effect) = self
            .takes_effect(code, async || {
                let seen = browser.in_panel("return seen").await?;
                seen.get(noted).and_then(Value::as_f64).with_context(|| format!("not yet: {seen}"))
            })
            .await?;
        let took = effect - key_up;
        ensure!(took > -LAST_KEY_MS, "{what} changed {took:.0} ms before its code was complete");
        self.times.entry(what).or_default().push(took);
        sleep(SETTLED).await;
        if matches!(what, "echo" | "canceller") {
            // The suppressor takes an even tone beside another for an echo.
            self.stand.server.set(&json!({"echo": "browser"})).await?;
            sleep(SETTLED).await;
        }
        Ok(())
    }

    /// Keys a code that shows a page.
    async fn turn(&mut self, browser: &Browser, code: &str, page: &str) -> Result<()> {
        browser.in_page("localStorage.clear(); return null").await?;
        let (key_up, seen) = self
            .takes_effect(code, async || {
                let seen = browser.in_page("return { ...localStorage, path: location.pathname }").await?;
                ensure!(seen.get("path").and_then(Value::as_str) == Some(page), "it is not there: {seen}");
                Ok(seen)
            })
            .await?;
        for what in ["navigating", "left"] {
            let at = seen.get(what).and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
            let at = at.with_context(|| format!("not {what}: {seen}"))?;
            self.times.entry(what).or_default().push(at - key_up);
        }
        Ok(())
    }

    /// Keys a code until it takes effect: on a machine that stands still in the middle of one, it is none. When its last key was up, and what
    /// came of it.
    async fn takes_effect<T>(&mut self, code: &str, effect: impl AsyncFn() -> Result<T>) -> Result<(f64, T)> {
        loop {
            let key_up = self.key(code).await?;
            match eventually("it takes effect", LIMIT, &effect).await {
                Ok(effect) => return Ok((key_up, effect)),
                Err(error) if self.again < MOST_AGAIN => {
                    eprintln!("{code} again: {error:#}");
                    self.again += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keys a code; when its last key was up, in ms.
    async fn key(&mut self, code: &str) -> Result<f64> {
        self.codes += 1;
        let talker = &self.stand.talker;
        match self.carrier {
            Carrier::Info => return unix_ms(self.stand.trunk.press(code).await?),
            Carrier::Events => talker.press(code),
            Carrier::Tones => talker.dial_within(code, self.codes * OFFSET_STEP % 160),
        }
        let key_up = eventually("the last key is up", LIMIT, async || talker.key_up().context("not yet")).await?;
        unix_ms(key_up)
    }

    /// Waits until both sides hear each other, and the shopper evenly.
    async fn is_steady(&self, browser: &Browser) -> Result<()> {
        browser.is_answered().await?;
        let begun = browser.in_panel("return performance.timeOrigin").await?.as_f64().context("no panel")?;
        eventually("both sides hear each other", LIMIT, async || {
            let heard = unix_ms(self.stand.talker.last_sound().context("the far end hears nothing")?)?;
            ensure!(heard > begun, "the far end hears nothing now");
            let level = browser.in_panel("return arm(0)").await?;
            ensure!(level.as_f64().is_some_and(|level| level > 0.05), "the shopper says {level}");
            Ok(())
        })
        .await?;
        sleep(SETTLED).await;
        Ok(())
    }
}

fn unix_ms(at: SystemTime) -> Result<f64> {
    Ok(at.duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3)
}
