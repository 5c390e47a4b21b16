//! A browser for tests: str0m as a full ICE agent over real sockets, UDP, TCP or both, a sine for a microphone, and ears. The browsers of
//! the end-to-end tests are real ones; this one is at hand for tests of this crate.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use dsp::telephone_event::Payload;
use dsp::tone::Sine;
use dsp::{Dbm0, Digit, Hertz, SampleRate, units};
use protocol::gateway::Transport;
use protocol::rfc4571::{self, Deframer};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::negotiation::{PREFERRED_EVENT_PT_48K, codecs};

/// 20 ms at 48 kHz.
const FRAME: usize = 960;

pub(crate) struct Browser {
    rtc: Rtc,
    udp: Option<UdpSocket>,
    /// Whether it connects as soon as it knows where.
    wants_tcp: bool,
    tcp: Option<(TcpStream, Deframer)>,
    mid: Mid,
    pending: Option<SdpPendingOffer>,
    opus: Option<Pt>,
    encoder: opus::Encoder,
    decoder: opus::Decoder,
    microphone: Option<Sine>,
    sequence: u64,
    timestamp: u32,
    next_frame: Instant,
    key: Option<(Digit, u32)>,
    is_up: bool,
    /// What was heard, at 8 kHz.
    pub heard: Vec<i16>,
    /// Sequence numbers of what was heard.
    pub sequences: Vec<u64>,
}

impl Browser {
    /// Opens a socket on loopback and makes an offer.
    pub(crate) fn new() -> TestResult<(Self, String)> {
        Self::over(Transport::Udp)
    }

    /// The same in a network that lets only that pass.
    pub(crate) fn over(transport: Transport) -> TestResult<(Self, String)> {
        let mut rtc = codecs(Rtc::builder().set_rtp_mode(true)).build(Instant::now());
        let udp = if transport == Transport::Udp { Some(udp_socket(&mut rtc)?) } else { None };
        let mut change = rtc.sdp_api();
        // str0m draws them at random; real browsers count from 0, so that of two pages of one browser they are alike.
        fastrand::seed(0);
        let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = change.apply().ok_or("no offer")?;
        let browser = Self {
            rtc,
            udp,
            wants_tcp: transport == Transport::Tcp,
            tcp: None,
            mid,
            pending: Some(pending),
            opus: None,
            encoder: opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?,
            decoder: opus::Decoder::new(8_000, opus::Channels::Mono)?,
            microphone: None,
            sequence: 1000,
            timestamp: 77_000,
            next_frame: Instant::now(),
            key: None,
            is_up: false,
            heard: Vec::new(),
            sequences: Vec::new(),
        };
        Ok((browser, offer.to_sdp_string()))
    }

    /// Takes the gateway's answer.
    pub(crate) fn accept(&mut self, answer: &str) -> TestResult {
        let pending = self.pending.take().ok_or("no offer is pending")?;
        self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(answer)?)?;
        let opus = self.rtc.codec_config().params().iter().find(|params| params.spec().codec == Codec::Opus);
        self.opus = opus.map(|params| params.pt());
        if self.wants_tcp {
            let candidates = answer.lines().filter_map(|line| line.strip_prefix("a="));
            let mut candidates = candidates.filter_map(|line| Candidate::from_sdp_string(line).ok());
            let passive = candidates.find(|candidate| candidate.tcptype() == Some(TcpType::Passive));
            self.connect(passive.ok_or("the answer has no TCP candidate")?.addr())?;
        }
        Ok(())
    }

    /// Connects by TCP, once more if it was connected.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> TestResult {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        let host = Candidate::builder().tcp().host(stream.local_addr()?).tcptype(TcpType::Active).build()?;
        self.rtc.add_local_candidate(host);
        if let Some((old, _)) = self.tcp.replace((stream, Deframer::default())) {
            let old = Candidate::builder().tcp().host(old.local_addr()?).tcptype(TcpType::Active).build()?;
            self.rtc.direct_api().invalidate_candidate(&old);
        }
        Ok(())
    }

    /// The network lets UDP pass from now on.
    pub(crate) fn open_udp(&mut self) -> TestResult {
        self.udp = Some(udp_socket(&mut self.rtc)?);
        Ok(())
    }

    /// The network lets UDP pass no more.
    pub(crate) fn cut_udp(&mut self) {
        self.udp = None;
    }

    /// Where it is connected.
    pub(crate) fn tcp(&self) -> TestResult<&TcpStream> {
        Ok(&self.tcp.as_ref().ok_or("not connected")?.0)
    }

    /// Speaks a sine of this frequency at −10 dBm0 from now on.
    pub(crate) fn speak(&mut self, frequency: f32) {
        self.microphone = Some(Sine::new(SampleRate::HZ_48000, Hertz(frequency), Dbm0(-10.0)));
    }

    /// Presses a key for a tenth of a second, in place of audio.
    pub(crate) fn press(&mut self, digit: Digit) {
        self.key = Some((digit, 0));
    }

    /// Whether ICE and DTLS are done.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up
    }

    /// Hangs up: DTLS close_notify.
    pub(crate) fn close(&mut self) -> TestResult {
        self.rtc.close()?;
        self.drain().map(|_| ())
    }

    /// Lives until `done` says so, or for `at_most`. Returns whether `done` said so.
    pub(crate) fn live(&mut self, at_most: Duration, mut done: impl FnMut(&Self) -> bool) -> TestResult<bool> {
        let end = Instant::now() + at_most;
        loop {
            let timeout = self.drain()?;
            if done(self) {
                return Ok(true);
            }
            let now = Instant::now();
            if now >= end {
                return Ok(false);
            }
            if self.is_up && now >= self.next_frame {
                self.send_frame(now)?;
                continue;
            }
            let wake = timeout.min(self.next_frame.max(now)).min(end);
            let wait = wake.saturating_duration_since(now).clamp(Duration::from_millis(1), Duration::from_millis(20));
            if !self.receive(wait)? {
                self.rtc.handle_input(Input::Timeout(Instant::now()))?;
            }
        }
    }

    /// Waits for a datagram, or so many of them as come at once by TCP. Returns whether something came.
    fn receive(&mut self, wait: Duration) -> TestResult<bool> {
        let mut buffer = [0; 2048];
        let mut came = false;
        if let Some(socket) = &self.udp {
            socket.set_read_timeout(Some(if self.tcp.is_some() { Duration::from_millis(1) } else { wait }))?;
            if let Ok((length, source)) = socket.recv_from(&mut buffer) {
                let datagram = buffer.get(..length).unwrap_or_default();
                let receive = Receive::new(Protocol::Udp, source, socket.local_addr()?, datagram)?;
                self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
                came = true;
            }
        }
        if let Some((stream, deframer)) = &mut self.tcp {
            stream.set_read_timeout(Some(if self.udp.is_some() { Duration::from_millis(1) } else { wait }))?;
            if let Ok(length) = stream.read(deframer.room()) {
                deframer.filled(length);
            }
            let (source, local) = (stream.peer_addr()?, stream.local_addr()?);
            while let Some(datagram) = deframer.next_frame()? {
                let receive = Receive::new(Protocol::Tcp, source, local, datagram)?;
                self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
                came = true;
            }
        }
        Ok(came)
    }

    fn send_frame(&mut self, now: Instant) -> TestResult {
        // A microphone never runs slow: what a busy machine missed is sent at once.
        self.next_frame += Duration::from_millis(20);
        let mut payload = [0; 1275];
        let (pt, timestamp, length) = match self.key.take() {
            Some((digit, frames)) => {
                let event = Payload {
                    event: digit.event(),
                    end: frames >= 5,
                    volume: 10,
                    duration: ((frames + 1).min(5) * FRAME as u32) as u16,
                };
                payload.iter_mut().zip(event.to_bytes()).for_each(|(to, from)| *to = from);
                let began = self.timestamp.wrapping_sub(frames * FRAME as u32);
                self.key = (frames < 7).then_some((digit, frames + 1));
                (Some(PREFERRED_EVENT_PT_48K.into()), began, 4)
            }
            None => {
                let mut pcm = [0; FRAME];
                if let Some(microphone) = &mut self.microphone {
                    pcm.fill_with(|| units::to_i16(microphone.next_sample()));
                }
                (self.opus, self.timestamp, self.encoder.encode(&pcm, &mut payload)?)
            }
        };
        let payload = payload.get(..length).unwrap_or_default();
        let write = RtpWrite::new(pt.ok_or("no payload type")?, self.sequence.into(), timestamp, now, payload);
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        let mut direct = self.rtc.direct_api();
        direct.stream_tx_by_mid(self.mid, None).ok_or("no stream")?.write_rtp(write);
        self.drain()?;
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    fn drain(&mut self) -> TestResult<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(transmit) => match (transmit.proto, &self.udp, &mut self.tcp) {
                    (Protocol::Udp, Some(socket), _) => {
                        socket.send_to(&transmit.contents, transmit.destination)?;
                    }
                    (Protocol::Tcp, _, Some((stream, _))) if transmit.source == stream.local_addr()? => {
                        stream.write_all(&rfc4571::header(transmit.contents.len())?)?;
                        stream.write_all(&transmit.contents)?;
                    }
                    _ => {}
                },
                Output::Event(Event::Connected) => {
                    self.is_up = true;
                    self.next_frame = Instant::now();
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let mut pcm = [0; 960];
                    let length = self.decoder.decode(&packet.payload, &mut pcm, false)?;
                    self.heard.extend(pcm.get(..length).unwrap_or_default());
                    self.sequences.push(*packet.seq_no);
                }
                Output::Event(_) => {}
            }
        }
    }
}

fn udp_socket(rtc: &mut Rtc) -> TestResult<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
    Ok(socket)
}

/// Any error fails the test.
pub(crate) type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;
