//! The RTP of the SIP side (RFC 3550, RFC 3551): headers, payload types, the far end's stream, our stream. Which source is
//! believed is [`Latch`]'s business, what the payload sounds like is the transcoder's.

use std::net::SocketAddr;
use std::time::Instant;

use rtp_types::{RtpPacket, RtpPacketBuilder};
use tracing::{debug, trace};

use super::latch::Latch;
use super::rtcp::{Heard, Session};
use super::sequence::{Arrival, Sequence};
use crate::sip::sdp::{Codec, Remote, TELEPHONE_EVENT};

/// RFC 3551 section 6: comfort noise (RFC 3389) at 8 kHz.
const COMFORT_NOISE_PT: u8 = 13;

/// The RTP clock of everything that the SIP side speaks, in Hz.
pub(crate) const AGENT_CLOCK: u32 = 8000;

/// Room for the largest datagram that we send: 60 ms of G.711 (480 bytes) and its header.
const MAX_DATAGRAM: usize = 12 + 480;

/// A packet of the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AgentPacket<'a> {
    /// What the payload is.
    pub kind: AgentPayload,
    /// The stream.
    pub ssrc: u32,
    /// Its number in the stream.
    pub sequence: u16,
    /// Where it stands in its stream.
    pub arrival: Arrival,
    /// At 8 kHz.
    pub timestamp: u32,
    /// The first packet after silence.
    pub marker: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// What a payload of the far end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentPayload {
    /// G.711.
    Audio(Codec),
    /// A telephone event (RFC 4733).
    Event,
    /// A description of background noise (RFC 3389).
    ComfortNoise,
}

/// One RTP session with a far end.
#[derive(Debug)]
pub(crate) struct RtpLeg {
    media: Option<Remote>,
    /// The payload type of events before the one of now.
    former_event: Option<u8>,
    latch: Latch,
    incoming: Sequence,
    incoming_ssrc: Option<u32>,
    ssrc: u32,
    sequence: u16,
    sent_packets: u32,
    sent_octets: u32,
    jitter: Jitter,
    datagram: Vec<u8>,
}

/// Interarrival jitter (RFC 3550 appendix A.8).
#[derive(Debug, Default)]
struct Jitter {
    last: Option<(u32, Instant)>,
    /// Sixteen times the estimate, in ticks.
    scaled: u32,
}

impl Jitter {
    fn arrive(&mut self, timestamp: u32, now: Instant) {
        if let Some((before, came)) = self.last.replace((timestamp, now)) {
            let ticks = now.saturating_duration_since(came).as_micros() * u128::from(AGENT_CLOCK) / 1_000_000;
            let step = i64::from(timestamp.wrapping_sub(before).cast_signed());
            let difference = i64::try_from(ticks).unwrap_or(i64::MAX).saturating_sub(step).unsigned_abs();
            // A pause or a new timeline is no jitter: at most a second counts.
            let difference = difference.min(u64::from(AGENT_CLOCK)) as u32;
            self.scaled = (self.scaled + difference).saturating_sub((self.scaled + 8) >> 4);
        }
    }
}

impl RtpLeg {
    /// A session that sends as `ssrc` and starts at `sequence`; both are to be random (RFC 3550 section 5.1).
    pub(crate) fn new(ssrc: u32, sequence: u16) -> Self {
        Self {
            media: None,
            former_event: None,
            latch: Latch::default(),
            incoming: Sequence::default(),
            incoming_ssrc: None,
            ssrc,
            sequence,
            sent_packets: 0,
            sent_octets: 0,
            jitter: Jitter::default(),
            datagram: Vec::with_capacity(MAX_DATAGRAM),
        }
    }

    /// Takes what a new offer and answer agreed on.
    pub(crate) fn configure(&mut self, media: Remote) {
        self.latch.signal(media.rtp, media.trunk);
        let before = self.media.replace(media).and_then(|before| before.telephone_event);
        if before != media.telephone_event {
            self.former_event = before.or(self.former_event);
        }
    }

    /// What was agreed on; `None` before the first SDP of the far end.
    pub(crate) fn media(&self) -> Option<Remote> {
        self.media
    }

    /// The far end's stream, for statistics.
    pub(crate) fn incoming(&self) -> &Sequence {
        &self.incoming
    }

    /// What reports need; `timestamp` is that of our stream now.
    pub(crate) fn session(&self, timestamp: u32) -> Session {
        let heard = self.incoming_ssrc.map(|ssrc| Heard {
            ssrc,
            highest: self.incoming.highest(),
            expected: self.incoming.expected(),
            received: self.incoming.received(),
            jitter: self.jitter.scaled >> 4,
        });
        let Self { ssrc, sent_packets, sent_octets, .. } = *self;
        Session { ssrc, sent_packets, sent_octets, timestamp, heard }
    }

    /// Where RTCP goes: the port above RTP's (RFC 3550 section 11).
    pub(crate) fn rtcp_destination(&self) -> Option<SocketAddr> {
        let rtp = self.latch.destination()?;
        Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?))
    }

    /// Packets from strangers.
    pub(crate) fn rejected(&self) -> u64 {
        self.latch.rejected()
    }

    /// Takes a datagram from the RTP socket. `None` for what is no RTP, was not negotiated, or comes from a stranger.
    pub(crate) fn handle_datagram<'a>(
        &mut self,
        source: SocketAddr,
        datagram: &'a [u8],
        now: Instant,
    ) -> Option<AgentPacket<'a>> {
        let packet = RtpPacket::parse(datagram).ok()?;
        let kind = self.payload(packet.payload_type())?;
        let (ssrc, number) = (packet.ssrc(), packet.sequence_number());
        if !self.latch.admits(source, ssrc, number, now) {
            trace!(%source, ssrc, sequence = number, "RTP of a stranger dropped");
            return None;
        }
        if self.incoming_ssrc != Some(ssrc) {
            if let Some(before) = self.incoming_ssrc.replace(ssrc) {
                debug!(%source, before, ssrc, "the far end's SSRC changes");
            }
            self.incoming.forget();
            self.jitter = Jitter::default();
        }
        let arrival = self.incoming.arrive(number);
        if matches!(kind, AgentPayload::Audio(_)) {
            self.jitter.arrive(packet.timestamp(), now);
        }
        trace!(%source, ssrc, sequence = number, ?kind, ?arrival, "RTP from the far end");
        let start = packet.payload_offset();
        let payload = datagram.get(start..start + packet.payload_len())?;
        let (timestamp, marker) = (packet.timestamp(), packet.marker_bit());
        Some(AgentPacket { kind, ssrc, sequence: number, arrival, timestamp, marker, payload })
    }

    /// Writes the next packet of ours: where it goes and its bytes. `None` while the far end wants nothing.
    pub(crate) fn packet(
        &mut self,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Option<(SocketAddr, &[u8])> {
        let destination = self.latch.destination().filter(|_| self.media.is_some_and(|media| media.receives()))?;
        let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(payload_type)
            .sequence_number(self.sequence)
            .timestamp(timestamp)
            .ssrc(self.ssrc)
            .marker_bit(marker)
            .payload(payload);
        self.datagram.clear();
        if let Err(error) = packet.write_into_vec(&mut self.datagram) {
            debug!(%destination, %error, "RTP not written");
            return None;
        }
        trace!(%destination, ssrc = self.ssrc, sequence = self.sequence, payload_type, "RTP to the far end");
        self.sequence = self.sequence.wrapping_add(1);
        self.sent_packets = self.sent_packets.wrapping_add(1);
        self.sent_octets = self.sent_octets.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
        Some((destination, &self.datagram))
    }

    fn payload(&self, payload_type: u8) -> Option<AgentPayload> {
        let media = self.media.as_ref()?;
        match payload_type {
            chosen if chosen == media.payload_type => Some(AgentPayload::Audio(media.codec)),
            event if media.telephone_event == Some(event) => Some(AgentPayload::Event),
            // We offered both laws under their static numbers, and a peer may change between them.
            0 => Some(AgentPayload::Audio(Codec::Pcmu)),
            8 => Some(AgentPayload::Audio(Codec::Pcma)),
            COMFORT_NOISE_PT => Some(AgentPayload::ComfortNoise),
            // RFC 3264 section 5.1: what comes to us has the number that we offered, whatever number the answer has for its own way;
            // and until our answer to a new offer is there, the one before.
            TELEPHONE_EVENT => Some(AgentPayload::Event),
            event if self.former_event == Some(event) => Some(AgentPayload::Event),
            _ => None,
        }
    }
}
