//! The visitor's leg: the one module that knows str0m. ICE-lite, DTLS-SRTP and the browser's SDP go in here; RTP payloads,
//! datagrams and two facts (up, down) come out. It reads no clock and owns no socket.
//!
//! Deliberately not here: codecs, jitter, what a key means. str0m runs in RTP mode, because its frame mode may hold audio
//! back for a second after a loss.

#[cfg(test)]
pub(crate) mod browser;
mod negotiation;
mod path;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use dsp::SampleRate;
use dsp::g711::Law;
use protocol::gateway::Transport;
use str0m::config::DtlsCert;
use str0m::media::{Mid, Pt};
use str0m::net::{Protocol, TcpType, Transmit};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};
use tracing::{debug, trace};

use negotiation::Agreed;
pub(crate) use path::Way;
use path::{Path, Via, is_stun, transport_of};

/// How long ICE and DTLS may take after the answer was made. Browsers give up on ICE after 15 s to 30 s; a shopper long before.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

/// After so long without any datagram a browser whose audio has come counts as unheard: its audio comes every 20 ms, muted or
/// not, and every 400 ms where it is told to leave silence out (RFC 7587 section 3.1.3). The loss shall be known within 2 s.
const SILENCE: Duration = Duration::from_millis(1_500);

/// Trickled candidates that are looked at in one call. A browser with VPNs and virtual adapters finds about 20; each costs a
/// candidate pair here.
const MAX_REMOTE_CANDIDATES: usize = 64;

/// How often str0m is asked whether the browser has reported; browsers report audio every 5 s.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// What all visitors' legs of a gateway share.
pub(crate) struct WebRtcSettings {
    certificate: DtlsCert,
    candidates: Vec<SocketAddr>,
    tcp_candidates: Vec<SocketAddr>,
}

impl WebRtcSettings {
    /// Makes the gateway's DTLS certificate. `candidates` are the addresses under which browsers reach the media port,
    /// `tcp_candidates` those under which they can connect by TCP.
    ///
    /// # Errors
    /// [`WebRtcError::Certificate`] when the crypto provider makes none.
    pub(crate) fn new(candidates: Vec<SocketAddr>, tcp_candidates: Vec<SocketAddr>) -> Result<Self, WebRtcError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| str0m::crypto::from_feature_flags().install_process_default());
        let certificate = str0m::crypto::from_feature_flags().dtls_provider.generate_certificate();
        Ok(Self { certificate: certificate.ok_or(WebRtcError::Certificate)?, candidates, tcp_candidates })
    }

    /// The candidate that a datagram from `source` was sent to. One wildcard socket cannot tell candidates of one address
    /// family apart, and ICE-lite answers over the same socket whichever it was.
    pub(crate) fn candidate_for(&self, transport: Transport, source: SocketAddr) -> Option<SocketAddr> {
        let candidates = if transport == Transport::Tcp { &self.tcp_candidates } else { &self.candidates };
        let same_family = candidates.iter().find(|candidate| candidate.is_ipv4() == source.is_ipv4());
        same_family.or(candidates.first()).copied()
    }

    /// One candidate of the UDP socket and one of each TCP address, which the browser connects to (RFC 6544 section 4.1).
    fn host_candidates(&self) -> impl Iterator<Item = Candidate> {
        let udp = self.candidates.iter().map(|&address| Candidate::host(address, "udp"));
        let passive = |&address| Candidate::builder().tcp().host(address).tcptype(TcpType::Passive).build();
        udp.chain(self.tcp_candidates.iter().map(passive)).filter_map(Result::ok)
    }
}

/// Why there is no visitor's leg.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebRtcError {
    /// The crypto provider cannot make certificates.
    #[error("no DTLS certificate could be made")]
    Certificate,
    /// The offer is no SDP or contradicts itself.
    #[error("the offer is unusable: {0}")]
    Offer(#[from] str0m::RtcError),
    /// The offer is no SDP at all.
    #[error("the offer is no SDP: {0}")]
    Syntax(String),
    /// The offer has no audio section that sends and receives Opus.
    #[error("the offer has no sendrecv audio with Opus")]
    NoAudio,
}

/// An RTP packet from the visitor, decrypted, seen for the first time, in order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct VisitorPacket {
    /// What the payload is.
    pub kind: VisitorPayload,
    /// The sequence number, extended over wraps.
    pub sequence: u64,
    /// The RTP timestamp as it stands in the header.
    pub timestamp: u32,
    /// The first after silence, or of a key.
    pub marker: bool,
    /// The stream.
    pub ssrc: u32,
    /// The payload.
    pub payload: Arc<[u8]>,
}

/// What a visitor's RTP payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VisitorPayload {
    /// Opus, its timestamp at 48 kHz (RFC 7587 section 4.1).
    Opus,
    /// A telephone event, its timestamp at the given clock (RFC 4733).
    Event(SampleRate),
    /// G.711, its timestamp at 8 kHz; in frames only.
    G711(Law),
}

/// An Opus packet for the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpusPacket<'a> {
    /// The sequence number, counted up without wrapping.
    pub sequence: u64,
    /// At 48 kHz.
    pub timestamp: u32,
    /// The first packet after silence (RFC 3551 section 4.1).
    pub marker: bool,
    /// One Opus packet.
    pub payload: &'a [u8],
}

/// What a leg wants done.
#[derive(Debug)]
pub(crate) enum WebRtcOutput {
    /// Send the datagram.
    Transmit {
        /// Over the WebRTC socket, or over the connection to the destination.
        transport: Transport,
        /// To the browser.
        destination: SocketAddr,
        /// The whole datagram.
        datagram: Vec<u8>,
    },
    /// The visitor's audio or a key.
    Packet(VisitorPacket),
    /// The browser reports of the packets that we sent since its last report (RFC 3550 section 6.4.1).
    Report {
        /// The share that was lost, 0 to 1.
        lost: f32,
        /// The round trip.
        round_trip: Option<Duration>,
    },
    /// ICE and DTLS are done, or the browser is heard again.
    Up,
    /// What carries the audio: said after [`Self::Up`], and when it has moved.
    Carried(Transport),
    /// The browser is not heard any more, or never was. After a silence it may be [`Up`](Self::Up) again.
    Down(String),
}

/// The state of one visitor's leg.
pub(crate) struct WebRtcLeg {
    rtc: Rtc,
    ufrag: String,
    mid: Mid,
    opus: Pt,
    events: Vec<(Pt, SampleRate)>,
    pending: VecDeque<WebRtcOutput>,
    next_timeout: Instant,
    connect_deadline: Option<Instant>,
    is_down: bool,
    agreed: Agreed,
    /// When the browser was heard last, once its audio has come.
    heard: Option<Instant>,
    /// It was told to be down.
    is_silent: bool,
    /// It is to be told up with the next datagram, since another path was asked for.
    tells_up: bool,
    remote_candidates: usize,
    path: Path,
    /// What was said to carry the audio, once it can flow.
    carried: Option<Transport>,
    /// What carried the last datagram that was no answer to STUN.
    last_over: Transport,
}

impl WebRtcLeg {
    /// The username fragment by which the browser's STUN requests name this leg (RFC 8445 section 7.2.2).
    pub(crate) fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Adds a trickled candidate of the browser. Ones that we cannot use (mDNS names, TCP, where the browser connects from
    /// another port than it says, relays' TLS) are ignored: with ICE-lite the browser's checks reveal its address anyway.
    pub(crate) fn add_candidate(&mut self, candidate: &str) {
        if candidate.is_empty() || self.is_down {
            return;
        }
        self.remote_candidates += 1;
        if self.remote_candidates > MAX_REMOTE_CANDIDATES {
            return;
        }
        let candidate = candidate.strip_prefix("a=").unwrap_or(candidate);
        match Candidate::from_sdp_string(candidate) {
            Ok(candidate) if candidate.proto() != Protocol::Udp => debug!("TCP candidate of the browser ignored"),
            Ok(candidate) => self.rtc.add_remote_candidate(candidate),
            Err(error) => debug!(%error, "candidate of the browser ignored"),
        }
    }

    /// Whether a STUN message is meant for this leg: its username and its integrity are checked.
    pub(crate) fn accepts(&self, way: Way, datagram: &[u8], now: Instant) -> bool {
        way.receive(datagram).is_ok_and(|receive| self.rtc.accepts(&Input::Receive(now, receive)))
    }

    /// Takes a datagram. What cannot be parsed or decrypted is dropped.
    pub(crate) fn handle_datagram(&mut self, way: Way, datagram: &[u8], now: Instant) {
        if self.is_down {
            return;
        }
        let (source, via) = (way.source, Via { transport: way.transport, peer: way.source });
        self.heard = self.heard.map(|_| now);
        if std::mem::take(&mut self.is_silent) | std::mem::take(&mut self.tells_up) {
            self.pending.push_back(WebRtcOutput::Up);
        }
        self.path.heard(via, now);
        if is_stun(datagram) && self.path.is_other(via) && path::nominates(datagram) && self.accepts(way, datagram, now)
        {
            self.path.nominated(via, now);
        }
        match way.receive(datagram) {
            Ok(receive) => {
                if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
                    self.go_down(format!("{source}: {error}"));
                }
            }
            Err(error) => trace!(%source, %error, "datagram dropped"),
        }
    }

    /// Sends Opus to the visitor; dropped while the leg is not up.
    pub(crate) fn send_opus(&mut self, packet: &OpusPacket<'_>, now: Instant) {
        if self.is_down || !self.rtc.is_connected() {
            return;
        }
        let write = RtpWrite::new(self.opus, packet.sequence.into(), packet.timestamp, now, packet.payload);
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(write.marker(packet.marker));
            // str0m stamps and sends written packets only when the time moves on.
            self.next_timeout = now;
        }
    }

    /// Sends the visitor's own audio back. Its numbers stay, so that what was lost on either way shows as a gap.
    pub(crate) fn send_back(&mut self, packet: &VisitorPacket, now: Instant) {
        if packet.kind == VisitorPayload::Opus {
            let VisitorPacket { sequence, timestamp, marker, ref payload, .. } = *packet;
            self.send_opus(&OpusPacket { sequence, timestamp, marker, payload }, now);
        }
    }

    /// Says goodbye (RTCP BYE, DTLS close_notify); what is to be sent comes from [`Self::poll_output`].
    pub(crate) fn close(&mut self) {
        if let Err(error) = self.rtc.close() {
            debug!(%error, "leg closed without a goodbye");
        }
        self.is_down = true;
        self.connect_deadline = None;
    }

    /// Tells the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.connect_deadline.is_some_and(|deadline| now >= deadline) {
            self.go_down(format!("no connection within {} s", CONNECT_DEADLINE.as_secs()));
        }
        if self.silent_at().is_some_and(|at| now >= at) {
            self.fall_silent(format!("nothing of the browser for {SILENCE:?}"));
        }
        if now >= self.next_timeout {
            self.advance(now);
        }
    }

    /// The next thing to be done; `None` when there is nothing more until an input or [`Self::poll_timeout`].
    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<WebRtcOutput> {
        if let Some(output) = self.pending.pop_front() {
            return Some(output);
        }
        let mut advanced = false;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    self.transmit(transmit, now);
                    return self.pending.pop_front();
                }
                Ok(Output::Event(event)) => {
                    self.handle_event(event);
                    if let Some(output) = self.pending.pop_front() {
                        return Some(output);
                    }
                }
                Ok(Output::Timeout(at)) if at <= now && !advanced => {
                    advanced = true;
                    self.advance(now);
                }
                Ok(Output::Timeout(at)) => {
                    self.next_timeout = at;
                    return self.pending.pop_front();
                }
                Err(error) => {
                    self.go_down(error.to_string());
                    self.rtc.disconnect();
                }
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Instant {
        [self.connect_deadline, self.silent_at()].into_iter().flatten().fold(self.next_timeout, Instant::min)
    }

    fn silent_at(&self) -> Option<Instant> {
        self.heard.filter(|_| !self.is_silent && !self.is_down).map(|heard| heard + SILENCE)
    }

    /// The path may come back, or another be found: the leg stays.
    fn fall_silent(&mut self, detail: String) {
        if !self.is_silent && !self.is_down {
            self.is_silent = true;
            self.pending.push_back(WebRtcOutput::Down(detail));
        }
    }

    /// What carries the audio, once it can flow.
    pub(crate) fn carried(&self) -> Option<Transport> {
        self.carried
    }

    /// The connection to that address of the browser is gone.
    pub(crate) fn lost(&mut self, peer: SocketAddr) {
        self.path.lost(Via { transport: Transport::Tcp, peer });
    }

    /// Answers to STUN go where str0m wants them, everything else along the path.
    fn transmit(&mut self, transmit: Transmit, now: Instant) {
        let Transmit { proto, destination, contents, .. } = transmit;
        let mut via = Via { transport: transport_of(proto), peer: destination };
        let datagram = Vec::from(contents);
        if !is_stun(&datagram) {
            via = self.path.of(via, now);
            if self.carried.is_some_and(|carried| carried != via.transport) {
                self.carried = Some(via.transport);
                self.pending.push_back(WebRtcOutput::Carried(via.transport));
            }
            // Until the audio flows, what carries it is what carries DTLS.
            self.last_over = via.transport;
        }
        self.pending.push_back(WebRtcOutput::Transmit { transport: via.transport, destination: via.peer, datagram });
    }

    fn advance(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            self.go_down(error.to_string());
        }
    }

    fn go_down(&mut self, detail: String) {
        self.connect_deadline = None;
        if !self.is_down {
            self.is_down = true;
            self.pending.push_back(WebRtcOutput::Down(detail));
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "str0m's Event is non-exhaustive")]
    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.connect_deadline = None;
                self.carried = Some(self.last_over);
                self.pending.extend([WebRtcOutput::Up, WebRtcOutput::Carried(self.last_over)]);
            }
            // Before there was a path it only says that no candidate so far can be paired; others may follow.
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.connect_deadline.is_none() => {
                self.fall_silent("ICE: the browser's checks ceased".to_owned());
            }
            Event::Closed => self.go_down("DTLS: closed by the browser".to_owned()),
            Event::MediaEgressStats(stats) if stats.mid == self.mid => {
                if let Some(lost) = stats.loss {
                    self.pending.push_back(WebRtcOutput::Report { lost, round_trip: stats.rtt });
                }
            }
            Event::RtpPacket(packet) => {
                self.heard.get_or_insert(packet.timestamp);
                let pt = packet.header.payload_type;
                let event = self.events.iter().find(|(event, _)| *event == pt);
                let kind = match event {
                    Some(&(_, clock)) => VisitorPayload::Event(clock),
                    None if pt == self.opus => VisitorPayload::Opus,
                    None => return trace!(?pt, "payload type dropped"),
                };
                self.pending.push_back(WebRtcOutput::Packet(VisitorPacket {
                    kind,
                    sequence: *packet.seq_no,
                    timestamp: packet.header.timestamp,
                    marker: packet.header.marker,
                    ssrc: ssrc_number(packet.header.ssrc),
                    payload: packet.payload,
                }));
            }
            other => trace!(?other, "event of no consequence"),
        }
    }
}

/// The username fragments that a STUN request names, ours and the browser's, without any check of its integrity. `None` for what is
/// no STUN request.
pub(crate) fn stun_ufrags(datagram: &[u8]) -> Option<(String, String)> {
    if !is_stun(datagram) {
        return None;
    }
    let message = str0m::ice::StunMessage::parse(datagram).ok()?;
    message.split_username().map(|(local, remote)| (local.to_owned(), remote.to_owned()))
}

fn ssrc_number(ssrc: Ssrc) -> u32 {
    *ssrc
}
