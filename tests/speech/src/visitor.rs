//! The visitor's end of a call: a WebRTC peer that speaks real Opus every 20 ms and keeps what it hears. It does as it is told by the SDP
//! answer, as browsers do: redundancy when `useinbandfec=1`, no more than `maxaveragebitrate`.

use crate::ear::Heard;
use crate::network::{Relay, Rtp};
use crate::script::{PACKET, Script};
use anyhow::{Context as _, Result};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

/// What Chromium spends on speech when it is told nothing.
const BITRATE: i32 = 32_000;

/// Datagrams that wait to be read: more than come in a second.
const UNREAD: usize = 200;

/// A peer that has made its offer.
#[derive(Debug)]
pub(crate) struct Visitor {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    mid: Mid,
    pending: SdpPendingOffer,
}

struct Speaking {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    mid: Mid,
    opus: Pt,
    encoder: opus::Encoder,
    script: Script,
    due: Option<Instant>,
    sequence: u64,
    heard: Vec<Heard>,
    /// The stream.
    heard_from: Option<u32>,
}

impl Visitor {
    /// Binds a port of `ip`; gives the offer too, which names no candidate: all that comes shall come through the relay.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) fn new(ip: IpAddr) -> Result<(Self, String)> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| str0m::crypto::from_feature_flags().install_process_default());
        let socket = UdpSocket::bind((ip, 0))?;
        let address = socket.local_addr()?;
        let mut rtc = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(address, "udp")?);
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = change.apply().context("no offer")?;
        Ok((Self { rtc, socket, address, mid, pending }, without_candidates(&offer.to_sdp_string())))
    }

    /// Speaks until `end` over the path at `relay`, expecting `loss` percent of loss as RTCP would tell a browser; gives then what
    /// it heard.
    ///
    /// # Errors
    /// When the answer is none.
    pub(crate) fn speak(
        mut self,
        answer: &str,
        relay: &Relay,
        script: Script,
        loss: i32,
        end: Instant,
    ) -> Result<JoinHandle<Vec<Heard>>> {
        let mut encoder = opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip)?;
        let told = answer
            .split("maxaveragebitrate=")
            .nth(1)
            .and_then(|rest| rest.split([';', '\r']).next()?.trim().parse().ok());
        encoder.set_bitrate(opus::Bitrate::Bits(told.unwrap_or(BITRATE).min(BITRATE)))?;
        encoder.set_inband_fec(answer.contains("useinbandfec=1"))?;
        encoder.set_packet_loss_perc(loss)?;
        let candidate = format!("a=candidate:1 1 udp 2130706431 {} {} typ host", relay.near.ip(), relay.near.port());
        let mut answer = format!("{}{candidate}\r\n", without_candidates(answer));
        // rtpengine knows no BUNDLE (RFC 9143), and browsers take one section without; str0m does not.
        if !answer.contains("a=group:BUNDLE") {
            answer = answer.replacen("m=audio", &format!("a=group:BUNDLE {}\r\nm=audio", self.mid), 1);
        }
        self.rtc.sdp_api().accept_answer(self.pending, SdpAnswer::from_sdp_string(&answer)?)?;
        let opus = self.rtc.codec_config().params().iter().find(|params| params.spec().codec == Codec::Opus);
        let opus = opus.context("no Opus was agreed on")?.pt();
        let Self { rtc, socket, address, mid, .. } = self;
        let incoming = reader(&socket, end)?;
        let heard = Vec::new();
        let mut speaking = Speaking {
            rtc,
            socket,
            address,
            mid,
            opus,
            encoder,
            script,
            due: None,
            sequence: 1,
            heard,
            heard_from: None,
        };
        Ok(thread::spawn(move || {
            if let Err(error) = speaking.run(&incoming, end) {
                eprintln!("a visitor broke off: {error:#}");
            }
            speaking.heard
        }))
    }
}

type Datagram = (Instant, SocketAddr, Vec<u8>);

/// Waiting on a channel ends in time; waiting on a socket ends with the kernel's tick.
fn reader(socket: &UdpSocket, end: Instant) -> Result<Receiver<Datagram>> {
    let socket = socket.try_clone()?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (sender, receiver) = sync_channel(UNREAD);
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while Instant::now() < end {
            let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
            let datagram = buffer.get(..length).unwrap_or_default().to_vec();
            if sender.send((Instant::now(), source, datagram)).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

impl Speaking {
    fn run(&mut self, incoming: &Receiver<Datagram>, end: Instant) -> Result<()> {
        // Where the other side begins with DTLS, str0m has no timer of its own as yet.
        self.rtc.handle_input(Input::Timeout(Instant::now()))?;
        loop {
            let timeout = self.drain(Instant::now())?;
            let now = Instant::now();
            if now >= end {
                self.rtc.close()?;
                self.drain(now)?;
                return Ok(());
            }
            if self.due.is_some_and(|due| now >= due) {
                self.send(now)?;
                continue;
            }
            let wake = self.due.into_iter().chain([timeout, end]).min().unwrap_or(end);
            match incoming.recv_timeout(wake.saturating_duration_since(now)) {
                Ok((at, source, datagram)) => {
                    self.expect(&datagram);
                    let receive = Receive::new(Protocol::Udp, source, self.address, &datagram)?;
                    self.rtc.handle_input(Input::Receive(at, receive))?;
                    self.drain(at)?;
                }
                Err(RecvTimeoutError::Timeout) => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// A browser takes any stream for the only section's; str0m wants to be told, where an answer names none.
    fn expect(&mut self, datagram: &[u8]) {
        if let Some(ssrc) = Rtp::parse(datagram).map(|rtp| rtp.ssrc)
            && self.heard_from.replace(ssrc) != Some(ssrc)
        {
            self.rtc.direct_api().expect_stream_rx(ssrc.into(), None, self.mid, None);
        }
    }

    fn send(&mut self, now: Instant) -> Result<()> {
        let Some(due) = self.due else { return Ok(()) };
        let mut payload = [0; 1275];
        let length = self.encoder.encode(&self.script.packet(due), &mut payload)?;
        let timestamp = (self.sequence as u32).wrapping_mul(960);
        let payload = payload.get(..length).unwrap_or_default();
        let write = RtpWrite::new(self.opus, self.sequence.into(), timestamp, now, payload);
        self.sequence += 1;
        self.due = Some(due + PACKET);
        self.rtc.direct_api().stream_tx_by_mid(self.mid, None).context("no stream")?.write_rtp(write);
        self.drain(now)?;
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    /// Does what is to be done; what is heard came at `at`.
    fn drain(&mut self, at: Instant) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(next) => return Ok(next),
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination)?;
                }
                Output::Event(Event::Connected) => self.due = Some(self.script.first_packet(Instant::now())),
                Output::Event(Event::RtpPacket(packet)) => self.heard.push(Heard {
                    at,
                    sequence: *packet.seq_no as u16,
                    timestamp: packet.header.timestamp,
                    ssrc: *packet.header.ssrc,
                    payload: packet.payload.to_vec(),
                }),
                Output::Event(_) => {}
            }
        }
    }
}

/// The address of the only component that an answer names.
///
/// # Errors
/// When it names none.
pub(crate) fn candidate_of(answer: &str) -> Result<SocketAddr> {
    let udp = answer.lines().filter_map(|line| line.strip_prefix("a=candidate:")).find_map(|line| {
        let mut words = line.split(' ');
        let is_udp = words.nth(2)?.eq_ignore_ascii_case("udp");
        let (ip, port) = (words.nth(1)?.parse().ok()?, words.next()?.parse().ok()?);
        is_udp.then(|| SocketAddr::new(ip, port))
    });
    udp.with_context(|| format!("no candidate in {answer}"))
}

fn without_candidates(sdp: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates");
    sdp.lines().filter(is_kept).map(|line| format!("{line}\r\n")).collect()
}
