//! A bridge joins the visitor's leg with the far end's: audio and keys both ways, ringback while nobody sends audio. It is
//! told packets and the time, and says what to send; it owns no socket and reads no clock.
//!
//! Deliberately not here: DTLS-SRTP ([`super::webrtc`]), sockets ([`super::worker`]), and any decision about the call.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dsp::g711::Law;
use dsp::telephone_event::Packet;
use dsp::{Digit, SampleRate};
use protocol::gateway::{CallStats, Side};
use tracing::{debug, trace};

use super::away::StandIn;
use super::dtmf::{Key, KeyReceiver, KeySender};
use super::outbox::{BridgeOutput, Outbox};
use super::ringback::RingbackTone;
use super::rtcp::Reporter;
use super::rtp::{AgentPayload, RtpLeg};
use super::sequence::{Arrival, Sequence};
use super::transcode::{Coding, Decoder, Encoder, Frame, OPUS_FRAME};
use super::webrtc::{VisitorPacket, VisitorPayload};
use crate::config::{AwayTone, Ringback};
use crate::sip::sdp::{Codec, Remote};

/// How often a packet of ringback is due.
const RINGBACK_INTERVAL: Duration = Duration::from_millis(20);

/// The longest packet of the far end that is taken: 120 ms of G.711. None sends more than 60 ms.
const MAX_AGENT_SAMPLES: usize = 960;

/// The longest ptime that we send: 60 ms of G.711.
const MAX_PTIME_SAMPLES: usize = 480;

/// How long a key of [`Bridge::press`] sounds: what the panel lets the browser's own keys sound.
const KEY_HELD: Duration = Duration::from_millis(120);

/// The random numbers that a bridge starts from (RFC 3550 section 5.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    /// Our SSRC towards the far end.
    pub ssrc: u32,
    /// Our first sequence number towards the far end.
    pub agent_sequence: u16,
    /// Our first timestamp towards the far end.
    pub agent_timestamp: u32,
    /// NTP time now, in 32.32 fixed point (RFC 3550 section 4).
    pub ntp: u64,
    /// Our first sequence number towards the visitor.
    pub visitor_sequence: u16,
    /// Our first timestamp towards the visitor, in 48 kHz ticks divided by six.
    pub visitor_timestamp: u32,
}

/// The state of one bridge.
pub(crate) struct Bridge {
    rtp: RtpLeg,
    decoder: Decoder,
    encoder: Encoder,
    visitor: Sequence,
    visitor_ssrc: Option<u32>,
    visitor_gap: bool,
    agent_gap: bool,
    visitor_keys: KeyReceiver,
    agent_keys: KeyReceiver,
    relay: KeySender,
    reporter: Reporter,
    tone: Ringback,
    ringing: Option<Ringing>,
    away_tone: AwayTone,
    /// The visitor's page is gone: what its leg still brings is not taken.
    is_away: bool,
    /// What the far end hears until a leg's audio comes.
    stand_in: Option<StandIn>,
    farewell_said: bool,
    outbox: Outbox,
}

struct Ringing {
    tone: RingbackTone,
    due: Instant,
}

impl Bridge {
    /// A bridge without a far end as yet.
    ///
    /// # Errors
    /// What libopus says when it has no memory.
    pub(crate) fn new(seed: Seed, tone: Ringback, away_tone: AwayTone, now: Instant) -> Result<Self, opus::Error> {
        Ok(Self {
            rtp: RtpLeg::new(seed.ssrc, seed.agent_sequence),
            decoder: Decoder::new(seed.agent_timestamp)?,
            encoder: Encoder::new(seed.visitor_sequence >> 1, seed.visitor_timestamp)?,
            visitor: Sequence::default(),
            visitor_ssrc: None,
            visitor_gap: false,
            agent_gap: false,
            visitor_keys: KeyReceiver::new(SampleRate::HZ_48000, now),
            agent_keys: KeyReceiver::new(SampleRate::HZ_8000, now),
            relay: KeySender::new(seed.agent_timestamp, now),
            reporter: Reporter::new(seed.ntp, seed.ssrc, now),
            tone,
            ringing: None,
            away_tone,
            is_away: false,
            stand_in: None,
            farewell_said: false,
            outbox: Outbox::default(),
        })
    }

    /// Plays ringback to the visitor until the far end is heard or has answered.
    pub(crate) fn ring(&mut self, now: Instant) {
        if self.ringing.is_none() && self.rtp.incoming().received() == 0 {
            self.ringing = RingbackTone::new(self.tone).map(|tone| Ringing { tone, due: now });
        }
    }

    /// Takes what offer and answer agreed on with the far end: early media, the answer, or a change of either.
    pub(crate) fn connect(&mut self, remote: Remote, now: Instant) {
        self.reporter.begin(now);
        let samples = (remote.ptime.as_millis() * 8).clamp(80, MAX_PTIME_SAMPLES as u128);
        self.decoder.set_ptime(samples as u16);
        if let Coding::G711(_) = self.encoder.coding() {
            self.encoder.recode(Coding::G711(law(remote.codec)));
        }
        self.rtp.configure(remote);
    }

    /// The far end has answered: no more ringback.
    pub(crate) fn answered(&mut self) {
        self.ringing = None;
    }

    /// The visitor's page is gone and may come back: the far end hears that, then silence.
    pub(crate) fn away(&mut self, now: Instant) {
        self.is_away = true;
        self.stand_in = Some(StandIn::away(self.away_tone, now));
    }

    /// Tells the far end that the visitor will not come back.
    pub(crate) fn say_farewell(&mut self, now: Instant) {
        self.is_away = true;
        self.stand_in = Some(StandIn::farewell(self.away_tone, now));
    }

    /// Whether the farewell has just been said.
    pub(crate) fn poll_farewell(&mut self) -> bool {
        std::mem::take(&mut self.farewell_said)
    }

    /// Goes on with another leg of the visitor, for which packets are numbered from the lower half of `sequence`. Counts and
    /// the far end's timeline go on; until the leg's audio comes, the far end hears silence.
    pub(crate) fn replace_visitor(&mut self, sequence: u16, now: Instant) {
        self.is_away = false;
        self.visitor.forget();
        self.visitor_ssrc = None;
        self.visitor_gap = false;
        self.decoder.forget();
        self.encoder.renumber(sequence >> 1);
        if self.rtp.media().is_some() {
            self.stand_in.get_or_insert_with(|| StandIn::silence(now)).next_page();
        }
    }

    /// The visitor's audio goes another way from now on, coded like `coding` towards the visitor, in packets numbered from `sequence`. The
    /// far end's timeline goes on. Returns the number that would have come next on the way before.
    pub(crate) fn redirect_visitor(&mut self, coding: Coding, sequence: u64, now: Instant) -> u64 {
        self.visitor.forget();
        self.visitor_ssrc = None;
        self.visitor_gap = false;
        self.decoder.forget();
        if self.rtp.media().is_some() {
            self.stand_in.get_or_insert_with(|| StandIn::silence(now));
        }
        self.encoder.redirect(coding, sequence)
    }

    /// Codes like this towards the visitor, the same way.
    pub(crate) fn recode_visitor(&mut self, coding: Coding) {
        self.encoder.recode(coding);
    }

    /// The far end's codec, once it is known.
    pub(crate) fn agent_codec(&self) -> Option<Codec> {
        self.rtp.media().map(|remote| remote.codec)
    }

    /// The visitor pressed keys: they are reported and sent on, one after the other.
    pub(crate) fn press(&mut self, digits: &str, now: Instant) {
        let Self { outbox, relay, decoder, .. } = self;
        for digit in digits.chars().filter_map(Digit::from_char) {
            visitor_key(Key::Pressed { digit, held: KEY_HELD }, outbox, relay, decoder, now);
            visitor_key(Key::Released { digit, held: KEY_HELD }, outbox, relay, decoder, now);
        }
        self.send_keys(now);
    }

    /// Takes a packet of the visitor.
    pub(crate) fn handle_visitor(&mut self, packet: &VisitorPacket, now: Instant) {
        if self.is_away {
            return;
        }
        if self.visitor_ssrc.replace(packet.ssrc).is_some_and(|before| before != packet.ssrc) {
            self.visitor.forget();
            self.decoder.forget();
        }
        // The low bits: str0m has extended the number, and the tracker counts restarts by itself.
        let arrival = self.visitor.arrive(packet.sequence as u16);
        trace!(ssrc = packet.ssrc, sequence = packet.sequence, kind = ?packet.kind, ?arrival, "RTP from the visitor");
        if !notes_gap(arrival, &mut self.visitor_gap) {
            return;
        }
        match packet.kind {
            VisitorPayload::Opus | VisitorPayload::G711(_) => self.visitor_audio(packet, now),
            VisitorPayload::Event(clock) => {
                self.visitor_gap = false;
                let VisitorPacket { ssrc, timestamp, marker, .. } = *packet;
                let event = Packet { ssrc, timestamp, marker, payload: &packet.payload };
                let Self { visitor_keys, outbox, relay, decoder, .. } = self;
                visitor_keys.receive(event, clock, now, |key| visitor_key(key, outbox, relay, decoder, now));
                self.send_keys(now);
            }
        }
    }

    /// Takes a datagram from the RTP socket.
    pub(crate) fn handle_agent(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        let Some(packet) = self.rtp.handle_datagram(source, datagram, now) else { return };
        if !notes_gap(packet.arrival, &mut self.agent_gap) {
            return;
        }
        match packet.kind {
            AgentPayload::Audio(codec) => {
                self.ringing = None;
                let mut pcm = [0; MAX_AGENT_SAMPLES];
                let length = law(codec).decode(packet.payload, &mut pcm);
                let samples = pcm.get(..length).unwrap_or_default();
                let is_gap = std::mem::take(&mut self.agent_gap);
                self.encoder.push(samples, packet.timestamp, is_gap, now, |coded| self.outbox.send_visitor(coded));
            }
            AgentPayload::Event => {
                self.agent_gap = false;
                let event = Packet {
                    ssrc: packet.ssrc,
                    timestamp: packet.timestamp,
                    marker: packet.marker,
                    payload: packet.payload,
                };
                let outbox = &mut self.outbox;
                self.agent_keys.receive(event, SampleRate::HZ_8000, now, |key| report(outbox, Side::Agent, key));
            }
            // The browser makes its own noise of the silence that we leave.
            AgentPayload::ComfortNoise => self.agent_gap = false,
        }
    }

    /// Takes a datagram from the RTCP socket. It steers nothing, so it is enough that it comes from the far end's host.
    pub(crate) fn handle_agent_report(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        if self.rtp.rtcp_destination().is_some_and(|known| known.ip() == source.ip()) {
            self.reporter.handle(datagram, now);
        }
    }

    /// Tells the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Self { visitor_keys, agent_keys, outbox, relay, decoder, .. } = self;
        visitor_keys.handle_timeout(now, |key| visitor_key(key, outbox, relay, decoder, now));
        agent_keys.handle_timeout(now, |key| report(outbox, Side::Agent, key));
        self.send_keys(now);
        let session = self.rtp.session(self.decoder.timestamp_at(now));
        if let Some(report) = self.reporter.report(&session, now)
            && let Some(destination) = self.rtp.rtcp_destination()
        {
            self.outbox.send_report(destination, &report);
        }
        if let Some(ringing) = self.ringing.as_mut().filter(|ringing| ringing.due <= now) {
            let mut pcm = [0; OPUS_FRAME];
            ringing.tone.fill(&mut pcm);
            ringing.due += RINGBACK_INTERVAL;
            if ringing.due <= now {
                // Behind by more than a packet: what was not played then is not played now.
                ringing.due = now + RINGBACK_INTERVAL;
            }
            self.encoder.push_local(&pcm, now, |coded| self.outbox.send_visitor(coded));
        }
        self.play_stand_in(now);
    }

    /// When [`Self::handle_timeout`] is due; `None` when nothing waits.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let ringing = self.ringing.as_ref().map(|ringing| ringing.due);
        let keys = [self.visitor_keys.poll_timeout(), self.agent_keys.poll_timeout(), self.relay.poll_timeout()];
        let stand_in = self.stand_in.as_ref().map(StandIn::due);
        keys.into_iter().chain([ringing, stand_in, self.reporter.poll_timeout()]).flatten().min()
    }

    /// The next thing to be done; `None` when there is nothing more until an input or [`Self::poll_timeout`].
    pub(crate) fn poll_output(&mut self) -> Option<BridgeOutput<'_>> {
        self.outbox.poll()
    }

    /// What was counted so far; the Call-ID is the SIP side's to add.
    pub(crate) fn stats(&self) -> CallStats {
        let (visitor, agent) = (&self.visitor, self.rtp.incoming());
        CallStats {
            visitor_packets: visitor.received(),
            agent_packets: agent.received(),
            visitor_lost: visitor.lost(),
            agent_lost: agent.lost(),
            sip_call_id: None,
        }
    }

    /// Packets on the RTP port that were not the far end's.
    pub(crate) fn rejected(&self) -> u64 {
        self.rtp.rejected()
    }

    fn visitor_audio(&mut self, packet: &VisitorPacket, now: Instant) {
        let is_gap = std::mem::take(&mut self.visitor_gap);
        self.stand_in = None;
        let Some(remote) = self.rtp.media().filter(Remote::receives) else { return };
        let Self { decoder, rtp, outbox, relay, .. } = self;
        let send = |frame: Frame<'_>| send_frame(frame, &remote, relay, rtp, outbox);
        let decoded = match packet.kind {
            VisitorPayload::G711(law) => {
                decoder.push_g711(law, &packet.payload, packet.timestamp, now, send);
                Ok(())
            }
            VisitorPayload::Opus | VisitorPayload::Event(_) => {
                decoder.push(&packet.payload, packet.timestamp, is_gap, now, send)
            }
        };
        if let Err(error) = decoded {
            debug!(ssrc = packet.ssrc, sequence = packet.sequence, %error, "no Opus");
        }
    }

    fn play_stand_in(&mut self, now: Instant) {
        let Self { decoder, rtp, outbox, relay, stand_in, farewell_said, .. } = self;
        let Some(pcm) = stand_in.as_mut().and_then(|it| it.next(now)) else { return };
        if let Some(remote) = rtp.media().filter(Remote::receives) {
            decoder.push_local(&pcm, now, |frame| send_frame(frame, &remote, relay, rtp, outbox));
        }
        if stand_in.take_if(|it| it.has_said_farewell()).is_some() {
            *farewell_said = true;
        }
    }

    fn send_keys(&mut self, now: Instant) {
        let Self { decoder, rtp, outbox, relay, .. } = self;
        let event_pt = rtp.media().filter(Remote::receives).and_then(|remote| remote.telephone_event);
        relay.advance(decoder.timestamp_at(now), now, |packet| {
            // A far end that understands no events gets none: what nobody wants is drained all the same.
            let Some(event_pt) = event_pt else { return };
            if let Some((to, datagram)) = rtp.packet(event_pt, packet.timestamp, packet.marker, &packet.payload) {
                outbox.send_agent(to, datagram);
            }
        });
    }
}

fn send_frame(frame: Frame<'_>, remote: &Remote, relay: &KeySender, rtp: &mut RtpLeg, outbox: &mut Outbox) {
    if relay.is_sending() {
        // RFC 4733 section 2.5.1.2: the event stands in the audio's place.
        return;
    }
    let mut payload = [0; MAX_PTIME_SAMPLES];
    let length = law(remote.codec).encode(frame.samples, &mut payload);
    let payload = payload.get(..length).unwrap_or_default();
    if let Some((to, datagram)) = rtp.packet(remote.payload_type, frame.timestamp, frame.marker, payload) {
        outbox.send_agent(to, datagram);
    }
}

fn visitor_key(key: Key, outbox: &mut Outbox, relay: &mut KeySender, decoder: &Decoder, now: Instant) {
    report(outbox, Side::Visitor, key);
    match key {
        Key::Pressed { .. } => {}
        Key::Released { digit, held } => relay.press(digit, held, decoder.timestamp_at(now), now),
    }
}

/// Keeps in mind that packets are missing before the next audio. Returns whether the packet is of use.
fn notes_gap(arrival: Arrival, gap: &mut bool) -> bool {
    match arrival {
        Arrival::First => *gap = false,
        Arrival::Next { missing } => *gap |= missing > 0,
        Arrival::Late | Arrival::Suspect => return false,
    }
    true
}

fn report(outbox: &mut Outbox, from: Side, key: Key) {
    match key {
        Key::Pressed { digit, held } => outbox.digit(from, digit.as_char(), held.as_millis() as u32),
        Key::Released { .. } => {}
    }
}

fn law(codec: Codec) -> Law {
    match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    }
}
