//! SIPp as a trunk that refuses, rings for ever, gives up or hangs up: one scenario file of `tests/fixtures/sipp` a call.

use crate::{
    namespace::{BRIDGE, udp_port_is_taken},
    process::Process,
    wait::eventually,
};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::net::UdpSocket;

/// Where it listens for SIP.
pub const SIP_PORT: u16 = 5070;

/// A scenario that is not over by then never will be: a browser's start, RFC 3261's timer B, and some more.
const SECONDS_A_CALL: u32 = 90;

/// A key held for 100 ms and a pause as long, as the talker has them.
const KEY_AFTER_KEY: Duration = Duration::from_millis(200);

/// Two or three messages.
const TAIL_LINES: usize = 60;

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    process: Process,
    directory: PathBuf,
}

impl Sipp {
    /// Plays a scenario of `tests/fixtures/sipp` for `calls` calls; `blanks` fill its `{{…}}`. Not SIPp's own keywords,
    /// because it wants to read a response's status before it knows them.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(directory: &Path, scenario: &str, calls: u32, blanks: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(directory, scenario, calls, blanks, &[]).await
    }

    /// The same, and says in every call what it hears.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_echoing(directory: &Path, scenario: &str, calls: u32) -> Result<Self> {
        Self::start_with(directory, scenario, calls, &[], &["-mi", &BRIDGE.to_string(), "-rtp_echo"]).await
    }

    async fn start_with(
        directory: &Path,
        scenario: &str,
        calls: u32,
        blanks: &[(&str, &str)],
        more: &[&str],
    ) -> Result<Self> {
        let directory = directory.join("sipp");
        fs::create_dir_all(&directory)?;
        let fixture = PathBuf::from(format!("{}/../fixtures/sipp/{scenario}.xml", env!("CARGO_MANIFEST_DIR")));
        let mut text = fs::read_to_string(&fixture).with_context(|| format!("no scenario {}", fixture.display()))?;
        for (blank, value) in blanks {
            text = text.replace(&format!("{{{{{blank}}}}}"), value);
        }
        fs::write(directory.join("scenario.xml"), text)?;
        let timeout = format!("{}s", calls * SECONDS_A_CALL);
        let (calls, address, port) = (calls.to_string(), BRIDGE.to_string(), SIP_PORT.to_string());
        let mut arguments = vec!["-sf", "scenario.xml", "-i", &address, "-p", &port, "-m", &calls, "-nostdin", "-aa"];
        arguments.extend(more);
        arguments.extend(["-timeout", &timeout, "-timeout_error"]);
        arguments.extend(["-trace_msg", "-message_file", "messages.log", "-trace_err", "-error_file", "errors.log"]);
        let mut process = Process::start("sipp", &directory, "sipp", &arguments)?;
        eventually("SIPp listens", Duration::from_secs(10), async || {
            process.require_running()?;
            ensure!(udp_port_is_taken(SIP_PORT)?, "nobody holds UDP port {SIP_PORT}");
            Ok(())
        })
        .await?;
        Ok(Self { process, directory })
    }

    /// Waits until the scenario has been played to its end.
    ///
    /// # Errors
    /// When it was not, with what SIPp complains of.
    pub async fn passed(&mut self, limit: Duration) -> Result<()> {
        let status = self.process.ended(limit).await.context("the SIP scenario is not at its end")?;
        ensure!(status.success(), "the SIP scenario failed ({status}): {}", self.errors());
        Ok(())
    }

    /// Has it send keys by INFO in the last call, one each 200 ms, if its scenario is `keys-on-demand`. Returns when it was told the last, which
    /// it sends within a millisecond.
    ///
    /// # Errors
    /// When there is no call, or no socket to be had.
    pub async fn press(&self, keys: &str) -> Result<SystemTime> {
        let log = self.messages();
        let call = log.lines().filter_map(|line| line.strip_prefix("Call-ID: ")).next_back().context("no call")?;
        let socket = UdpSocket::bind((BRIDGE, 0)).await?;
        let from = socket.local_addr()?;
        let mut told = SystemTime::now();
        for (n, key) in keys.chars().enumerate() {
            if n > 0 {
                tokio::time::sleep(KEY_AFTER_KEY).await;
            }
            let message = format!(
                "MESSAGE sip:agent@{BRIDGE}:{SIP_PORT} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{n}\r\n\
                 From: <sip:keys@{from}>;tag=keys\r\nTo: <sip:agent@{BRIDGE}>\r\nCall-ID: {call}\r\nCSeq: {} MESSAGE\r\n\
                 Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n{key}",
                n + 1
            );
            told = SystemTime::now();
            socket.send_to(message.as_bytes(), (BRIDGE, SIP_PORT)).await?;
        }
        Ok(told)
    }

    /// Every SIP message, sent and received, with times.
    pub fn messages(&self) -> String {
        fs::read_to_string(self.directory.join("messages.log")).unwrap_or_default()
    }

    /// What to look at when a test fails.
    pub fn tail(&self) -> String {
        let messages = self.messages();
        let from = messages.lines().count().saturating_sub(TAIL_LINES);
        let last: Vec<&str> = messages.lines().skip(from).collect();
        let place = self.directory.display();
        format!(
            "--- SIPp's last messages ({place}/messages.log)\n{}\n--- SIPp's errors\n{}\n",
            last.join("\n"),
            self.errors()
        )
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.directory.join("errors.log")).unwrap_or_default()
    }
}
