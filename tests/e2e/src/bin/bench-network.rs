//! Measures how long nobody hears the other while a call's network breaks: the path cut, both ways and one way, the device moved to
//! another network, UDP lost, the signalling socket cut, all for longer than anybody likes; and how long the holes are over networks
//! that lose and delay. A real browser against SIPp and a talker. Run by `cargo xtask bench network`; `-- 3` makes it 3 turns of each,
//! not 10.
//!
//! What the far end hears is timed by its RTP, what the shopper hears in the panel, from sound to sound. Noticed is the panel's first
//! act: an ICE restart or another socket.

use anyhow::{Context as _, Result, ensure};
use e2e::browser::{Browser, Chromedriver};
use e2e::device::{Device, Network};
use e2e::firewall::Dropped;
use e2e::impaired::Impairment;
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

/// How long both are cut in calls of their own, since not every call outlives it; and how often, since each takes its time.
const OUTAGES: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(60)];
const MAX_OUTAGES: u32 = 3;

/// How long a call over a bad network is watched each turn.
const WATCHED: Duration = Duration::from_secs(10);

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

/// Notes in the panel the last sound, of its audio element or of what it plays itself, the longest time between two, and its acts against a
/// broken network. Unix time in ms.
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
    const connect = AudioNode.prototype.connect, ears = window.ears = [];
    const listen = (context, source) => {
      const ear = context.createScriptProcessor(256, 1, 1);
      ears.push(ear);
      ear.onaudioprocess = ({ inputBuffer }) => {
        if (!inputBuffer.getChannelData(0).some((sample) => Math.abs(sample) > 0.02)) return;
        const at = now();
        if (seen.last) seen.gap = Math.max(seen.gap, at - seen.last);
        seen.last = at;
      };
      connect.call(source, ear);
      connect.call(ear, context.destination);
    };
    AudioNode.prototype.connect = function (to, ...rest) {
      if (to instanceof AudioDestinationNode) listen(this.context, this);
      return connect.call(this, to, ...rest);
    };
    const slot = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'srcObject');
    Object.defineProperty(HTMLMediaElement.prototype, 'srcObject', { ...slot, set(stream) {
      slot.set.call(this, stream);
      if (!stream) return;
      const context = new AudioContext();
      listen(context, context.createMediaStreamSource(stream));
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
    on_the_bridge(&directory.join("bridge"), turns).await?;
    for (what, impairment) in bad_networks() {
        over_a_bad_network(&directory.join("bad"), turns, what, impairment).await?;
    }
    Ok(())
}

/// What the issue names, one thing at a time.
fn bad_networks() -> [(&'static str, Impairment); 3] {
    let ms = Duration::from_millis;
    let good = Impairment { loss: 0.0, delay: ms(20), jumps: None };
    [
        ("loss of 10 %", Impairment { loss: 0.1, ..good }),
        ("delay of 300 ms", Impairment { delay: ms(300), ..good }),
        ("delay of 50 and 350 ms", Impairment { delay: ms(50), jumps: Some((ms(350), ms(2_000))), ..good }),
    ]
}

/// Turns of a device's own networks.
async fn on_a_device(directory: &Path, turns: u32) -> Result<()> {
    let few = turns.min(MAX_OUTAGES);
    let mut stand = Stand::open(directory, 3 + OUTAGES.len() as u32 * few, &setup(false)).await?;
    let device = Device::new().await?;
    let mut wifi = device.join(FIRST_NETWORK)?;
    let driver = Chromedriver::start_in(&device, directory).await?;

    let cuts = path_cuts(&stand, &driver, &mut wifi, turns).await?;
    report("path cut for 8 s", &cuts, Some(NOTICED_MS), "once there is a way", Some(BACK_MS));

    let cable = device.join(CABLE)?;
    cable.pull()?;
    let moves = moves(&stand, &driver, [&wifi, &cable], turns).await?;
    report("moved to another network", &moves, Some(NOTICED_MS), "after it", Some(BACK_MS));
    wifi.plug()?;
    drop(cable);

    let uplinks = uplink_cuts(&stand, &driver, &mut wifi, turns).await?;
    let what = "uplink cut for 8 s";
    let of = |take: fn(&Turn) -> f64| uplinks.iter().map(take).collect();
    quantiles::print(&format!("{what}: noticed"), of(|turn| turn.noticed), Some(NOTICED_MS));
    quantiles::print(&format!("{what}: the shopper's longest gap"), of(|turn| turn.shopper), None);
    let back = format!("{what}: the far end hears again, once there is a way");
    quantiles::print(&back, of(|turn| turn.far_end), Some(BACK_MS));

    for outage in OUTAGES {
        let mut turns = Vec::new();
        for _ in 0..few {
            let browser = begin(&stand, &driver).await?;
            let mut watch = Watch::begin(&stand, &browser).await?;
            wifi.break_down()?;
            sleep(outage).await;
            watch.nothing_passes().await?;
            wifi.mend()?;
            turns.push(unless_lost(&browser, watch.end(Some(now()), BREAKS_PATH).await).await?);
            end(&stand, browser).await?;
        }
        let what = format!("path cut for {} s", outage.as_secs());
        report(&what, &outlived(&what, &turns), Some(NOTICED_MS), "once there is a way", Some(BACK_MS));
    }
    stand.close().await
}

async fn path_cuts(stand: &Stand, driver: &Chromedriver, wifi: &mut Network, turns: u32) -> Result<Vec<Turn>> {
    let browser = begin(stand, driver).await?;
    let mut cuts = Vec::new();
    for _ in 0..turns {
        let mut watch = Watch::begin(stand, &browser).await?;
        wifi.break_down()?;
        sleep(PATH_CUT).await;
        watch.nothing_passes().await?;
        wifi.mend()?;
        cuts.push(watch.end(Some(now()), BREAKS_PATH).await.with_context(|| stand.server.tail())?);
    }
    end(stand, browser).await?;
    Ok(cuts)
}

/// From the first network to the second and back.
async fn moves(stand: &Stand, driver: &Chromedriver, networks: [&Network; 2], turns: u32) -> Result<Vec<Turn>> {
    let browser = begin(stand, driver).await?;
    let mut moves = Vec::new();
    for n in 0..turns {
        let [first, second] = networks;
        let (from, to) = if n % 2 == 0 { (first, second) } else { (second, first) };
        let watch = Watch::begin(stand, &browser).await?;
        to.plug()?;
        from.pull()?;
        moves.push(watch.end(None, BREAKS_PATH).await.with_context(|| stand.server.tail())?);
    }
    end(stand, browser).await?;
    Ok(moves)
}

async fn uplink_cuts(stand: &Stand, driver: &Chromedriver, wifi: &mut Network, turns: u32) -> Result<Vec<Turn>> {
    let browser = begin(stand, driver).await?;
    let mut cuts = Vec::new();
    for _ in 0..turns {
        let mut watch = Watch::begin(stand, &browser).await?;
        wifi.break_uplink()?;
        sleep(PATH_CUT).await;
        watch.nothing_goes_out()?;
        wifi.mend_uplink()?;
        cuts.push(watch.end(Some(now()), BREAKS_PATH).await.with_context(|| stand.server.tail())?);
    }
    end(stand, browser).await?;
    Ok(cuts)
}

/// Turns of what passes and what does not.
async fn on_the_bridge(directory: &Path, turns: u32) -> Result<()> {
    let few = turns.min(MAX_OUTAGES);
    let mut stand = Stand::open(directory, turns + 1 + OUTAGES.len() as u32 * few, &setup(true)).await?;
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
    let mut outages = Vec::new();
    for outage in OUTAGES {
        let mut turns = Vec::new();
        for _ in 0..few {
            let browser = begin(&stand, &driver).await?;
            let watch = Watch::begin(&stand, &browser).await?;
            stand.server.cut()?;
            sleep(outage).await;
            stand.server.restore()?;
            turns.push(unless_lost(&browser, watch.end(Some(now()), BREAKS_SOCKET).await).await?);
            end(&stand, browser).await?;
        }
        outages.push((outage, turns));
    }
    stand.close().await?;

    report("UDP lost", &without_udp, Some(NOTICED_MS), "after it", Some(NO_UDP_MS));
    let session = sockets.iter().map(|turn| turn.session).collect();
    quantiles::print("socket cut for 3 s: session taken up once there is a way", session, Some(BACK_MS));
    report("socket cut for 3 s", &sockets, Some(NOTICED_MS), "longest gap", None);
    for (outage, turns) in &outages {
        let what = format!("socket cut for {} s", outage.as_secs());
        let back = outlived(&what, turns);
        let session = back.iter().map(|turn| turn.session).collect();
        quantiles::print(&format!("{what}: session taken up once there is a way"), session, Some(BACK_MS));
        report(&what, &back, Some(NOTICED_MS), "longest gap", None);
    }
    Ok(())
}

/// Turns of a call over a network that loses or delays all the while: each is a look at the longest holes, and at needless tries to
/// find another way.
async fn over_a_bad_network(directory: &Path, turns: u32, what: &str, impairment: Impairment) -> Result<()> {
    let setup = Setup { impaired: Some(impairment), ..setup(false) };
    let mut stand = Stand::open(directory, 1, &setup).await?;
    let driver = Chromedriver::start(directory).await?;
    let (mut shopper, mut far_end, mut needless) = (Vec::new(), Vec::new(), 0);
    let browser = begin(&stand, &driver).await?;
    for _ in 0..turns {
        Watch::begin(&stand, &browser).await?;
        sleep(WATCHED).await;
        both_hear(&stand, &browser, now()).await?;
        let seen = browser.in_panel("return seen").await?;
        shopper.push(at(&seen, "gap")?);
        far_end.push(stand.talker.take_longest_gap().as_secs_f64() * 1e3);
        needless += usize::from(at(&seen, "noticed")? > 0.0);
    }
    end(&stand, browser).await?;
    stand.close().await?;
    quantiles::print(&format!("{what}: longest gap in 10 s of what the shopper hears"), shopper, None);
    quantiles::print(&format!("{what}: longest gap in 10 s of what the far end hears"), far_end, None);
    quantiles::print_none_of(&format!("{what}: times in which another way was looked for"), needless);
    Ok(())
}

/// What a turn took; nothing if the call has not outlived it.
async fn unless_lost(browser: &Browser, turn: Result<Turn>) -> Result<Option<Turn>> {
    match turn {
        Err(_) if browser.state().await? == "ended" => Ok(None),
        turn => turn.map(Some),
    }
}

/// The turns that calls have outlived; it prints how many did not.
fn outlived(what: &str, turns: &[Option<Turn>]) -> Vec<Turn> {
    let back: Vec<Turn> = turns.iter().copied().flatten().collect();
    quantiles::print_none_of(&format!("{what}: calls lost of {}", turns.len()), turns.len() - back.len());
    back
}

/// The tone that tells the far end that the shopper is away would count as sound. The longest outage is not to be a question of the
/// window.
fn setup(relay: bool) -> Setup {
    let (media, deadlines) = ("away_tone = \"off\"", "resume_seconds = 90");
    Setup { media, deadlines, relay, ..Setup::default() }
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
    if browser.state().await? != "ended" {
        browser.hang_up().await?;
    }
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
    /// What the shopper and the far end heard last before there was nothing.
    lasts: [Option<f64>; 2],
}

impl<'a> Watch<'a> {
    async fn begin(stand: &'a Stand, browser: &'a Browser) -> Result<Self> {
        browser.in_panel("seen.gap = seen.noticed = seen.session = 0").await?;
        stand.talker.take_longest_gap();
        Ok(Self { stand, browser, broken: now(), lasts: [None; 2] })
    }

    /// Waits until both hear each other again; `usable` is when there was a way, if not at once.
    async fn end(self, usable: Option<f64>, breaks_path: bool) -> Result<Turn> {
        let Self { stand, browser, broken, lasts } = self;
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
        let since = |last: Option<f64>, gap: f64| last.zip(usable).map_or(gap, |(last, usable)| last + gap - usable);
        let [shopper, far_end] = lasts;
        Ok(Turn {
            noticed: at(&seen, "noticed")? - broken,
            shopper: since(shopper, gap),
            far_end: since(far_end, far_gap),
            session: at(&seen, "session")? - usable.unwrap_or(broken),
        })
    }

    /// To be called while nothing passes: notes what either side heard last, from which on a gap counts.
    async fn nothing_passes(&mut self) -> Result<()> {
        let shopper = at(&self.browser.in_panel("return seen").await?, "last")?;
        self.nothing_goes_out()?;
        self.lasts[0] = Some(shopper);
        Ok(())
    }

    /// The same of the far end alone, while it hears nothing and the shopper does.
    fn nothing_goes_out(&mut self) -> Result<()> {
        self.lasts[1] = Some(unix_ms(self.stand.talker.last_sound().context("the far end has heard nothing")?)?);
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
