//! Measures how long a shopper waits: click → INVITE seen, click → answered, click → first audio, both ways, with cold and
//! with warm caches, in a real browser against SIPp. Run by `cargo xtask bench setup`. It judges nothing but its targets.
//!
//! Cold is a browser's first page of its life; warm is a page loaded anew in a browser that has called before. The click
//! comes in the same instant as the pointer, so that the loader's warming up on intent wins nothing.

use anyhow::{Context as _, Result, ensure};
use e2e::browser::{Browser, Chromedriver};
use e2e::ringlet::{SHOP_URL, Setup};
use e2e::stand::Stand;
use e2e::wait::eventually;
use e2e::{namespace, quantiles};
use std::time::{Duration, UNIX_EPOCH};

/// Calls in each run; more than 50 together.
const WARM: u32 = 50;
const COLD: u32 = 10;

/// The target for every warm 95th percentile, in ms.
const WARM_P95_MS: f64 = 1_000.0;

/// A call that takes longer is a fault, not a measurement.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Notes in the page when it was clicked, in the panel when each state came and when there was sound; Unix time in ms.
const STOPWATCH: &str = "
    const now = () => performance.timeOrigin + performance.now();
    if (location.pathname !== '/panel') {
      addEventListener('click', () => { window.clickedAt = now(); }, true);
      return;
    }
    const seen = window.seen = {};
    new MutationObserver(() => {
      const state = document.getElementById('panel')?.dataset.state;
      if (state) seen[state] ??= now();
    }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] });
    const slot = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'srcObject');
    Object.defineProperty(HTMLMediaElement.prototype, 'srcObject', { ...slot, set(stream) {
      slot.set.call(this, stream);
      if (!stream) return;
      const context = new AudioContext(), ear = context.createScriptProcessor(256, 1, 1);
      ear.onaudioprocess = ({ inputBuffer }) => {
        if (inputBuffer.getChannelData(0).some((sample) => Math.abs(sample) > 0.02)) seen.sound ??= now();
      };
      context.createMediaStreamSource(stream).connect(ear).connect(context.destination);
    } });";

/// What the stopwatches of one call say, in ms since the epoch.
#[derive(Clone, Copy, Debug)]
struct Call {
    clicked: f64,
    answered: f64,
    browser_heard: f64,
    agent_heard: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let alone = namespace::enter()?;
    let directory = alone.artifacts.join("bench-setup");
    // One more: the first call of the warm browser is not measured.
    let stand = Stand::open(&directory, COLD + 1 + WARM, &Setup::default()).await?;
    let bench = Bench { driver: Chromedriver::start(&directory).await?, stand };
    bench.run().await
}

struct Bench {
    driver: Chromedriver,
    stand: Stand,
}

impl Bench {
    async fn run(mut self) -> Result<()> {
        let mut cold = Vec::new();
        for _ in 0..COLD {
            let browser = self.stand.browser(&self.driver, STOPWATCH).await?;
            cold.push(self.call(&browser).await.with_context(|| self.stand.server.tail())?);
            browser.quit().await?;
        }
        let browser = self.stand.browser(&self.driver, STOPWATCH).await?;
        let mut warm = Vec::new();
        for _ in 0..=WARM {
            warm.push(self.call(&browser).await.with_context(|| self.stand.server.tail())?);
        }
        browser.quit().await?;
        self.stand.close().await?;

        let invites = invites(&self.stand.trunk.messages());
        let all = cold.len() + warm.len();
        ensure!(invites.len() == all, "{} INVITEs for {all} calls", invites.len());
        let (cold_invites, warm_invites) = invites.split_at(cold.len());
        report("cold", &cold, cold_invites, None);
        report("warm", warm.get(1..).unwrap_or_default(), warm_invites.get(1..).unwrap_or_default(), Some(WARM_P95_MS));
        Ok(())
    }

    async fn call(&self, browser: &Browser) -> Result<Call> {
        browser.show(SHOP_URL).await?;
        browser.buttons().await?;
        self.stand.talker.forget();
        browser.click_button().await?;
        let (answered, browser_heard, agent_heard) = eventually("both sides hear each other", CALL_LIMIT, async || {
            let seen = browser.in_panel("return seen").await?;
            let at = |what: &str| {
                seen.get(what).and_then(serde_json::Value::as_f64).with_context(|| format!("not {what}: {seen}"))
            };
            let heard = self.stand.talker.first_sound().context("the far end hears nothing")?;
            Ok((at("answered")?, at("sound")?, heard.duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3))
        })
        .await?;
        let clicked = browser.in_page("return clickedAt").await?.as_f64().context("no click")?;
        browser.hang_up().await?;
        self.stand.server.nothing_left().await?;
        Ok(Call { clicked, answered, browser_heard, agent_heard })
    }
}

/// When SIPp first saw the INVITE of each call, in ms since midnight UTC, from its message log.
fn invites(log: &str) -> Vec<f64> {
    let mut calls = std::collections::BTreeSet::new();
    let mut times = Vec::new();
    for message in log.split("-----------------------------------------------").skip(1) {
        let received_invite = message.contains("message received") && message.contains("\nINVITE sip:");
        let call = message.lines().find(|line| line.starts_with("Call-ID:")).unwrap_or_default();
        if received_invite && calls.insert(call.to_owned()) {
            times.extend(message.split_whitespace().nth(1).and_then(time_of_day));
        }
    }
    times
}

/// `04:41:13.220156` in ms.
fn time_of_day(text: &str) -> Option<f64> {
    let mut parts = text.split(':').map(str::parse::<f64>);
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    Some((hours * 3_600.0 + minutes * 60.0 + seconds) * 1e3)
}

fn report(cache: &str, calls: &[Call], invites: &[f64], target_of_p95: Option<f64>) {
    const DAY_MS: f64 = 86_400_000.0;
    let since_click = |of: fn(&Call) -> f64| calls.iter().map(|call| of(call) - call.clicked).collect::<Vec<_>>();
    let seen = calls.iter().zip(invites).map(|(call, invite)| (invite - call.clicked).rem_euclid(DAY_MS)).collect();
    for (what, times) in [
        ("INVITE seen", seen),
        ("answered", since_click(|call| call.answered)),
        ("first audio in the browser", since_click(|call| call.browser_heard)),
        ("first audio at the far end", since_click(|call| call.agent_heard)),
    ] {
        quantiles::print(&format!("click to {what}, {cache}"), times, target_of_p95);
    }
}
