//! rtpengine as Debian packages it: a process in userspace mode and its "ng" protocol (bencode over UDP).

use crate::child::Process;
use anyhow::{Context as _, Result, bail};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Its control port, and where its media ports begin.
const CONTROL_PORT: u16 = 22_222;
const FIRST_RTP: u16 = 34_000;

/// A running rtpengine.
#[derive(Debug)]
pub(crate) struct RtpEngine {
    /// To be asked what it costs.
    pub process: Process,
    control: UdpSocket,
    cookie: AtomicU32,
}

impl RtpEngine {
    /// Starts it on `ip`.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub(crate) fn start(ip: IpAddr, directory: &Path) -> Result<Self> {
        let arguments = [
            "--table=-1".to_owned(),
            "--foreground".to_owned(),
            "--log-stderr".to_owned(),
            "--log-level=4".to_owned(),
            format!("--interface={ip}"),
            format!("--listen-ng={ip}:{CONTROL_PORT}"),
            format!("--port-min={FIRST_RTP}"),
            format!("--port-max={}", FIRST_RTP + 999),
        ];
        let process = Process::start("rtpengine", directory, Path::new("rtpengine"), &arguments)?;
        let control = UdpSocket::bind((ip, 0))?;
        control.connect((ip, CONTROL_PORT))?;
        control.set_read_timeout(Some(Duration::from_millis(500)))?;
        let engine = Self { process, control, cookie: AtomicU32::new(0) };
        let deadline = Instant::now() + Duration::from_secs(15);
        while let Err(error) = engine.command(&[("command", "ping")], &[]) {
            if Instant::now() > deadline {
                return Err(error.context("rtpengine does not answer"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(engine)
    }

    /// Gives the SDP for the telephone for a browser's offer.
    ///
    /// # Errors
    /// What rtpengine says.
    pub(crate) fn offer(&self, call: &str, sdp: &str) -> Result<String> {
        let texts = [
            ("command", "offer"),
            ("call-id", call),
            ("from-tag", "browser"),
            ("sdp", sdp),
            ("ICE", "remove"),
            ("transport-protocol", "RTP/AVP"),
            ("DTLS", "off"),
        ];
        let codec = ("codec", "d4:maskl4:opuse9:transcodel4:PCMUee");
        let raw = [codec, ("replace", "l6:origine"), ("rtcp-mux", "l6:accept5:demuxe")];
        sdp_of(&self.command(&texts, &raw)?)
    }

    /// Gives the SDP for the browser for a telephone's answer.
    ///
    /// # Errors
    /// What rtpengine says.
    pub(crate) fn answer(&self, call: &str, sdp: &str) -> Result<String> {
        let texts = [
            ("command", "answer"),
            ("call-id", call),
            ("from-tag", "browser"),
            ("to-tag", "phone"),
            ("sdp", sdp),
            ("transport-protocol", "UDP/TLS/RTP/SAVPF"),
            ("ICE", "force"),
        ];
        sdp_of(&self.command(&texts, &[("replace", "l6:origine")])?)
    }

    /// `raw` values are bencoded already.
    fn command(&self, texts: &[(&str, &str)], raw: &[(&str, &str)]) -> Result<String> {
        let texts = texts.iter().map(|(key, value)| format!("{}:{key}{}:{value}", key.len(), value.len()));
        let raw = raw.iter().map(|(key, value)| format!("{}:{key}{value}", key.len()));
        let cookie = format!("speech{} ", self.cookie.fetch_add(1, Ordering::Relaxed));
        self.control.send(format!("{cookie}d{}e", texts.chain(raw).collect::<String>()).as_bytes())?;
        let mut buffer = vec![0; 16_384];
        for _ in 0..20 {
            let length = self.control.recv(&mut buffer)?;
            let reply = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            if let Some(reply) = reply.strip_prefix(&cookie) {
                return Ok(reply.to_owned());
            }
        }
        bail!("no reply")
    }
}

fn sdp_of(reply: &str) -> Result<String> {
    let (_, rest) = reply.split_once("3:sdp").with_context(|| format!("rtpengine refuses: {reply}"))?;
    let (length, rest) = rest.split_once(':').context("no length")?;
    Ok(rest.get(..length.parse::<usize>()?).context("cut short")?.to_owned())
}
