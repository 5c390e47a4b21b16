//! One call in the media thread: a visitor's leg, a bridge and the far end's RTP socket, and the plumbing between them.

mod gate;
mod standby;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use metrics::Counter;
use mio::net::UdpSocket;
use protocol::CallId;
use protocol::gateway::{CallFrame, CallStats, Transport};
use protocol::visitor::FrameCodec;
use tokio::sync::mpsc;
use tracing::{debug, info, trace};

use super::bridge::Bridge;
use super::budget::Budget;
use super::frames::{self, FramePath};
use super::incoming::RATE;
use super::outbox::BridgeOutput;
use super::tcp::Connections;
use super::transcode::Coded;
use super::transcode::Coding;
use super::webrtc::{OpusPacket, Way, WebRtcLeg, WebRtcOutput};
use super::{CallOrder, MediaEvent};
use crate::config::Dtmf;
use gate::Gate;
use standby::{Retired, Standby};

/// The earliest next timer. Were a leg to ask for the time again and again, it could not spin the thread.
const MIN_TIMER: Duration = Duration::from_millis(1);

/// Keys that wait for [`crate::control`]; other events are few by nature and never dropped.
const MAX_BACKLOG: usize = 4096;

/// What calls share: the WebRTC socket, the way out for events, counters.
pub(crate) struct Shared {
    /// The WebRTC socket.
    pub socket: UdpSocket,
    /// Browsers' TCP connections.
    pub tcp: Connections,
    /// Events that wait for room in the channel.
    pub backlog: VecDeque<MediaEvent>,
    /// Frames for visitors.
    pub frames: mpsc::Sender<CallFrame>,
    /// Counters.
    pub counters: Counters,
}

/// Handles of the media thread's counters, made once: looking one up costs more than counting.
pub(crate) struct Counters {
    /// Packets from browsers.
    pub visitor_in: Counter,
    /// Packets to browsers.
    pub visitor_out: Counter,
    /// Frames from visitors.
    pub frames_in: Counter,
    /// Frames to visitors.
    pub frames_out: Counter,
    /// Frames to visitors that the signal-server did not take in time.
    pub frames_dropped: Counter,
    /// Packets from far ends.
    pub agent_in: Counter,
    /// Packets to far ends.
    pub agent_out: Counter,
    /// RTCP packets to far ends.
    pub reports_out: Counter,
    /// Datagrams that the system did not take.
    pub not_sent: Counter,
    /// Datagrams that belong to no call.
    pub stray: Counter,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let packets = |leg: &'static str, way: &'static str| metrics::counter!("ringlet_packets_total", "leg" => leg, "way" => way);
        Self {
            visitor_in: packets("webrtc", "in"),
            visitor_out: packets("webrtc", "out"),
            frames_in: packets("websocket", "in"),
            frames_out: packets("websocket", "out"),
            frames_dropped: metrics::counter!("ringlet_frames_dropped_total", "at" => "gateway"),
            agent_in: packets("sip", "in"),
            agent_out: packets("sip", "out"),
            reports_out: metrics::counter!("ringlet_reports_total", "leg" => "sip", "way" => "out"),
            not_sent: metrics::counter!("ringlet_datagrams_not_sent_total"),
            stray: metrics::counter!("ringlet_datagrams_stray_total"),
        }
    }
}

impl Shared {
    /// Sends a datagram of a visitor's leg.
    fn transmit(&mut self, transport: Transport, destination: SocketAddr, datagram: &[u8]) {
        if transport == Transport::Tcp {
            let is_sent = self.tcp.send(destination, datagram);
            self.counters.visitor_out.increment(u64::from(is_sent));
        } else {
            send(&self.socket, destination, datagram, &self.counters.visitor_out, &self.counters);
        }
    }

    /// Sends a frame to the signal-server; it is lost while that does not keep up.
    fn send_frame(&mut self, frame: CallFrame) {
        match self.frames.try_send(frame) {
            Ok(()) => self.counters.frames_out.increment(1),
            Err(_) => self.counters.frames_dropped.increment(1),
        }
    }

    /// Queues an event; a key only while there is room.
    pub(crate) fn report(&mut self, event: MediaEvent) {
        if self.backlog.len() < MAX_BACKLOG || !matches!(event, MediaEvent::Digit { .. } | MediaEvent::KeyUp { .. }) {
            self.backlog.push_back(event);
        }
    }
}

/// The sockets of a far end, watched by the worker.
pub(crate) struct AgentSockets {
    /// RTP.
    pub rtp: UdpSocket,
    /// RTCP.
    pub rtcp: UdpSocket,
}

/// One call.
pub(crate) struct Call {
    /// Its id.
    pub id: CallId,
    /// The visitor's leg.
    pub webrtc: WebRtcLeg,
    /// The far end's sockets, once there are some.
    pub sockets: Option<AgentSockets>,
    /// When the call's timer is set to.
    pub timer: Option<Instant>,
    /// The browser's addresses that lead to this call.
    pub addresses: Vec<SocketAddr>,
    /// The leg of the page to come.
    standby: Option<Standby>,
    /// Legs that were the call's, until [`Self::take_retired`].
    retired: Vec<Retired>,
    bridge: Bridge,
    /// The visitor's page is gone, and none has asked since.
    is_away: bool,
    /// The visitor's audio goes as frames.
    frames: Option<FramePath>,
    visitor_budget: Budget,
    gate: Gate,
    /// The WebRTC leg works.
    webrtc_up: bool,
    /// A check's leg: what comes goes back.
    reflects: bool,
    /// Frames that go back, until [`Self::drain`].
    reflected: Vec<Vec<u8>>,
    /// Reports that wait for [`Self::drain`].
    news: Vec<MediaEvent>,
}

impl Call {
    /// A call without a far end.
    pub(crate) fn new(id: CallId, webrtc: WebRtcLeg, bridge: Bridge) -> Self {
        Self {
            id,
            webrtc,
            sockets: None,
            timer: None,
            addresses: Vec::new(),
            standby: None,
            retired: Vec::new(),
            bridge,
            is_away: false,
            frames: None,
            visitor_budget: Budget::new("webrtc"),
            gate: Gate::new(),
            webrtc_up: false,
            reflects: false,
            reflected: Vec::new(),
            news: Vec::new(),
        }
    }

    /// Sends everything back as it comes from now on, over the way that it came. The bridge gets nothing any more.
    pub(crate) fn reflect(&mut self) {
        self.reflects = true;
    }

    /// Does as it is told.
    pub(crate) fn obey(&mut self, order: CallOrder, now: Instant) {
        match order {
            CallOrder::Candidate(candidate) => self.webrtc.add_candidate(&candidate),
            CallOrder::Ring => self.bridge.ring(now),
            CallOrder::Connect(remote) => {
                debug!(call = %self.id, ?remote, "far end's media");
                self.gate.signal(remote.rtp, remote.trunk);
                self.bridge.connect(remote, now);
            }
            CallOrder::Answered => self.bridge.answered(now),
            CallOrder::Frames(codec) => self.use_frames(codec, now),
            CallOrder::Press(digits) => self.bridge.press(&digits, now),
            CallOrder::Away => {
                self.leave_frames(now);
                self.is_away = true;
                self.bridge.away(now);
            }
            CallOrder::Tone(tone) => self.bridge.notify(tone, now),
            CallOrder::Farewell => self.bridge.say_farewell(now),
        }
    }

    /// The far end's sockets, and how keys travel there.
    pub(crate) fn attach(&mut self, sockets: AgentSockets, dtmf: Dtmf) {
        self.sockets = Some(sockets);
        self.bridge.set_dtmf(dtmf);
    }

    /// Goes on with another leg of the visitor, whose browser is at these addresses, and whose packets are numbered from `sequence`.
    pub(crate) fn replace(&mut self, webrtc: WebRtcLeg, addresses: Vec<SocketAddr>, sequence: u16, now: Instant) {
        self.bridge.set_quality(webrtc.quality());
        (self.webrtc_up, self.is_away) = (false, false);
        match &mut self.frames {
            // The same browser tries anew; what is heard does not change.
            Some(frames) => frames.webrtc_sequence = u64::from(sequence >> 1),
            None => self.bridge.replace_visitor(sequence, now),
        }
        let before = std::mem::replace(&mut self.webrtc, webrtc);
        let addresses = std::mem::replace(&mut self.addresses, addresses);
        self.retire(&before, addresses);
    }

    /// The visitor looks for another path for the leg that there is, and is not away any more.
    pub(crate) fn visitor_returns(&mut self, now: Instant) {
        self.is_away = false;
        self.bridge.visitor_returns(now);
    }

    /// Takes a datagram from the browser.
    pub(crate) fn handle_visitor(&mut self, way: Way, datagram: &[u8], now: Instant) {
        if self.visitor_budget.take(now) {
            self.leg_at(way.source).handle_datagram(way, datagram, now);
        }
    }

    /// The connection to that address of the browser is gone.
    pub(crate) fn handle_connection_lost(&mut self, peer: SocketAddr) {
        self.leg_at(peer).lost(peer);
    }

    /// Takes a frame of the visitor. One that comes while WebRTC carries the audio is late or nobody's, and dropped.
    pub(crate) fn handle_frame(&mut self, bytes: &[u8], now: Instant) {
        let is_wanted = self.frames.is_some() || self.reflects;
        if !is_wanted || !self.visitor_budget.take(now) {
            return;
        }
        match frames::read(bytes) {
            Ok(_) if self.reflects => self.reflected.push(bytes.to_vec()),
            Ok(packet) => self.bridge.handle_visitor(&packet, now),
            Err(error) => trace!(call = %self.id, %error, "frame dropped"),
        }
    }

    /// Takes a datagram from the far end's socket.
    pub(crate) fn handle_agent(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        if !self.gate.admits(source, now) {
            return;
        }
        let before = self.bridge.stats().agent_packets;
        self.bridge.handle_agent(source, datagram, now);
        if self.bridge.stats().agent_packets > before {
            self.gate.hear(source);
        }
    }

    /// Takes a datagram from the far end's RTCP socket.
    pub(crate) fn handle_agent_report(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        if self.gate.admits_report(source, now) {
            self.bridge.handle_agent_report(source, datagram, now);
        }
    }

    /// Tells the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.webrtc.handle_timeout(now);
        self.advance_standby(now);
        self.bridge.handle_timeout(now);
        if let Some(silence) = self.bridge.poll_silence(now) {
            self.news.push(MediaEvent::FarEndSilent { call: self.id.clone(), silence });
        }
    }

    /// Says goodbye to the browser.
    pub(crate) fn close(&mut self) -> CallStats {
        self.webrtc.close();
        let stats = self.bridge.stats();
        let playout = self.bridge.playout();
        for (leg, stats) in ["webrtc", "sip"].into_iter().zip(playout) {
            for (what, samples) in [("concealed", stats.concealed), ("recovered", stats.recovered)] {
                let ms = RATE.milliseconds(samples);
                metrics::counter!("ringlet_playout_milliseconds_total", "leg" => leg, "what" => what).increment(ms);
            }
        }
        debug!(call = %self.id, ?stats, ?playout, strangers = self.bridge.rejected(), "media closed");
        stats
    }

    /// Does everything that wants to be done. To be called after every input (str0m's single-mutation rule).
    pub(crate) fn drain(&mut self, shared: &mut Shared, now: Instant) {
        let Self { id, reflected, news, .. } = self;
        news.drain(..).for_each(|event| shared.report(event));
        reflected.drain(..).for_each(|bytes| shared.send_frame(CallFrame { call: id.clone(), bytes }));
        loop {
            self.drain_webrtc(shared, now);
            let Self { id, webrtc, bridge, sockets, frames, .. } = self;
            if bridge.poll_farewell() {
                shared.report(MediaEvent::FarewellSaid { call: id.clone() });
            }
            match bridge.poll_output() {
                None => break,
                Some(BridgeOutput::ToVisitor(coded)) if frames.is_some() => {
                    if let Some(bytes) = frames::write(&coded) {
                        shared.send_frame(CallFrame { call: id.clone(), bytes });
                    }
                }
                Some(BridgeOutput::ToVisitor(coded)) => {
                    let Coded { sequence, timestamp, marker, payload, .. } = coded;
                    webrtc.send_opus(&OpusPacket { sequence, timestamp, marker, payload }, now);
                }
                Some(BridgeOutput::ToAgent { destination, datagram }) => {
                    if let Some(AgentSockets { rtp, .. }) = sockets {
                        send(rtp, destination, datagram, &shared.counters.agent_out, &shared.counters);
                    }
                }
                Some(BridgeOutput::Report { destination, datagram }) => {
                    if let Some(AgentSockets { rtcp, .. }) = sockets {
                        send(rtcp, destination, datagram, &shared.counters.reports_out, &shared.counters);
                    }
                }
                Some(BridgeOutput::Digit { from, way, digit, duration_ms }) => {
                    debug!(call = %id, ?from, ?way, duration_ms, "a key");
                    shared.report(MediaEvent::Digit { call: id.clone(), from, way, digit, duration_ms });
                }
                Some(BridgeOutput::Up { way, digit, duration_ms }) => {
                    shared.report(MediaEvent::KeyUp { call: id.clone(), way, digit, duration_ms });
                }
            }
        }
    }

    /// Does what the visitor's leg wants done; what it brings goes to the bridge.
    fn drain_webrtc(&mut self, shared: &mut Shared, now: Instant) {
        let Self { id, webrtc, bridge, frames, webrtc_up, reflects, .. } = self;
        while let Some(output) = webrtc.poll_output(now) {
            match output {
                WebRtcOutput::Transmit { transport, destination, datagram } => {
                    shared.transmit(transport, destination, &datagram);
                }
                WebRtcOutput::Packet(packet) if *reflects => {
                    shared.counters.visitor_in.increment(1);
                    webrtc.send_back(&packet, now);
                }
                WebRtcOutput::Packet(packet) => {
                    shared.counters.visitor_in.increment(1);
                    // While both ways bring audio, one is taken: nothing is heard twice.
                    frames.is_none().then(|| bridge.handle_visitor(&packet, now));
                }
                WebRtcOutput::Report { lost, round_trip } => bridge.handle_visitor_report(lost, round_trip),
                WebRtcOutput::Up => {
                    info!(call = %id, frames = frames.is_some(), "the browser's audio path is up");
                    *webrtc_up = true;
                    frames.is_none().then(|| shared.report(MediaEvent::Up { call: id.clone() }));
                }
                WebRtcOutput::Carried(transport) => {
                    info!(call = %id, frames = frames.is_some(), %transport, "WebRTC goes over");
                    frames.is_none().then(|| shared.report(MediaEvent::Transport { call: id.clone(), transport }));
                }
                WebRtcOutput::Down(detail) => {
                    info!(call = %id, frames = frames.is_some(), detail, "the browser's audio path is down");
                    *webrtc_up = false;
                    if frames.is_none() {
                        bridge.path_lost(now);
                        shared.report(MediaEvent::Down { call: id.clone(), detail });
                    }
                }
            }
        }
    }

    fn use_frames(&mut self, codec: Option<FrameCodec>, now: Instant) {
        let Some(codec) = codec else { return self.leave_frames(now) };
        let coding = frames::coding(codec, self.bridge.agent_codec());
        if self.frames.is_some() {
            return self.bridge.recode_visitor(coding);
        }
        info!(call = %self.id, ?coding, "audio goes as frames");
        let webrtc_sequence = self.bridge.redirect_visitor(coding, 0, now);
        self.frames = Some(FramePath { webrtc_sequence });
        self.news.push(MediaEvent::Up { call: self.id.clone() });
        self.news.push(MediaEvent::Transport { call: self.id.clone(), transport: Transport::WebSocket });
    }

    fn leave_frames(&mut self, now: Instant) {
        let Some(FramePath { webrtc_sequence }) = self.frames.take() else { return };
        info!(call = %self.id, self.webrtc_up, "audio goes over WebRTC");
        self.bridge.redirect_visitor(Coding::Opus, webrtc_sequence, now);
        if self.webrtc_up {
            self.tell_webrtc_is_up();
        } else {
            let detail = "frames are over, and WebRTC does not pass".to_owned();
            self.news.push(MediaEvent::Down { call: self.id.clone(), detail });
        }
    }

    /// Tells that the browser hears and is heard over WebRTC, and which transport that goes over.
    fn tell_webrtc_is_up(&mut self) {
        let call = || self.id.clone();
        let carried = self.webrtc.carried().map(|transport| MediaEvent::Transport { call: call(), transport });
        self.news.push(MediaEvent::Up { call: call() });
        self.news.extend(carried);
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Instant {
        let webrtc = self.webrtc.poll_timeout();
        let webrtc = self.standby_timeout().map_or(webrtc, |standby| standby.min(webrtc));
        self.bridge.poll_timeout().map_or(webrtc, |bridge| bridge.min(webrtc)).max(now + MIN_TIMER)
    }
}

fn send(socket: &UdpSocket, destination: SocketAddr, datagram: &[u8], sent: &Counter, counters: &Counters) {
    match socket.send_to(datagram, destination) {
        Ok(_) => sent.increment(1),
        // UDP has no one to tell: a full buffer or an unreachable port is loss like any other.
        Err(error) => {
            counters.not_sent.increment(1);
            if error.kind() != io::ErrorKind::WouldBlock {
                trace!(%destination, %error, "datagram not sent");
            }
        }
    }
}
