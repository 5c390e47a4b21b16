//! One test's stage: a far end, a server, a browser, and the evidence when the play fails.

use crate::baresip::Baresip;
use crate::browser::{Browser, Chromedriver, Microphone};
use crate::device::{Device, Network};
use crate::namespace::{self, Alone};
use crate::proxy::{self, Proxy};
use crate::ringlet::{Ringlet, Setup};
use crate::setup::TLS_ADDRESS;
use crate::sipp::Sipp;
use crate::tone::Recording;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the browser's microphone hears, in Hz.
pub const VISITOR_TONE: u32 = 1_000;

/// How loud, in dB below a full-scale sine.
pub const VISITOR_DBFS: f64 = -12.0;

/// What baresip says, in Hz: no harmonic of the other, nor the other way round.
pub const AGENT_TONE: u32 = 440;

/// The number of a device's first network; others can be better or worse.
pub const FIRST_NETWORK: u8 = 5;

/// The longest test waits out RFC 3261's timer B (32 s).
const PLAY_LIMIT: Duration = Duration::from_secs(75);

/// A record is complete when the gateway has let go of the call, which for an INVITE without any response is RFC 3261's
/// timer B (32 s): a late 200 must still be acknowledged and hung up.
const RECORD_LIMIT: Duration = Duration::from_secs(40);

/// Who is at the other end of the trunk.
#[derive(Clone, Copy, Debug)]
pub enum FarEnd {
    /// baresip, which answers.
    Phone,
    /// SIPp with a scenario, and what fills its blanks.
    Scenario(&'static str, &'static [(&'static str, &'static str)]),
    /// SIPp that answers so many calls at the same time and says what it hears.
    Echo(u32),
    /// Nobody listens there.
    Nobody,
}

/// What a test needs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Who is at the other end of the trunk.
    pub far_end: FarEnd,
    /// The server's configuration.
    pub setup: Setup,
    /// Whether the shopper denies the microphone.
    pub microphone_denied: bool,
    /// Whether the browser runs in a device of its own, joined by one network.
    pub device: bool,
    /// Whether that network lets nothing pass but HTTPS through its proxy.
    pub proxy: bool,
    /// How long the play may last.
    pub limit: Duration,
    /// Whether no test of another lane may be played meanwhile: it takes the whole machine, or proves how long something lasts.
    pub alone: bool,
}

impl Stage {
    /// An ordinary server, browser and microphone.
    pub fn with(far_end: FarEnd) -> Self {
        Self {
            far_end,
            setup: Setup::default(),
            microphone_denied: false,
            device: false,
            proxy: false,
            limit: PLAY_LIMIT,
            alone: false,
        }
    }
}

/// What all tests of a run share.
#[derive(Debug)]
pub struct World {
    driver: Chromedriver,
    alone: Alone,
}

impl World {
    /// Starts what is shared; logs, recordings and pictures go to `tests/artifacts`.
    ///
    /// # Errors
    /// When this is not the tests' own network, or chromedriver does not come up.
    pub async fn open() -> Result<Self> {
        let alone = namespace::enter()?;
        Recording::sine(VISITOR_TONE, VISITOR_DBFS, 10).write_wav(&alone.artifacts.join("microphone.wav"))?;
        crate::pages::serve(crate::ringlet::PUBLIC_URL).await?;
        Ok(Self { driver: Chromedriver::start(&alone.artifacts).await?, alone })
    }

    /// Sets the stage, plays, and looks behind the curtain: nothing may be left of any call, no error in the log.
    ///
    /// # Errors
    /// What went wrong, with what browser, server and SIP peer have to say about it.
    pub async fn play(
        &self,
        name: &str,
        stage: &Stage,
        play: impl AsyncFnOnce(&mut Scene) -> Result<()>,
    ) -> Result<()> {
        let _turn = self.alone.turn(stage.alone)?;
        let directory = self.alone.artifacts.join(name.replace(|c: char| !c.is_alphanumeric(), "_"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let mut scene = self.set(directory, stage).await?;
        let played = match tokio::time::timeout(stage.limit, play(&mut scene)).await {
            Ok(played) => played,
            Err(_) => Err(anyhow::anyhow!("the test was not over after {:?}", stage.limit)),
        };
        let judged = match played {
            Ok(()) => scene.look_behind().await,
            Err(error) => Err(error),
        };
        let judged = match judged {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(scene.evidence().await)),
        };
        let Scene { browser, .. } = scene;
        let _ = browser.quit().await;
        judged
    }

    async fn set(&self, directory: PathBuf, stage: &Stage) -> Result<Scene> {
        let server = Ringlet::start(&directory, &stage.setup).await?;
        let (mut baresip, mut sipp) = (None, None);
        match stage.far_end {
            FarEnd::Phone => baresip = Some(Baresip::start(&directory, AGENT_TONE).await?),
            FarEnd::Scenario(scenario, blanks) => sipp = Some(Sipp::start(&directory, scenario, 1, blanks).await?),
            FarEnd::Echo(calls) => sipp = Some(Sipp::start_echoing(&directory, "answers", calls).await?),
            FarEnd::Nobody => {}
        }
        let microphone = if stage.microphone_denied {
            Microphone::Denied
        } else {
            Microphone::Plays(self.alone.artifacts.join("microphone.wav"))
        };
        let device = if stage.device { Some(OnDevice::new(&directory, stage.proxy).await?) } else { None };
        let driver = device.as_ref().map_or(&self.driver, |device| &device.driver);
        let browser = driver.open(&directory, &microphone).await?;
        Ok(Scene { browser, server, baresip, sipp, directory, device })
    }
}

/// A stage that is set.
#[derive(Debug)]
pub struct Scene {
    /// The shopper's browser.
    pub browser: Browser,
    /// The server under test.
    pub server: Ringlet,
    baresip: Option<Baresip>,
    sipp: Option<Sipp>,
    directory: PathBuf,
    device: Option<OnDevice>,
}

/// Dropped in this order: what runs in it, its network, itself.
#[derive(Debug)]
struct OnDevice {
    driver: Chromedriver,
    proxy: Option<Proxy>,
    network: Network,
    device: Device,
}

impl OnDevice {
    async fn new(directory: &Path, behind_proxy: bool) -> Result<Self> {
        let device = Device::new().await?;
        let mut network = device.join(FIRST_NETWORK)?;
        if !behind_proxy {
            let driver = Chromedriver::start_in(&device, directory).await?;
            return Ok(Self { driver, proxy: None, network, device });
        }
        let proxy = Some(Proxy::start(network.gateway(), TLS_ADDRESS).await?);
        network.allow_only_tcp(proxy::PORT)?;
        let address = SocketAddr::new(network.gateway(), proxy::PORT);
        Ok(Self { driver: Chromedriver::start_behind(address, &device, directory).await?, proxy, network, device })
    }
}

impl Scene {
    /// The shopper's device and the network that it was joined with first.
    ///
    /// # Errors
    /// When the stage has none.
    pub fn device(&mut self) -> Result<(&Device, &mut Network)> {
        let OnDevice { device, network, .. } = self.device.as_mut().context("this browser has no device of its own")?;
        Ok((device, network))
    }

    /// What the proxy of the device's network was asked to connect to, and whether it did.
    ///
    /// # Errors
    /// When the stage has none.
    pub fn proxied(&self) -> Result<Vec<(String, bool)>> {
        let proxy = self.device.as_ref().and_then(|device| device.proxy.as_ref());
        Ok(proxy.context("this network has no proxy")?.asked())
    }

    /// Lets the shopper's device sleep, as if its lid were shut: the browser knows nothing until it wakes.
    ///
    /// # Errors
    /// When the stage has none, or a process cannot be stopped.
    pub fn sleep(&self) -> Result<()> {
        self.device.as_ref().context("this browser has no device of its own")?.driver.sleep()
    }

    /// Wakes the shopper's device.
    ///
    /// # Errors
    /// When the stage has none, or a process cannot be woken.
    pub fn wake(&self) -> Result<()> {
        self.device.as_ref().context("this browser has no device of its own")?.driver.wake()
    }

    /// The call centre's phone.
    ///
    /// # Errors
    /// When the stage has none.
    pub fn phone(&mut self) -> Result<&mut Baresip> {
        self.baresip.as_mut().context("this stage has no baresip")
    }

    /// The trunk that plays a scenario.
    ///
    /// # Errors
    /// When the stage has none.
    pub fn trunk(&mut self) -> Result<&mut Sipp> {
        self.sipp.as_mut().context("this stage has no SIPp")
    }

    /// Where the test may put files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes a picture for people to look at.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub async fn picture(&self, name: &str) -> Result<()> {
        self.browser.picture(&self.directory.join(format!("{name}.png"))).await
    }

    /// Waits for the one call's record to be complete, and checks why the call ended.
    ///
    /// # Errors
    /// What the records say instead.
    pub async fn recorded(&self, reason: &str) -> Result<Value> {
        crate::wait::eventually("the call's record is complete", RECORD_LIMIT, async || {
            let mut calls = self.server.calls().await?;
            ensure!(calls.len() == 1, "there are {} records: {calls:?}", calls.len());
            let call = calls.pop().context("no record")?;
            let ended = call.get("ended_at").is_some_and(Value::is_i64);
            ensure!(ended && call.get("reason").and_then(Value::as_str) == Some(reason), "not {reason}: {call}");
            Ok(call)
        })
        .await
    }

    async fn look_behind(&mut self) -> Result<()> {
        self.server.nothing_left().await?;
        if let Some(sipp) = &mut self.sipp {
            sipp.passed(Duration::from_secs(10)).await?;
        }
        self.server.stop().await
    }

    async fn evidence(&self) -> String {
        let mut text = String::from("the test failed; this is what was seen:\n");
        let words = self.browser.panel_words().await.unwrap_or_else(|error| format!("nothing: {error:#}"));
        text.push_str(&format!("--- the panel says\n{words}\n--- the browser's console\n"));
        for entry in self.browser.console().await.unwrap_or_default() {
            text.push_str(&format!("{} {}\n", entry.level, entry.message));
        }
        text.push_str(&self.server.tail());
        text.extend(self.baresip.as_ref().map(Baresip::tail));
        text.extend(self.sipp.as_ref().map(Sipp::tail));
        let _ = self.picture("failure").await;
        text
    }
}
