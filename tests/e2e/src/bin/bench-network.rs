//! Measures how long nobody hears the other while a call's network breaks: the path cut for 8 s, the device moved to another network,
//! UDP lost, the signalling socket cut. A real browser against SIPp and a talker. Run by `cargo xtask bench network`; `-- 3` makes
//! it 3 turns of each, not 10.
//!
//! What the far end hears is timed by its RTP, what the shopper hears in the panel, from sound to sound. Noticed is the panel's first
//! act: an ICE restart or another socket.

use anyhow::{Context as _, Result, ensure};
use e2e::browser::{Browser, Chromedriver};
use e2e::device::Device;
use e2e::firewall::Dropped;
use e2e::ringlet::{SHOP_URL, Setup};
use e2e::scene::FIRST_NETWORK;
use e2e::stand::Stand;
use e2e::wait::eventually;
use e2e::{namespace, quantiles};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// Turns of each kind, unless the command line says otherwise.
const TURNS: u32 = 10;

/// The targets, in ms: until it is noticed, until audio is back once there is a way, until audio goes on without UDP.
const NOTICED_MS: f64 = 2_000.0;
const BACK_MS: f64 = 3_000.0;
const NO_UDP_MS: f64 = 5_000.0;

/// How long a path is cut, and how long a socket: longer than one try to connect.
const PATH_CUT: Duration = Duration::from_secs(8);
const SOCKET_CUT: Duration = Duration::from_secs(3);

/// A socket that breaks sooner counts as one that does not stay: then each try waits longer.
const STEADY: Duration = Duration::from_secs(6);

/// The gateway's port, of UDP and TCP.
const GATEWAY_PORT: u16 = 4433;

/// The network that takes turns with the first one, and is better.
const CABLE: u8 = 3;

/// A turn that takes longer is a fault, not a measurement.
const TURN_LIMIT: Duration = Duration::from_secs(30);

/// Sound that was on its way when the network broke is over by then.
const DRAINED_MS: f64 = 500.0;

/// How long both sides must be heard before a turn ends, so that a second gap of the same turn counts, too.
const SETTLED: Duration = Duration::from_millis(1_500);

/// Notes in the panel the last sound, the longest time between two, and its acts against a broken network. Unix time in ms.
const STOPWATCH: &str = "
    if (location.pathname !== '/panel') return;
    const now = () => performance.timeOrigin + performance.now();
    const seen = window.seen = { last: 0, gap: 0, noticed: 0, session: 0 };
    const restart = RTCPeerConnection.prototype.restartIce;
    RTCPeerConnection.prototype.restartIce = function () {
      seen.noticed ||= now();
      return restart.call(this);
    };
    const Socket = WebSocket;
    window.WebSocket = class extends Socket {
      constructor(...given) {
        seen.noticed ||= now();
        super(...given);
        this.addEventListener('message', ({ data }) => {
          if (typeof data === 'string' && data.includes('\"reconnected\"')) seen.session = now();
        });
      }
    };
    const slot = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'srcObject');
    Object.defineProperty(HTMLMediaElement.prototype, 'srcObject', { ...slot, set(stream) {
      slot.set.call(this, stream);
      if (!stream) return;
      const context = new AudioContext(), ear = window.ear = context.createScriptProcessor(256, 1, 1);
      ear.onaudioprocess = ({ inputBuffer }) => {
        if (!inputBuffer.getChannelData(0).some((sample) => Math.abs(sample) > 0.02)) return;
        const at = now();
        if (seen.last) seen.gap = Math.max(seen.gap, at - seen.last);
        seen.last = at;
      };
      context.createMediaStreamSource(stream).connect(ear).connect(context.destination);
    } });";

/// What one turn took, in ms.
#[derive(Clone, Copy, Debug)]
struct Turn {
    noticed: f64,
    /// From when there was a way again, or from the break where there was one at once.
    shopper: f64,
    far_end: f64,
    /// Until the session was taken up on another socket.
    session: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let alone = namespace::enter()?;
    let turns = std::env::args().nth(1).map_or(Ok(TURNS), |text| text.parse()).context("how many turns?")?;
    let directory = alone.artifacts.join("bench-network");
    on_a_device(&directory.join("device"), turns).await?;
    on_the_bridge(&directory.join("bridge"), turns).await
}

/// Turns of a device's own networks.
async fn on_a_device(directory: &Path, turns: u32) -> Result<()> {
    let mut stand = Stand::open(directory, 2, &setup(false)).await?;
    let device = Device::new().await?;
    let mut wifi = device.join(FIRST_NETWORK)?;
    let driver = Chromedriver::start_in(&device, directory).await?;
    let (mut cuts, mut moves) = (Vec::new(), Vec::new());

    let browser = begin(&stand, &driver).await?;
    for _ in 0..turns {
        let mut watch = Watch::begin(&stand, &browser).await?;
        wifi.break_down()?;
        sleep(PATH_CUT).await;
        watch.nothing_passes().await?;
        wifi.mend()?;
        cuts.push(watch.end(Some(now()), BREAKS_PATH).await.with_context(|| stand.server.tail())?);
    }
    end(&stand, browser).await?;

    let browser = begin(&stand, &driver).await?;
    let cable = device.join(CABLE)?;
    cable.pull()?;
    for n in 0..turns {
        let (from, to) = if n % 2 == 0 { (&wifi, &cable) } else { (&cable, &wifi) };
        let watch = Watch::begin(&stand, &browser).await?;
        to.plug()?;
        from.pull()?;
        moves.push(watch.end(None, BREAKS_PATH).await.with_context(|| stand.server.tail())?);
    }
    end(&stand, browser).await?;
    stand.close().await?;

    report("path cut for 8 s", &cuts, Some(NOTICED_MS), "once there is a way", Some(BACK_MS));
    report("moved to another network", &moves, Some(NOTICED_MS), "after it", Some(BACK_MS));
    Ok(())
}

/// Turns of what passes and what does not.
async fn on_the_bridge(directory: &Path, turns: u32) -> Result<()> {
    let mut stand = Stand::open(directory, turns + 1, &setup(true)).await?;
    let driver = Chromedriver::start(directory).await?;
    let (mut without_udp, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let browser = begin(&stand, &driver).await?;
        let watch = Watch::begin(&stand, &browser).await?;
        let dropped = Dropped::udp(GATEWAY_PORT)?;
        without_udp.push(watch.end(None, BREAKS_PATH).await.with_context(|| stand.server.tail())?);
        drop(dropped);
        end(&stand, browser).await?;
    }
    let browser = begin(&stand, &driver).await?;
    for _ in 0..turns {
        sleep(STEADY).await;
        let watch = Watch::begin(&stand, &browser).await?;
        stand.server.cut()?;
        sleep(SOCKET_CUT).await;
        stand.server.restore()?;
        sockets.push(watch.end(Some(now()), BREAKS_SOCKET).await.with_context(|| stand.server.tail())?);
    }
    end(&stand, browser).await?;
    stand.close().await?;

    report("UDP lost", &without_udp, Some(NOTICED_MS), "after it", Some(NO_UDP_MS));
    let session = sockets.iter().map(|turn| turn.session).collect();
    quantiles::print("socket cut for 3 s: session taken up once there is a way", session, Some(BACK_MS));
    report("socket cut for 3 s", &sockets, Some(NOTICED_MS), "longest gap", None);
    Ok(())
}

/// The tone that tells the far end that the shopper is away would count as sound.
fn setup(relay: bool) -> Setup {
    Setup { media: "away_tone = \"off\"", relay, ..Setup::default() }
}

async fn begin(stand: &Stand, driver: &Chromedriver) -> Result<Browser> {
    let browser = stand.browser(driver, STOPWATCH).await?;
    stand.talker.forget();
    browser.show(SHOP_URL).await?;
    browser.click_button().await?;
    browser.is_answered().await?;
    both_hear(stand, &browser, now()).await?;
    Ok(browser)
}

async fn end(stand: &Stand, browser: Browser) -> Result<()> {
    browser.hang_up().await?;
    stand.server.nothing_left().await?;
    browser.quit().await
}

const BREAKS_PATH: bool = true;
const BREAKS_SOCKET: bool = false;

/// A turn that is under way.
struct Watch<'a> {
    stand: &'a Stand,
    browser: &'a Browser,
    broken: f64,
    lasts: Option<(f64, f64)>,
}

impl<'a> Watch<'a> {
    async fn begin(stand: &'a Stand, browser: &'a Browser) -> Result<Self> {
        browser.in_panel("seen.gap = seen.noticed = seen.session = 0").await?;
        stand.talker.take_longest_gap();
        Ok(Self { stand, browser, broken: now(), lasts: None })
    }

    /// Waits until both hear each other again; `usable` is when there was a way, if not at once.
    async fn end(self, usable: Option<f64>, breaks_path: bool) -> Result<Turn> {
        let Self { stand, browser, broken, .. } = self;
        eventually("the network's break is noticed, and over", TURN_LIMIT, async || {
            let seen = browser.in_panel("return seen").await?;
            ensure!(at(&seen, "noticed")? > 0.0, "it is not noticed");
            ensure!(breaks_path || at(&seen, "session")? > 0.0, "the session is not taken up");
            Ok(())
        })
        .await?;
        both_hear(stand, browser, usable.unwrap_or(broken + DRAINED_MS)).await?;
        let seen = browser.in_panel("return seen").await?;
        let gap = at(&seen, "gap")?;
        let far_gap = stand.talker.take_longest_gap().as_secs_f64() * 1e3;
        let lasts = self.lasts.filter(|_| breaks_path).zip(usable);
        let since = |last: f64, usable: f64, gap: f64| last + gap - usable;
        Ok(Turn {
            noticed: at(&seen, "noticed")? - broken,
            shopper: lasts.map_or(gap, |(lasts, usable)| since(lasts.0, usable, gap)),
            far_end: lasts.map_or(far_gap, |(lasts, usable)| since(lasts.1, usable, far_gap)),
            session: at(&seen, "session")? - usable.unwrap_or(broken),
        })
    }

    /// To be called while nothing passes: notes what either side heard last, from which on a gap counts.
    async fn nothing_passes(&mut self) -> Result<()> {
        let shopper = at(&self.browser.in_panel("return seen").await?, "last")?;
        let far_end = unix_ms(self.stand.talker.last_sound().context("the far end has heard nothing")?)?;
        self.lasts = Some((shopper, far_end));
        Ok(())
    }
}

/// Waits until both have heard the other after this moment, and some more.
async fn both_hear(stand: &Stand, browser: &Browser, after: f64) -> Result<()> {
    eventually("both sides hear each other", TURN_LIMIT, async || {
        let seen = browser.in_panel("return seen").await?;
        ensure!(at(&seen, "last")? > after, "the shopper hears nothing: {seen}");
        let heard = unix_ms(stand.talker.last_sound().context("the far end hears nothing")?)?;
        ensure!(heard > after, "the far end hears nothing now");
        Ok(())
    })
    .await?;
    sleep(SETTLED).await;
    Ok(())
}

fn at(seen: &Value, what: &str) -> Result<f64> {
    seen.get(what).and_then(Value::as_f64).with_context(|| format!("no {what}: {seen}"))
}

fn now() -> f64 {
    unix_ms(SystemTime::now()).unwrap_or_default()
}

fn unix_ms(moment: SystemTime) -> Result<f64> {
    Ok(moment.duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3)
}

fn report(what: &str, turns: &[Turn], noticed: Option<f64>, when: &str, back: Option<f64>) {
    quantiles::print(&format!("{what}: noticed"), turns.iter().map(|turn| turn.noticed).collect(), noticed);
    let (shopper, far_end) = turns.iter().map(|turn| (turn.shopper, turn.far_end)).unzip();
    quantiles::print(&format!("{what}: the shopper hears again, {when}"), shopper, back);
    quantiles::print(&format!("{what}: the far end hears again, {when}"), far_end, back);
}
