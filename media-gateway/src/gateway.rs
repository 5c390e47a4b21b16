//! A running gateway: sockets bound, media thread and SIP side started, the control task between them.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::gauge;
use protocol::gateway::{CallFrame, Command, Event};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Config, MediaTcp};
use crate::control::{Ask, Channels, Controller, Ends};
use crate::handover::{Held, Sockets};
use crate::media::ports::Ports;
use crate::media::{self, MediaSettings};
use crate::sip::{self, SipError, SipHandle, SipStack};

/// Commands that wait for the control task, which never waits long itself.
const COMMAND_QUEUE: usize = 1024;
/// Events that wait for the signal-server.
const EVENT_QUEUE: usize = 1024;
/// Visitors' frames that wait for the media thread: 20 ms of a thousand calls.
const FRAME_QUEUE: usize = 1024;
/// Connections that were handed over and wait for the control task.
const SOCKET_QUEUE: usize = 64;
/// Connections that wait to be accepted: a burst of clicks.
const BACKLOG: i32 = 128;
/// Questions for the calls there are, and the steps of a handover.
const QUESTION_QUEUE: usize = 4;

/// What the WebRTC socket may hold in the kernel: 200 calls at 50 packets/s of 150 bytes fill 4 MiB in 2 s. The system grants
/// less when `net.core.rmem_max` is lower.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Takes commands; when all senders are gone the gateway stops.
    pub commands: mpsc::Sender<Command>,
    /// Reports, [`Event::Registered`] first; when the receiver is gone the gateway stops.
    pub events: mpsc::Receiver<Event>,
    /// Takes the frames of visitors without WebRTC.
    pub frames: mpsc::Sender<CallFrame>,
    /// Frames for those visitors; they are lost while nobody takes them.
    pub frames_out: mpsc::Receiver<CallFrame>,
    /// Takes browsers' connections over that somebody else has accepted, seen to begin with
    /// [a frame](protocol::rfc4571::begins_with), and not read from; non-blocking. One that finds no room is closed: the
    /// browser tries again.
    pub sockets: mpsc::Sender<std::net::TcpStream>,
    /// Everything else.
    pub handle: GatewayHandle,
}

/// A handle on a running gateway.
#[derive(Clone, Debug)]
pub struct GatewayHandle {
    ends: Ends,
    stopped: CancellationToken,
    questions: mpsc::Sender<Ask>,
    pub(crate) held: Held,
    sip: SipHandle,
    media_address: SocketAddr,
    #[cfg(test)]
    media: media::MediaHandle,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The UDP port for browsers' audio cannot be had.
    #[error("cannot listen for WebRTC on {address}: {source}")]
    MediaSocket {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The TCP port for browsers' audio cannot be had.
    #[error("cannot listen for ICE over TCP on {address}: {source}")]
    TcpListener {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration names other addresses than those of the process whose place is to be taken.
    #[error("gateway.media.listen or gateway.sip.listen has changed: that takes a restart")]
    OtherSockets,
    /// No candidate can be told to browsers.
    #[error("the WebRTC socket listens on {0}, which is no address that browsers can reach: name public_ips")]
    NoCandidate(SocketAddr),
    /// The media thread cannot start.
    #[error("{0}")]
    Media(String),
    /// The SIP side cannot start.
    #[error(transparent)]
    Sip(#[from] SipError),
}

/// Starts a gateway on the current tokio runtime.
///
/// # Errors
/// [`StartError`] when an address is taken or of no use.
pub async fn start(config: Config) -> Result<Gateway, StartError> {
    let sockets = Sockets::open(&config)?;
    start_with(config, sockets).await
}

/// [`start`] on the sockets of a gateway that runs on with its calls and nothing else; see [`Sockets`].
///
/// # Errors
/// [`StartError`]; [`StartError::OtherSockets`] when the configuration wants others.
pub async fn start_in_place(config: Config, sockets: Sockets) -> Result<Gateway, StartError> {
    if sockets.fit(&config) { start_with(config, sockets).await } else { Err(StartError::OtherSockets) }
}

async fn start_with(config: Config, sockets: Sockets) -> Result<Gateway, StartError> {
    show_nothing();
    let address = config.media_udp;
    let failed = |source| StartError::MediaSocket { address, source };
    let held = Held::of(&sockets).map_err(failed)?;
    let Sockets { media: socket, media_tcp: listener, sip, sip_tcp, predecessor } = sockets;
    let (media_strays, sip_strays) = predecessor.map(|strays| (strays.media, strays.sip)).unzip();
    let media_address = socket.local_addr().map_err(failed)?;
    let candidates = candidates(&config, media_address)?;
    let tcp_port = match (&listener, config.media_tcp) {
        (Some(listener), _) => listener.local_addr().ok().map(|address| address.port()),
        (None, MediaTcp::Shared(port)) => Some(port),
        (None, MediaTcp::Off | MediaTcp::Listen(_)) => None,
    };
    let at = |port| candidates.iter().map(move |candidate| SocketAddr::new(candidate.ip(), port));
    let tcp_candidates = tcp_port.into_iter().flat_map(at).collect();
    let settings = MediaSettings {
        socket,
        candidates,
        listener,
        tcp_candidates,
        ringback: config.ringback,
        away_tone: config.away_tone,
        far_end_silence: config.far_end_silence,
        predecessor: media_strays,
    };
    let (media, media_output, thread) = media::start(settings).map_err(|error| StartError::Media(error.to_string()))?;
    let ports = sip::Ports { udp: sip, tcp: sip_tcp, predecessor: sip_strays };
    let (sip, sip_events) = SipStack::start_with((&config).into(), ports).await?;
    let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
    let (events, event_receiver) = mpsc::channel(EVENT_QUEUE);
    let (sockets, handed_over) = mpsc::channel(SOCKET_QUEUE);
    let (question_sender, questions) = mpsc::channel(QUESTION_QUEUE);
    let handle = GatewayHandle {
        ends: Ends::default(),
        stopped: CancellationToken::new(),
        questions: question_sender,
        held,
        sip: sip.clone(),
        media_address,
        #[cfg(test)]
        media: media.clone(),
    };
    let controller = Controller {
        name: config.name.clone(),
        capacity: config.capacity as usize,
        trunks: config.trunks.iter().map(|trunk| trunk.name.clone()).collect(),
        dtmf: config.trunks.iter().map(|trunk| (trunk.name.clone(), trunk.dtmf)).collect(),
        rtp_public_ip: config.sip_public_ip.unwrap_or(config.rtp_ip),
        ports: Ports::new(config.rtp_ip, config.rtp_ports.clone()),
        media,
        sip,
        calls: std::collections::BTreeMap::new(),
        pending: std::collections::VecDeque::new(),
    };
    info!(gateway = %config.name, media = %media_address, tcp_port, sip = %handle.sip.local_addr(), "the gateway is up");
    let channels = Channels {
        commands,
        events,
        media: media_output.events,
        sip: sip_events,
        questions,
        sockets: handed_over,
        ends: handle.ends.clone(),
    };
    tokio::spawn(run(controller, channels, thread, handle.clone()));
    let frames = frames_into(media_output.sink);
    let (commands, events, frames_out) = (command_sender, event_receiver, media_output.frames);
    Ok(Gateway { commands, events, frames, frames_out, sockets, handle })
}

/// Takes visitors' frames to the media thread.
fn frames_into(sink: media::FrameSink) -> mpsc::Sender<CallFrame> {
    let (frames, mut receiver) = mpsc::channel(FRAME_QUEUE);
    tokio::spawn(async move {
        while let Some(frame) = receiver.recv().await {
            sink.send(frame);
        }
    });
    frames
}

impl GatewayHandle {
    /// The SIP side, for OPTIONS and statistics.
    pub fn sip(&self) -> &SipHandle {
        &self.sip
    }

    /// Where browsers' audio arrives.
    pub fn media_address(&self) -> SocketAddr {
        self.media_address
    }

    /// [`Event::Registered`] with the calls that there are now, and of those whose far end is gone, why; `None` when the
    /// gateway has stopped.
    pub async fn registration(&self) -> Option<Vec<Event>> {
        let (reply, events) = oneshot::channel();
        self.ask(Ask::Registration(reply)).await.ok()?;
        events.await.ok()
    }

    pub(crate) async fn ask(&self, question: Ask) -> Result<(), mpsc::error::SendError<Ask>> {
        self.questions.send(question).await
    }

    /// Takes no further call from now on, tells the signal-server so ([`Event::Registered`] with no capacity), and ends the
    /// gateway when the last call has ended.
    pub fn drain(&self) {
        self.ends.drain.cancel();
    }

    /// Ends all calls and the gateway. Returns when nothing of it is left; what a dead trunk does not confirm until
    /// `deadline` has passed is given up.
    pub async fn shutdown(&self, deadline: Duration) {
        self.ends.stop.cancel();
        if tokio::time::timeout(deadline, self.stopped.cancelled()).await.is_err() {
            warn!("giving up what has not ended in time");
            self.ends.abandon.cancel();
            self.stopped.cancelled().await;
        }
    }

    /// Resolves when the gateway ends, or has ended, because it cannot go on: the process is to end, and to be started anew.
    pub async fn broken(&self) {
        self.ends.broken.cancelled().await;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.ends.broken.is_cancelled()
    }

    /// Resolves when the gateway has stopped.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }
}

/// How long the SIP side may take for its last transactions after all calls have ended.
const SIP_SHUTDOWN: Duration = Duration::from_secs(1);

async fn run(controller: Controller, channels: Channels, thread: JoinHandle<()>, handle: GatewayHandle) {
    controller.run(channels).await;
    let is_abandoned = handle.ends.abandon.is_cancelled();
    handle.sip.shutdown(if is_abandoned { Duration::ZERO } else { SIP_SHUTDOWN }).await;
    // A runtime that ends meanwhile takes the question back, which is no answer.
    if tokio::task::spawn_blocking(move || thread.join().is_err()).await.unwrap_or(false) {
        error!("the media thread panicked");
    }
    handle.stopped.cancel();
}

/// A gauge that was never touched is not shown, and "nothing is left" shall be seen.
fn show_nothing() {
    gauge!("ringlet_rtp_ports").set(0.0);
    gauge!("ringlet_legs", "kind" => "webrtc").set(0.0);
    gauge!("ringlet_legs", "kind" => "sip").set(0.0);
    gauge!("ringlet_timers", "of" => "media").set(0.0);
}

pub(crate) fn bind_media(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    // Granted or not: a smaller buffer only loses more when the thread is late.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

pub(crate) fn bind_tcp(config: &Config, media: SocketAddr) -> Result<Option<std::net::TcpListener>, StartError> {
    let Some(address) = config.media_tcp.address(media) else { return Ok(None) };
    let bind = || -> io::Result<_> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        // A port with connections of a process before this one is free (RFC 9293 section 3.6.1 keeps them for a while).
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map(Some).map_err(|source| StartError::TcpListener { address, source })
}

fn candidates(config: &Config, bound: SocketAddr) -> Result<Vec<SocketAddr>, StartError> {
    let candidates: Vec<_> = if config.public_ips.is_empty() {
        Some(bound).into_iter().filter(|bound| !bound.ip().is_unspecified()).collect()
    } else {
        config.public_ips.iter().map(|&ip| SocketAddr::new(ip, bound.port())).collect()
    };
    if candidates.is_empty() { Err(StartError::NoCandidate(bound)) } else { Ok(candidates) }
}

#[cfg(test)]
mod tests;
