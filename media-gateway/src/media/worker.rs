//! The media thread: epoll over all media sockets, timers by deadline, commands by a waker. It moves datagrams, commands
//! and the time to the calls they belong to, and decides nothing.

mod echo;
mod handover;
mod leads;
mod legs;
mod over_tcp;
mod seed;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::{Histogram, gauge};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use protocol::CallId;
use protocol::gateway::CallFrame;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tracing::{debug, error, info};

use super::call::{AgentSockets, Call, Counters, Shared};
use super::ports::RtpSockets;
use super::tcp::{self, Connections};
use super::webrtc::{Way, WebRtcError, WebRtcSettings, stun_ufrags};
use super::{MediaCommand, MediaEvent};
use crate::config::{AwayTone, Dtmf, Ringback};
use handover::Neighbours;
use leads::{Leads, remember};
use seed::seed;

/// Commands that wait. A call makes about ten in its life; this many at once would be a burst of a hundred new calls.
const COMMAND_QUEUE: usize = 1024;
/// Frames that wait, either way: 20 ms of a thousand calls. What exceeds it is lost, as datagrams are.
const FRAME_QUEUE: usize = 1024;
/// Frames of visitors in one turn.
const FRAME_BUDGET: usize = 64;
/// Events that wait in the channel; more wait in the backlog.
const EVENT_QUEUE: usize = 1024;
/// Events of one epoll_wait.
const MAX_READY: usize = 256;
/// Datagrams of the WebRTC socket in one turn: about 1 ms of work.
const WEBRTC_BUDGET: usize = 64;
/// Datagrams of one RTP socket in one turn. More than a few in 20 ms is a flood, and must not starve the others.
const RTP_BUDGET: usize = 8;
/// Commands in one turn; the answer to an offer is the dearest, about 1 ms.
const COMMAND_BUDGET: usize = 16;
/// Timers in one turn.
const TIMER_BUDGET: usize = 256;
/// Larger than any datagram of WebRTC or RTP over Ethernet.
const MAX_DATAGRAM: usize = 2048;
/// When to look again while events wait for room in the channel.
const BACKLOG_RETRY: Duration = Duration::from_millis(5);
/// How long to sleep at most: a control task that panicked says no goodbye and wakes nobody.
const MAX_IDLE: Duration = Duration::from_secs(1);
/// Linux' nice value of this thread: ten times the weight of an ordinary one (sched(7)). Audio is a small part of the work and
/// cannot wait; pages, records and a neighbour's compiler can.
const NICE: i32 = -10;
/// One in so many datagrams is timed.
const TIMED: u32 = 16;

const WAKER: Token = Token(0);
const WEBRTC: Token = Token(1);
/// Tokens below are fixed. A call's slot is even and the token of its RTP socket; RTCP's is the odd one above, as with ports.
const FIRST_SLOT: usize = 16;
const SLOT_STEP: usize = 2;

/// What the media thread is told at its start.
#[derive(Debug)]
pub(crate) struct MediaSettings {
    /// The WebRTC socket, non-blocking.
    pub socket: std::net::UdpSocket,
    /// The addresses under which browsers reach it.
    pub candidates: Vec<SocketAddr>,
    /// Where browsers connect by TCP, non-blocking; `None` when somebody else listens and hands connections over, or nobody.
    pub listener: Option<std::net::TcpListener>,
    /// The addresses under which they do.
    pub tcp_candidates: Vec<SocketAddr>,
    /// What visitors hear while it rings.
    pub ringback: Ringback,
    /// What far ends hear while the visitor is between two pages.
    pub away_tone: AwayTone,
    /// How long a far end that has answered may be silent; `None`: for ever.
    pub far_end_silence: Option<Duration>,
    /// Where datagrams go that are for no call of ours: to the process whose socket this was.
    pub predecessor: Option<std::os::unix::net::UnixDatagram>,
}

/// Why there is no media thread.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MediaError {
    /// Certificates cannot be made.
    #[error(transparent)]
    WebRtc(#[from] WebRtcError),
    /// epoll, its waker, or the thread cannot be had.
    #[error("the media thread cannot start: {0}")]
    System(#[from] io::Error),
}

/// The way to the media thread.
#[derive(Clone, Debug)]
pub(crate) struct MediaHandle {
    commands: mpsc::Sender<MediaCommand>,
    waker: Arc<Waker>,
}

/// What comes from the media thread.
pub(crate) struct MediaOutput {
    /// What happens to calls.
    pub events: mpsc::Receiver<MediaEvent>,
    /// Audio for visitors without WebRTC.
    pub frames: mpsc::Receiver<CallFrame>,
    /// Takes their audio.
    pub sink: FrameSink,
}

/// Where the frames of visitors without WebRTC go.
#[derive(Clone)]
pub(crate) struct FrameSink {
    frames: mpsc::Sender<CallFrame>,
    waker: Arc<Waker>,
}

impl FrameSink {
    /// Hands a frame over to its call. It is lost when there is no such call, or while the media thread does not keep up.
    pub(crate) fn send(&self, frame: CallFrame) {
        if self.frames.try_send(frame).is_ok() {
            wake(&self.waker);
        }
    }
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        error!(%error, "the media thread cannot be woken");
    }
}

impl MediaHandle {
    /// Sends a command; waits while the queue is full. A thread that is gone takes none.
    pub(crate) async fn send(&self, command: MediaCommand) {
        if self.commands.send(command).await.is_err() {
            error!("the media thread is gone");
        }
        wake(&self.waker);
    }
}

/// Starts the media thread.
///
/// # Errors
/// [`MediaError`].
pub(crate) fn start(settings: MediaSettings) -> Result<(MediaHandle, MediaOutput, JoinHandle<()>), MediaError> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let mut socket = UdpSocket::from_std(settings.socket);
    poll.registry().register(&mut socket, WEBRTC, Interest::READABLE)?;
    let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
    let (frame_sender, frames) = mpsc::channel(FRAME_QUEUE);
    let (events, event_receiver) = mpsc::channel(EVENT_QUEUE);
    let (frames_out, frame_receiver) = mpsc::channel(FRAME_QUEUE);
    let tcp = Connections::new(settings.listener, poll.registry().try_clone()?, Instant::now())?;
    let worker = Worker {
        webrtc: WebRtcSettings::new(settings.candidates, settings.tcp_candidates)?,
        ringback: settings.ringback,
        away_tone: settings.away_tone,
        far_end_silence: settings.far_end_silence,
        poll,
        _waker: Arc::clone(&waker),
        commands,
        frames,
        events,
        shared: Shared { socket, tcp, backlog: VecDeque::new(), frames: frames_out, counters: Counters::new() },
        calls: BTreeMap::new(),
        by_id: HashMap::new(),
        by_ufrag: HashMap::new(),
        by_address: Leads::default(),
        timers: BTreeSet::new(),
        next_slot: FIRST_SLOT,
        neighbours: Neighbours::new(settings.predecessor),
        readable: VecDeque::new(),
        turn_time: metrics::histogram!("ringlet_packet_seconds"),
        timed: 0,
    };
    let thread = std::thread::Builder::new().name("ringlet-media".to_owned()).spawn(move || worker.run())?;
    let sink = FrameSink { frames: frame_sender, waker: Arc::clone(&waker) };
    let output = MediaOutput { events: event_receiver, frames: frame_receiver, sink };
    Ok((MediaHandle { commands: command_sender, waker }, output, thread))
}

/// A call's place, never used for another call.
type Slot = usize;

struct Worker {
    webrtc: WebRtcSettings,
    ringback: Ringback,
    away_tone: AwayTone,
    far_end_silence: Option<Duration>,
    poll: Poll,
    /// A waker that is dropped takes its last wake with it.
    _waker: Arc<Waker>,
    commands: mpsc::Receiver<MediaCommand>,
    frames: mpsc::Receiver<CallFrame>,
    events: mpsc::Sender<MediaEvent>,
    shared: Shared,
    calls: BTreeMap<Slot, Call>,
    by_id: HashMap<CallId, Slot>,
    /// STUN requests name the call by our username fragment…
    by_ufrag: HashMap<String, Slot>,
    /// …and everything else comes from an address that such a request, its integrity checked, came from.
    by_address: Leads,
    timers: BTreeSet<(Instant, Slot)>,
    next_slot: Slot,
    neighbours: Neighbours,
    /// Sockets that may hold more: epoll tells each readiness but once.
    readable: VecDeque<Token>,
    turn_time: Histogram,
    timed: u32,
}

impl Worker {
    fn run(mut self) {
        // Without a process id it is the calling thread that is meant.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            info!(%error, "audio has no precedence on a busy machine: that takes CAP_SYS_NICE or a LimitNICE of {NICE}");
        }
        let mut ready = Events::with_capacity(MAX_READY);
        let mut buffer = [0; MAX_DATAGRAM];
        self.show();
        loop {
            if let Err(error) = self.poll.poll(&mut ready, self.patience())
                && error.kind() != io::ErrorKind::Interrupted
            {
                return error!(%error, "epoll failed: the media thread ends");
            }
            for event in &ready {
                if event.token() != WAKER && !self.readable.contains(&event.token()) {
                    self.readable.push_back(event.token());
                }
            }
            // 1. Audio that has come: it is late already, and what else there is can wait a millisecond.
            self.receive(&mut buffer);
            self.receive_frames();
            self.sweep_connections();
            // 2. Timers: ringback, keys, DTLS retransmissions.
            self.fire_timers();
            // 3. Commands: nobody hears when they are a little late.
            if !self.obey() {
                return;
            }
            // 4. Reports.
            self.report();
        }
    }

    fn patience(&self) -> Option<Duration> {
        if !self.readable.is_empty() || !self.commands.is_empty() || !self.frames.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.first().map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let backlog = (!self.shared.backlog.is_empty()).then_some(BACKLOG_RETRY);
        timer.into_iter().chain(backlog).chain([MAX_IDLE]).min()
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        // One round: sockets that hold more come again in the next turn, behind the others.
        for _ in 0..self.readable.len() {
            let Some(token) = self.readable.pop_front() else { return };
            let has_more = match token {
                WEBRTC => self.receive_webrtc(buffer),
                handover::INLET => self.receive_strays(),
                tcp::LISTENER => self.shared.tcp.accept(Instant::now()),
                token if tcp::is_connection(token) => self.receive_connection(token, buffer),
                token => self.receive_agent(token, buffer),
            };
            if has_more {
                self.readable.push_back(token);
            }
        }
    }

    /// Returns whether there may be more.
    fn receive_webrtc(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..WEBRTC_BUDGET {
            let (length, source) = match self.shared.socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) => return keeps_readable(&error),
            };
            self.handle_datagram(source, buffer.get(..length).unwrap_or_default());
        }
        true
    }

    /// Returns whether there may be more.
    fn receive_agent(&mut self, Token(token): Token, buffer: &mut [u8]) -> bool {
        let is_rtcp = !token.is_multiple_of(SLOT_STEP);
        let slot = token - usize::from(is_rtcp);
        for _ in 0..RTP_BUDGET {
            let Some(sockets) = self.calls.get(&slot).and_then(|call| call.sockets.as_ref()) else { return false };
            let socket = if is_rtcp { &sockets.rtcp } else { &sockets.rtp };
            let (length, source) = match socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) => return keeps_readable(&error),
            };
            let now = Instant::now();
            let datagram = buffer.get(..length).unwrap_or_default();
            if is_rtcp {
                self.with_call(slot, now, |call| call.handle_agent_report(source, datagram, now));
                continue;
            }
            self.shared.counters.agent_in.increment(1);
            self.with_call(slot, now, |call| call.handle_agent(source, datagram, now));
            self.time(now);
        }
        true
    }

    fn receive_frames(&mut self) {
        for _ in 0..FRAME_BUDGET {
            let Ok(CallFrame { call, bytes }) = self.frames.try_recv() else { return };
            let Some(&slot) = self.by_id.get(&call) else { continue };
            let now = Instant::now();
            self.shared.counters.frames_in.increment(1);
            self.with_call(slot, now, |call| call.handle_frame(&bytes, now));
            self.time(now);
        }
    }

    /// Whose datagram it is. A STUN request is believed when its integrity is right, and then its source is known.
    fn owner(&mut self, way: Way, datagram: &[u8], now: Instant) -> Option<Slot> {
        let source = way.source;
        let Some((local, remote)) = stun_ufrags(datagram) else { return self.by_address.follow(source, now) };
        let slot = *self.by_ufrag.get(&local)?;
        if self.by_address.lead_to(source, slot) {
            return self.by_address.follow(source, now);
        }
        if !self.by_address.may_lead_to(source, slot, now) {
            return None;
        }
        self.learn(slot, way, (&local, &remote), datagram, now)?;
        self.by_address.lead(source, slot, now);
        Some(slot)
    }

    /// Takes the source of a STUN request down as an address of the call's browser, if the request is to be believed.
    fn learn(
        &mut self,
        slot: Slot,
        way: Way,
        (local, remote): (&str, &str),
        datagram: &[u8],
        now: Instant,
    ) -> Option<()> {
        let addresses = self.calls.get_mut(&slot)?.believes(way, local, remote, datagram, now)?;
        if let Some(forgotten) = remember(addresses, way.source) {
            self.by_address.forget(forgotten, slot);
        }
        Some(())
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        for _ in 0..TIMER_BUDGET {
            let Some(&(at, slot)) = self.timers.first() else { return };
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(call) = self.calls.get_mut(&slot) {
                call.timer = None;
            }
            self.with_call(slot, now, |call| call.handle_timeout(now));
        }
    }

    /// Returns whether the thread goes on.
    fn obey(&mut self) -> bool {
        for _ in 0..COMMAND_BUDGET {
            match self.commands.try_recv() {
                Ok(MediaCommand::Shutdown) | Err(TryRecvError::Disconnected) => {
                    while let Some(&slot) = self.calls.keys().next() {
                        self.close(slot, Instant::now());
                    }
                    self.report();
                    return false;
                }
                Ok(command) => self.handle_command(command, Instant::now()),
                Err(TryRecvError::Empty) => return true,
            }
        }
        true
    }

    fn handle_command(&mut self, command: MediaCommand, now: Instant) {
        let slot = |call: &CallId| {
            let slot = self.by_id.get(call).copied();
            if slot.is_none() {
                debug!(%call, "command for a call that is gone");
            }
            slot
        };
        match command {
            MediaCommand::Offer { call, sdp, quality } => self.offer(&call, &sdp, quality, now),
            MediaCommand::Prepare { call, fingerprint } => {
                if let Some(slot) = slot(&call) {
                    self.prepare(slot, fingerprint, now);
                }
            }
            MediaCommand::Echo { call, sdp } => self.echo(&call, &sdp, now),
            MediaCommand::Attach { call, sockets, dtmf } => {
                if let Some(slot) = slot(&call) {
                    self.attach(slot, sockets, dtmf);
                }
            }
            MediaCommand::Call { call, order } => {
                if let Some(slot) = slot(&call) {
                    self.with_call(slot, now, |call| call.obey(order, now));
                }
            }
            MediaCommand::Close { call } => {
                if let Some(slot) = slot(&call) {
                    self.close(slot, now);
                }
            }
            MediaCommand::Adopt { socket } => self.shared.tcp.adopt(socket, now),
            MediaCommand::Strays { inlet } => self.watch_strays(inlet),
            MediaCommand::LetGo => self.let_go(),
            MediaCommand::Shutdown => {}
        }
    }

    /// There is no leg for the offer, and the call, if there is one, is of no further use.
    fn refuse(&mut self, call: &CallId, detail: String, now: Instant) {
        if let Some(&slot) = self.by_id.get(call) {
            self.close(slot, now);
        }
        self.shared.report(MediaEvent::OfferUnusable { call: call.clone(), detail });
    }

    fn attach(&mut self, slot: Slot, sockets: RtpSockets, dtmf: Dtmf) {
        let Some(call) = self.calls.get_mut(&slot) else { return };
        let mut sockets =
            AgentSockets { rtp: UdpSocket::from_std(sockets.rtp), rtcp: UdpSocket::from_std(sockets.rtcp) };
        for (socket, token) in [(&mut sockets.rtp, Token(slot)), (&mut sockets.rtcp, Token(slot + 1))] {
            if let Err(error) = self.poll.registry().register(socket, token, Interest::READABLE) {
                error!(call = %call.id, %error, "a socket of the far end is not watched");
            }
        }
        call.attach(sockets, dtmf);
        self.show();
    }

    fn close(&mut self, slot: Slot, now: Instant) {
        let Some(mut call) = self.calls.remove(&slot) else { return };
        let stats = call.close();
        call.drain(&mut self.shared, now);
        self.forget(slot, &mut call);
        self.shared.report(MediaEvent::Closed { call: call.id, stats });
        self.show();
    }

    fn forget(&mut self, slot: Slot, call: &mut Call) {
        self.shared.tcp.close_those_of(slot, |_| false);
        self.by_id.remove(&call.id);
        call.retire_all();
        self.settle(slot, call);
        if let Some(at) = call.timer.take() {
            self.timers.remove(&(at, slot));
        }
        self.readable.retain(|token| token.0 != slot && token.0 != slot + 1);
        if let Some(mut sockets) = call.sockets.take() {
            // Closing would do as well; saying so costs a system call and spares a surprise.
            let _ = self.poll.registry().deregister(&mut sockets.rtp);
            let _ = self.poll.registry().deregister(&mut sockets.rtcp);
        }
    }

    /// One input to one call, then everything that follows from it.
    fn with_call(&mut self, slot: Slot, now: Instant, input: impl FnOnce(&mut Call)) {
        let Some(call) = self.calls.get_mut(&slot) else { return };
        let shared = &mut self.shared;
        let done = catch_unwind(AssertUnwindSafe(|| {
            input(call);
            call.drain_standby(shared, now);
            call.drain(shared, now);
        }));
        if done.is_err() {
            // A panic is our bug or a library's. Its call ends; the others, whose state it cannot have touched, go on.
            error!(call = %call.id, "a call's media panicked");
            let Some(mut call) = self.calls.remove(&slot) else { return };
            self.forget(slot, &mut call);
            self.shared.report(MediaEvent::Down { call: call.id.clone(), detail: "panic".to_owned() });
            self.shared.report(MediaEvent::Closed { call: call.id, stats: protocol::gateway::CallStats::default() });
            return self.show();
        }
        self.settled(slot);
        let Some(call) = self.calls.get_mut(&slot) else { return };
        let due = call.poll_timeout(now);
        if call.timer != Some(due) {
            if let Some(before) = call.timer.replace(due) {
                self.timers.remove(&(before, slot));
            }
            self.timers.insert((due, slot));
        }
    }

    fn report(&mut self) {
        while let Some(event) = self.shared.backlog.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                return self.shared.backlog.push_front(event);
            }
        }
    }

    fn time(&mut self, since: Instant) {
        self.timed = self.timed.wrapping_add(1);
        if self.timed.is_multiple_of(TIMED) {
            self.turn_time.record(since.elapsed());
        }
    }

    fn show(&self) {
        gauge!("ringlet_legs", "kind" => "webrtc").set(self.calls.len() as f64);
        gauge!("ringlet_timers", "of" => "media").set(self.timers.len() as f64);
    }
}

/// Whether a failed read says nothing about what else there is. ICMP errors of earlier sends surface here.
fn keeps_readable(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock
}
