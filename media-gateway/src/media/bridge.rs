//! A bridge joins the visitor's leg with the far end's: audio and keys both ways, ringback while nobody sends audio. It is
//! told packets and the time, and says what to send; it owns no socket and reads no clock.
//!
//! Audio passes in three steps: packets into a playout buffer as they come; every 20 ms one piece out of each, on one clock for both
//! ways ([`Bridge::hear_agent`], [`Bridge::hear_visitor`]: who wants to listen to decoded audio, or to change it, does it there);
//! pieces into packets.
//!
//! Deliberately not here: DTLS-SRTP ([`super::webrtc`]), sockets ([`super::worker`]), and any decision about the call.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dsp::g711::Law;
use dsp::playout::{Content, Stats};
use dsp::telephone_event::Packet;
use dsp::{Digit, SampleRate};
use protocol::gateway::{CallStats, Side, Tone};
use protocol::visitor::Quality;
use tracing::trace;

use super::away::StandIn;
use super::clock::Clock;
use super::dtmf::{Key, KeyReceiver};
use super::incoming::{AgentAudio, AudioError, PIECE_SAMPLES, Piece, VisitorAudio};
use super::notice::Notice;
use super::outbox::{BridgeOutput, Outbox};
use super::quality::Adaptation;
use super::relay::KeyRelay;
use super::ringback::RingbackTone;
use super::rtcp::Reporter;
use super::rtp::{AgentPacket, AgentPayload, RtpLeg};
use super::sequence::{Arrival, Sequence};
use super::silence::SilenceWatch;
use super::tones::ToneReceiver;
use super::transcode::{Coding, Encoder, Frame, Framer};
use super::webrtc::{VisitorPacket, VisitorPayload};
use crate::config::{AwayTone, Dtmf, Ringback};
use crate::once::Way;
use crate::sip::sdp::{Codec, Direction, Remote};

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
    clock: Clock,
    from_visitor: VisitorAudio,
    from_agent: AgentAudio,
    to_agent: Framer,
    to_visitor: Encoder,
    adaptation: Adaptation,
    visitor: Sequence,
    visitor_ssrc: Option<u32>,
    visitor_keys: KeyReceiver,
    agent_keys: KeyReceiver,
    relay: KeyRelay,
    dtmf: Dtmf,
    agent_tones: ToneReceiver,
    /// Keys of the far end come as tones only.
    agent_has_no_events: bool,
    reporter: Reporter,
    silence: SilenceWatch,
    tone: Ringback,
    ringing: Option<RingbackTone>,
    away_tone: AwayTone,
    /// The visitor's page is gone: what its leg still brings is not taken.
    is_away: bool,
    /// What the far end hears until a leg's audio comes.
    stand_in: Option<StandIn>,
    /// A tone over what the far end hears.
    notice: Option<Notice>,
    farewell_said: bool,
    outbox: Outbox,
}

impl Bridge {
    /// A bridge without a far end as yet.
    ///
    /// # Errors
    /// [`AudioError`].
    pub(crate) fn new(seed: Seed, tone: Ringback, away_tone: AwayTone, now: Instant) -> Result<Self, AudioError> {
        let adaptation = Adaptation::new(Quality::Standard);
        Ok(Self {
            rtp: RtpLeg::new(seed.ssrc, seed.agent_sequence),
            clock: Clock::default(),
            from_visitor: VisitorAudio::new(now)?,
            from_agent: AgentAudio::new(now)?,
            to_agent: Framer::new(seed.agent_timestamp),
            to_visitor: Encoder::new(seed.visitor_sequence >> 1, seed.visitor_timestamp, adaptation.settings())?,
            adaptation,
            visitor: Sequence::default(),
            visitor_ssrc: None,
            visitor_keys: KeyReceiver::new(SampleRate::HZ_48000, now),
            agent_keys: KeyReceiver::new(SampleRate::HZ_8000, now),
            relay: KeyRelay::new(seed.agent_timestamp, now),
            dtmf: Dtmf::Auto,
            agent_tones: ToneReceiver::default(),
            agent_has_no_events: false,
            reporter: Reporter::new(seed.ntp, seed.ssrc, now),
            silence: SilenceWatch::default(),
            tone,
            ringing: None,
            away_tone,
            is_away: false,
            stand_in: None,
            notice: None,
            farewell_said: false,
            outbox: Outbox::default(),
        })
    }

    /// A far end that has answered may be silent for so long; `None`: for ever.
    pub(crate) fn limit_silence(&mut self, limit: Option<Duration>) {
        self.silence.limit(limit);
    }

    /// How keys travel between us and the far end.
    pub(crate) fn set_dtmf(&mut self, dtmf: Dtmf) {
        self.dtmf = dtmf;
    }

    /// For how long the far end has been silent, when that has just become too long.
    pub(crate) fn poll_silence(&mut self, now: Instant) -> Option<Duration> {
        self.silence.has_passed(now)
    }

    /// Plays ringback to the visitor until the far end is heard or has answered.
    pub(crate) fn ring(&mut self, now: Instant) {
        if self.ringing.is_none() && self.rtp.incoming().received() == 0 {
            self.ringing = RingbackTone::new(self.tone);
            self.clock.start(now);
        }
    }

    /// Takes what offer and answer agreed on with the far end: early media, the answer, or a change of either.
    pub(crate) fn connect(&mut self, remote: Remote, now: Instant) {
        self.reporter.begin(now);
        let samples = (remote.ptime.as_millis() * 8).clamp(80, MAX_PTIME_SAMPLES as u128);
        self.to_agent.set_size(samples as usize);
        if let Coding::G711(_) = self.to_visitor.coding() {
            self.to_visitor.recode(Coding::G711(law(remote.codec)));
        }
        let as_tones = match self.dtmf {
            Dtmf::Auto => remote.telephone_event.is_none(),
            Dtmf::Events => false,
            Dtmf::Tones => true,
        };
        self.agent_has_no_events = as_tones;
        self.relay.send_tones(as_tones);
        self.silence.agreed(remote.rtp.is_some() && remote.direction == Direction::SendRecv, now);
        self.rtp.configure(remote);
    }

    /// What the visitor chose for quality, traffic and power.
    pub(crate) fn set_quality(&mut self, quality: Quality) {
        self.adaptation.choose(quality);
        self.to_visitor.set_opus(self.adaptation.settings());
    }

    /// What the browser reports of the packets that we sent: the share that was lost, 0 to 1, and the round trip.
    pub(crate) fn handle_visitor_report(&mut self, lost: f32, round_trip: Option<Duration>) {
        self.adaptation.report(lost, round_trip);
        self.to_visitor.set_opus(self.adaptation.settings());
    }

    /// The far end has answered: no more ringback.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.ringing = None;
        self.silence.answered(now);
    }

    /// The visitor's page is gone and may come back: the far end hears that, then silence.
    pub(crate) fn away(&mut self, now: Instant) {
        self.is_away = true;
        // What was keyed has its own tone.
        let tone = if self.notice.is_some() { AwayTone::Off } else { self.away_tone };
        self.stand_in = Some(StandIn::away(tone));
        self.clock.start(now);
    }

    /// Tells the far end what has become of its command.
    pub(crate) fn notify(&mut self, tone: Tone, now: Instant) {
        if self.rtp.media().is_some() {
            self.notice = Some(Notice::new(tone));
            self.clock.start(now);
        }
    }

    /// The visitor's path is gone: silence goes on in its place, until it is known what becomes of the visitor.
    pub(crate) fn path_lost(&mut self, now: Instant) {
        if self.rtp.media().is_some() {
            self.stand_in.get_or_insert_with(StandIn::silence);
            self.clock.start(now);
        }
    }

    /// The visitor who was away is heard again as soon as audio comes.
    pub(crate) fn visitor_returns(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_away) {
            self.stand_in = Some(StandIn::silence());
            self.clock.start(now);
        }
    }

    /// Tells the far end that the visitor will not come back.
    pub(crate) fn say_farewell(&mut self, now: Instant) {
        self.is_away = true;
        self.stand_in = Some(StandIn::farewell(self.away_tone));
        self.clock.start(now);
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
        self.from_visitor.forget();
        self.to_visitor.renumber(sequence >> 1);
        if self.rtp.media().is_some() {
            self.stand_in.get_or_insert_with(StandIn::silence).next_page();
            self.clock.start(now);
        }
    }

    /// The visitor's audio goes another way from now on, coded like `coding` towards the visitor, in packets numbered from `sequence`. The
    /// far end's timeline goes on. Returns the number that would have come next on the way before.
    pub(crate) fn redirect_visitor(&mut self, coding: Coding, sequence: u64, now: Instant) -> u64 {
        self.visitor.forget();
        self.visitor_ssrc = None;
        self.from_visitor.forget();
        if self.rtp.media().is_some() {
            self.stand_in.get_or_insert_with(StandIn::silence);
            self.clock.start(now);
        }
        self.to_visitor.redirect(coding, sequence)
    }

    /// Codes like this towards the visitor, the same way.
    pub(crate) fn recode_visitor(&mut self, coding: Coding) {
        self.to_visitor.recode(coding);
    }

    /// The far end's codec, once it is known.
    pub(crate) fn agent_codec(&self) -> Option<Codec> {
        self.rtp.media().map(|remote| remote.codec)
    }

    /// The visitor pressed keys: they are reported and sent on, one after the other.
    pub(crate) fn press(&mut self, digits: &str, now: Instant) {
        let Self { outbox, relay, to_agent, .. } = self;
        for digit in digits.chars().filter_map(Digit::from_char) {
            visitor_key(Key::Pressed { digit, held: KEY_HELD }, outbox, relay, to_agent, now);
            visitor_key(Key::Released { digit, held: KEY_HELD }, outbox, relay, to_agent, now);
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
        }
        let VisitorPacket { ssrc, timestamp, marker, kind, .. } = *packet;
        // The low bits: str0m has extended the number, and the trackers count restarts by themselves.
        let number = packet.sequence as u16;
        let arrival = self.visitor.arrive(number);
        trace!(ssrc, sequence = packet.sequence, ?kind, ?arrival, "RTP from the visitor");
        match kind {
            VisitorPayload::Opus | VisitorPayload::G711(_) => {
                let law = if let VisitorPayload::G711(law) = kind { Some(law) } else { None };
                self.clock.start(now);
                let arrival = self.from_visitor.push(law, (ssrc, number, timestamp), &packet.payload, now);
                trace!(ssrc, sequence = packet.sequence, ?arrival, "audio");
            }
            VisitorPayload::Event(clock) if is_of_stream(arrival) => {
                self.from_visitor.leave_out(number);
                let event = Packet { ssrc, timestamp, marker, payload: &packet.payload };
                let Self { visitor_keys, outbox, relay, to_agent, .. } = self;
                visitor_keys.receive(event, clock, now, |key| visitor_key(key, outbox, relay, to_agent, now));
                self.send_keys(now);
            }
            VisitorPayload::Event(_) => {}
        }
    }

    /// Takes a datagram from the RTP socket.
    pub(crate) fn handle_agent(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        let Some(packet) = self.rtp.handle_datagram(source, datagram, now) else { return };
        self.silence.heard(now);
        let AgentPacket { ssrc, sequence, timestamp, marker, payload, .. } = packet;
        match packet.kind {
            AgentPayload::Audio(codec) => {
                self.clock.start(now);
                let arrival = self.from_agent.push(law(codec), (ssrc, sequence, timestamp), payload, now);
                trace!(ssrc, sequence, ?arrival, "G.711");
            }
            AgentPayload::Event if is_of_stream(packet.arrival) => {
                self.from_agent.leave_out(sequence);
                let event = Packet { ssrc, timestamp, marker, payload };
                let outbox = &mut self.outbox;
                self.agent_keys
                    .receive(event, SampleRate::HZ_8000, now, |key| report(outbox, Side::Agent, Way::Event, key));
            }
            // The browser makes its own noise of the silence that we leave.
            AgentPayload::ComfortNoise if is_of_stream(packet.arrival) => self.from_agent.leave_out(sequence),
            AgentPayload::Event | AgentPayload::ComfortNoise => {}
        }
    }

    /// Takes a datagram from the RTCP socket. It steers nothing, so it is enough that it comes from the far end's host.
    pub(crate) fn handle_agent_report(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        if self.rtp.rtcp_destination().is_some_and(|known| known.ip() == source.ip()) {
            self.silence.heard(now);
            self.reporter.handle(datagram, now);
        }
    }

    /// Tells the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Self { visitor_keys, agent_keys, outbox, relay, to_agent, .. } = self;
        visitor_keys.handle_timeout(now, |key| visitor_key(key, outbox, relay, to_agent, now));
        agent_keys.handle_timeout(now, |key| report(outbox, Side::Agent, Way::Event, key));
        while let Some(due) = self.clock.tick(now) {
            self.hear_agent(due);
            self.hear_visitor(due);
        }
        self.send_keys(now);
        let session = self.rtp.session(self.to_agent.timestamp_at(now));
        if let Some(report) = self.reporter.report(&session, now)
            && let Some(destination) = self.rtp.rtcp_destination()
        {
            self.outbox.send_report(destination, &report);
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` when nothing waits.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let keys = [self.visitor_keys.poll_timeout(), self.agent_keys.poll_timeout(), self.relay.poll_timeout()];
        let others = [self.clock.poll_timeout(), self.reporter.poll_timeout(), self.silence.poll_timeout()];
        keys.into_iter().chain(others).flatten().min()
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

    /// How playout fared: the visitor's audio, the far end's.
    pub(crate) fn playout(&self) -> [Stats; 2] {
        [self.from_visitor.stats(), self.from_agent.stats()]
    }

    /// Packets on the RTP port that were not the far end's.
    pub(crate) fn rejected(&self) -> u64 {
        self.rtp.rejected()
    }

    /// The piece of the far end's audio that is due: to the visitor.
    fn hear_agent(&mut self, due: Instant) {
        let mut piece: Piece = [0.0; PIECE_SAMPLES];
        let content = self.from_agent.pull(&mut piece, due);
        self.take_tones(&mut piece, due);
        let heard = match (content, &mut self.ringing) {
            (Content::Sound, ringing) => {
                *ringing = None;
                Some(&piece)
            }
            (Content::Silence, Some(tone)) => {
                tone.fill(&mut piece);
                Some(&piece)
            }
            (Content::Silence, None) => None,
        };
        self.to_visitor.push(heard, due, |coded| self.outbox.send_visitor(coded));
    }

    /// Finds keys of the far end in its audio and takes them out. Where they come as events, tones beside those are taken out as soon, and
    /// others once it is sure that they are: speech is not to suffer for what seldom happens.
    fn take_tones(&mut self, piece: &mut Piece, due: Instant) {
        if self.dtmf == Dtmf::Events {
            return;
        }
        let is_wary = self.agent_has_no_events || self.agent_keys.is_busy(due);
        let Self { agent_tones, relay, outbox, .. } = self;
        agent_tones.take(piece, is_wary, due, |key| {
            if !relay.echoes(key, due) {
                report(outbox, Side::Agent, Way::Tone, key);
            }
        });
    }

    /// The piece of the visitor's audio that is due, or of what stands in for it, and a tone over it: to the far end.
    fn hear_visitor(&mut self, due: Instant) {
        let mut piece: Piece = [0.0; PIECE_SAMPLES];
        let content = if self.is_away { Content::Silence } else { self.from_visitor.pull(&mut piece, due) };
        let mut is_heard = match (content, &mut self.stand_in) {
            (Content::Sound, stand_in) => {
                *stand_in = None;
                true
            }
            (Content::Silence, Some(stand_in)) => {
                stand_in.fill(&mut piece);
                true
            }
            (Content::Silence, None) => false,
        };
        let is_keying = self.relay.is_sending(due);
        is_heard |= self.relay.fill(&mut piece);
        // Events would stand in its place, and tones are to be understood.
        if let Some(notice) = self.notice.as_mut().filter(|_| !is_keying) {
            is_heard = true;
            if notice.mix(&mut piece) {
                self.notice = None;
            }
        }
        let heard = is_heard.then_some(&piece);
        let Self { rtp, outbox, relay, to_agent, .. } = self;
        match rtp.media().filter(Remote::receives) {
            Some(remote) => to_agent.push(heard, due, |frame| send_frame(frame, &remote, relay, rtp, outbox)),
            None => to_agent.push(None, due, |_| {}),
        }
        if self.stand_in.take_if(|it| it.has_said_farewell()).is_some() {
            self.farewell_said = true;
        }
    }

    fn send_keys(&mut self, now: Instant) {
        let Self { clock, to_agent, rtp, outbox, relay, .. } = self;
        if relay.is_sending_tones() {
            clock.start(now);
        }
        let event_pt = rtp.media().filter(Remote::receives).and_then(|remote| remote.telephone_event);
        relay.advance(to_agent.timestamp_at(now), now, |packet| {
            // A far end that understands no events gets none: what nobody wants is drained all the same.
            let Some(event_pt) = event_pt else { return };
            if let Some((to, datagram)) = rtp.packet(event_pt, packet.timestamp, packet.marker, &packet.payload) {
                outbox.send_agent(to, datagram);
            }
        });
    }
}

fn send_frame(frame: Frame<'_>, remote: &Remote, relay: &KeyRelay, rtp: &mut RtpLeg, outbox: &mut Outbox) {
    if relay.is_sending_events() {
        // RFC 4733 section 2.5.1.2: the event stands in the audio's place.
        return;
    }
    let mut payload = [0; MAX_PTIME_SAMPLES];
    let mut linear = [0; MAX_PTIME_SAMPLES];
    let length = law(remote.codec).encode(frame.to_i16(&mut linear), &mut payload);
    let payload = payload.get(..length).unwrap_or_default();
    if let Some((to, datagram)) = rtp.packet(remote.payload_type, frame.timestamp, frame.marker, payload) {
        outbox.send_agent(to, datagram);
    }
}

fn visitor_key(key: Key, outbox: &mut Outbox, relay: &mut KeyRelay, to_agent: &Framer, now: Instant) {
    report(outbox, Side::Visitor, Way::Event, key);
    relay.handle(key, to_agent.timestamp_at(now), now);
}

/// Whether a packet that does not wait for its turn is of use. What is late may be all that is left of a key.
fn is_of_stream(arrival: Arrival) -> bool {
    match arrival {
        Arrival::First | Arrival::Next { .. } | Arrival::Late => true,
        Arrival::Suspect => false,
    }
}

fn report(outbox: &mut Outbox, from: Side, way: Way, key: Key) {
    match key {
        Key::Pressed { digit, held } => outbox.digit(from, way, digit.as_char(), held.as_millis() as u32),
        Key::Released { digit, held } if from == Side::Agent => {
            outbox.up(way, digit.as_char(), held.as_millis() as u32)
        }
        Key::Released { .. } => {}
    }
}

fn law(codec: Codec) -> Law {
    match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    }
}
