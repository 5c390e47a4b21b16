//! baresip as the call centre's phone: it answers by itself, plays a tone, records what it hears, and tells of calls and
//! keys over its control socket (JSON in netstrings). Not here: refusals and timings, which SIPp does.

use crate::{namespace::BRIDGE, process::Process, tone::Recording, wait::eventually};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Where it listens for SIP.
pub const SIP_PORT: u16 = 5070;

/// Where it takes commands.
const CONTROL_PORT: u16 = 4444;

/// Longer than any event that it sends.
const MAX_NETSTRING_BYTES: usize = 64 * 1024;

/// What stands before the samples in its recordings, which have 16 bits each.
const WAV_HEADER_BYTES: u64 = 44;

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    directory: PathBuf,
    control: OwnedWriteHalf,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Baresip {
    /// Starts it with its files in `directory`. It answers every call and plays `hertz`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(directory: &Path, hertz: u32) -> Result<Self> {
        let directory = directory.join("baresip");
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("config"), config(hertz))?;
        let account = format!(
            "<sip:agent@{BRIDGE}:{SIP_PORT};transport=udp>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1,PCMA/8000/1\n"
        );
        fs::write(directory.join("accounts"), account)?;
        fs::write(directory.join("contacts"), "")?;
        let path = directory.to_str().context("the path is no UTF-8")?;
        let mut process = Process::start("baresip", &directory, "baresip", &["-f", path, "-v", "-s"])?;
        let stream = eventually("baresip takes commands", Duration::from_secs(10), async || {
            process.require_running()?;
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, CONTROL_PORT)).await?)
        })
        .await?;
        let (reader, control) = stream.into_split();
        let events = Arc::default();
        tokio::spawn(collect(reader, Arc::clone(&events)));
        Ok(Self { process, directory, control, events })
    }

    /// Waits for an event of that type that matches, and returns how many of that type there were by then.
    ///
    /// # Errors
    /// When there is none within `limit`.
    pub async fn event(&self, kind: &str, limit: Duration) -> Result<Value> {
        eventually(&format!("baresip reports {kind}"), limit, async || {
            self.events_of(kind).pop().with_context(|| format!("it reported {:?}", self.kinds()))
        })
        .await
    }

    /// How many INVITEs it has received, retransmissions and re-INVITEs among them.
    pub fn invites(&self) -> usize {
        self.process.log().lines().filter(|line| line.starts_with("INVITE sip:")).count()
    }

    /// The header lines of the first INVITE of each call that it was asked to take, the oldest first.
    pub fn rung_with(&self) -> Vec<Vec<String>> {
        let log = self.process.log();
        let mut calls: Vec<Vec<String>> = Vec::new();
        let mut lines = log.lines().map(str::trim_end);
        while lines.by_ref().any(|line| line.starts_with("INVITE sip:")) {
            let headers: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).map(str::to_owned).collect();
            let id = |headers: &[String]| headers.iter().find(|line| line.starts_with("Call-ID:")).cloned();
            if calls.iter().all(|known| id(known) != id(&headers)) {
                calls.push(headers);
            }
        }
        calls
    }

    /// The keys that it has heard, in order.
    pub fn keys(&self) -> String {
        // An event with no parameter tells that the key was let go.
        self.events_of("CALL_DTMF_START")
            .iter()
            .filter_map(|event| event.get("param")?.as_str().map(str::to_owned))
            .collect()
    }

    /// Presses keys, one after the other.
    ///
    /// # Errors
    /// When the control socket is gone.
    pub async fn press(&mut self, keys: &str) -> Result<()> {
        self.command("sndcode", keys).await
    }

    /// Rings from the next call on until [`answer`](Self::answer).
    ///
    /// # Errors
    /// When the control socket is gone.
    pub async fn wait_for_answer(&mut self) -> Result<()> {
        self.command("answermode", "manual").await
    }

    /// Answers what rings.
    ///
    /// # Errors
    /// When the control socket is gone.
    pub async fn answer(&mut self) -> Result<()> {
        self.command("accept", "").await
    }

    /// Hangs up.
    ///
    /// # Errors
    /// When the control socket is gone.
    pub async fn hang_up(&mut self) -> Result<()> {
        self.command("hangup", "").await
    }

    /// What it heard in its last call, which must be over.
    ///
    /// # Errors
    /// When there is no such recording.
    pub async fn heard(&self) -> Result<Recording> {
        self.recording("-dec.wav").await
    }

    /// What it said in its last call, which must be over.
    ///
    /// # Errors
    /// When there is no such recording.
    pub async fn said(&self) -> Result<Recording> {
        self.recording("-enc.wav").await
    }

    /// Its last words, SIP messages among them.
    pub fn tail(&self) -> String {
        self.process.tail()
    }

    /// How many samples it has heard so far: the clock of [`heard`](Self::heard), which stands where nothing is received.
    ///
    /// # Errors
    /// When there is not one recording.
    pub fn samples_heard(&self) -> Result<usize> {
        let files = fs::read_dir(&self.directory)?.flatten();
        let mut sizes = files.filter(|file| file.file_name().to_string_lossy().ends_with("-dec.wav"));
        let bytes = sizes.next().context("baresip has heard nothing yet")?.metadata()?.len();
        Ok(usize::try_from(bytes.saturating_sub(WAV_HEADER_BYTES))? / 2)
    }

    async fn recording(&self, suffix: &str) -> Result<Recording> {
        eventually("baresip finishes its recording", Duration::from_secs(5), async || {
            let mut found: Vec<PathBuf> = fs::read_dir(&self.directory)?.flatten().map(|entry| entry.path()).collect();
            found.retain(|path| path.to_str().is_some_and(|name| name.ends_with(suffix)));
            found.sort();
            let recording = Recording::read_wav(&found.pop().context("no recording")?)?;
            ensure!(!recording.samples.is_empty(), "the recording is empty");
            Ok(recording)
        })
        .await
    }

    async fn command(&mut self, command: &str, parameters: &str) -> Result<()> {
        let text = json!({ "command": command, "params": parameters, "token": command }).to_string();
        Ok(self.control.write_all(format!("{}:{text},", text.len()).as_bytes()).await?)
    }

    fn events_of(&self, kind: &str) -> Vec<Value> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| event.get("type").and_then(Value::as_str) == Some(kind)).cloned().collect()
    }

    fn kinds(&self) -> Vec<String> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter_map(|event| event.get("type")?.as_str().map(str::to_owned)).collect()
    }
}

async fn collect(reader: OwnedReadHalf, events: Arc<Mutex<Vec<Value>>>) -> Result<()> {
    let mut reader = BufReader::new(reader);
    loop {
        let mut length = Vec::new();
        reader.read_until(b':', &mut length).await?;
        let digits = std::str::from_utf8(&length)?.trim_end_matches(':');
        let length: usize = digits.parse().with_context(|| format!("no netstring: {digits:?}"))?;
        if length > MAX_NETSTRING_BYTES {
            bail!("a netstring of {length} bytes");
        }
        let mut text = vec![0; length + 1];
        reader.read_exact(&mut text).await?;
        text.pop();
        events.lock().unwrap_or_else(PoisonError::into_inner).push(serde_json::from_slice(&text)?);
    }
}

/// `ausine` plays at 48 kHz in stereo only; `sndfile` records what is heard and said, and cuts paths off at 128 bytes, so
/// that it gets one which does not depend on where the project lies.
fn config(hertz: u32) -> String {
    format!(
        "sip_listen {BRIDGE}:{SIP_PORT}
net_interface br0
audio_source ausine,{hertz}
audio_player none
ausrc_srate 48000
ausrc_channels 2
auplay_srate 8000
auplay_channels 1
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports 10000-12000
rtcp_mux no
jitter_buffer_delay 5-10
module_path /usr/lib/baresip/modules
module g711.so
module ausine.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{CONTROL_PORT}
snd_path .
"
    )
}
