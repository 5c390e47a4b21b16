//! What the benches of whole calls stand on: SIPp that answers, a talker for its media, the server, and browsers whose panels carry a
//! stopwatch. Not here: what is measured.

use crate::browser::{Browser, Chromedriver, Microphone};
use crate::namespace::BRIDGE;
use crate::ringlet::{Ringlet, Setup};
use crate::sipp::Sipp;
use crate::talker::Talker;
use crate::tone::Recording;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below what systems give out by themselves.
const MEDIA_PORT: u16 = 29_000;

/// A stand on which everything runs but the browser.
#[derive(Debug)]
pub struct Stand {
    /// What hears and speaks at the far end.
    pub talker: Talker,
    /// The server that is measured.
    pub server: Ringlet,
    /// Who answers.
    pub trunk: Sipp,
    /// Where its files are.
    pub directory: PathBuf,
}

impl Stand {
    /// Sets it up for so many calls, with its files in `directory`.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn open(directory: &Path, calls: u32, setup: &Setup) -> Result<Self> {
        Self::open_with(directory, "answers-at-once", calls, setup).await
    }

    /// The same with a scenario of the caller's choice, whose only blank is `media_port`.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn open_with(directory: &Path, scenario: &str, calls: u32, setup: &Setup) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        Recording::sine(1_000, -12.0, 10).write_wav(&directory.join("microphone.wav"))?;
        let port = MEDIA_PORT.to_string();
        Ok(Self {
            trunk: Sipp::start(directory, scenario, calls, &[("media_port", &port)]).await?,
            talker: Talker::start(SocketAddr::new(BRIDGE, MEDIA_PORT)).await?,
            server: Ringlet::start(directory, setup).await?,
            directory: directory.to_owned(),
        })
    }

    /// Opens a browser that runs `stopwatch` in every page and frame before their own scripts.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn browser(&self, driver: &Chromedriver, stopwatch: &str) -> Result<Browser> {
        let microphone = Microphone::Plays(self.directory.join("microphone.wav"));
        let browser = driver.open(&self.directory, &microphone).await?;
        browser.before_every_page(stopwatch).await?;
        browser.leave_the_microphone_unprocessed().await?;
        Ok(browser)
    }

    /// Proves that all calls were made, and ends it.
    ///
    /// # Errors
    /// When SIPp has something to complain of, or the server's log holds an error.
    pub async fn close(&mut self) -> Result<()> {
        self.trunk.passed(Duration::from_secs(10)).await?;
        self.server.stop().await
    }
}
