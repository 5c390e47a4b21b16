//! The running stack: sockets, the table of calls, and who gets which request.
//!
//! One task owns the table; each call is a task of its own. Nothing here waits for a call.

use super::{
    Dial, Settings, SipError, SipEvent, SipStats,
    dialog::DialogId,
    handle::{COMMAND_QUEUE, CallCommand, Command, SipHandle},
    incoming::{self, Incoming},
    outgoing::{self, Outgoing},
    probe, server,
    shared_port::{OURS, SharedPort},
    socket::Socket,
};
use crate::config::Trunk;
use futures_util::FutureExt as _;
use protocol::{CallId, TrunkName};
use rsipstack::{
    EndpointBuilder,
    sip::{Header, Method, headers::Accept},
    transaction::{
        TransactionReceiver,
        endpoint::{EndpointInnerRef, EndpointOption},
        random_text,
        transaction::Transaction,
    },
    transport::{SipAddr, SipConnection, TransportLayer, tcp::TcpConnection, udp::UdpConnection},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::unix::net::UnixDatagram,
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// How we sign our messages.
pub(super) const USER_AGENT: &str = concat!("Ringlet/", env!("CARGO_PKG_VERSION"));

/// Events that may wait for the media side: a handful a call, at the largest capacities.
const EVENT_QUEUE: usize = 1024;

/// Commands and requests that may wait for one call: it only ever waits for events to be taken.
const CALL_QUEUE: usize = 16;

/// Transactions that strangers may keep open at the same time. Above, only trunks are served, so that a flood on the open
/// port cannot eat the memory.
const MAX_STRANGERS_TRANSACTIONS: usize = 4096;

/// TCP connections that strangers may keep open, for the same reason.
const MAX_STRANGERS_CONNECTIONS: usize = 256;

/// Calls are long and their dialogs silent: a connection may be idle as long as a long call. TCP keeps it till then.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// A port that is free for UDP is mostly free for TCP too.
const FREE_PORT_TRIES: u32 = 16;

/// Before the next connection when one could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// rsipstack's timer C, which only acts after a provisional response; the call's own bound comes first.
const TIMER_C: Duration = Duration::from_secs(600);

/// What all parts of the stack share.
pub(super) struct Shared {
    pub(super) endpoint: EndpointInnerRef,
    pub(super) settings: Settings,
    /// Where the trunks are, as far as they were looked up: they are served however many strangers crowd the port.
    pub(super) trunk_addresses: Arc<RwLock<BTreeSet<IpAddr>>>,
    /// The trunk's address of each call that we make.
    pub(super) peers: RwLock<BTreeMap<CallId, IpAddr>>,
    /// The sockets are closed: nobody gets responses any more.
    pub(super) closed: CancellationToken,
    /// The last call has ended after a shutdown.
    pub(super) ended: CancellationToken,
    /// Ends the Call-IDs of this process.
    pub(super) process: String,
    pub(super) port: Arc<SharedPort>,
    local: SocketAddr,
    calls: AtomicUsize,
}

/// The sockets of a stack, non-blocking.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) udp: std::net::UdpSocket,
    pub(crate) tcp: TcpListener,
    /// Where messages go that belong to a process which had these sockets before.
    pub(crate) predecessor: Option<UnixDatagram>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("local", &self.local).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn trunk(&self, name: &TrunkName) -> Result<&Trunk, SipError> {
        self.settings.trunks.iter().find(|trunk| trunk.name == *name).ok_or_else(|| SipError::NoSuchTrunk(name.clone()))
    }

    /// The trunk that a call goes to is at this address.
    pub(super) fn note_peer(&self, call: &CallId, ip: IpAddr) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).insert(call.clone(), ip.to_canonical());
    }

    /// Where the SIP of a call that we make comes from.
    pub(super) fn peer(&self, call: &CallId) -> Option<IpAddr> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(call).copied()
    }

    /// Whether a call can be made.
    pub(super) fn check(&self, dial: &Dial) -> Result<(), SipError> {
        let trunk = self.trunk(&dial.trunk)?;
        outgoing::request_uri(trunk, &dial.address).ok_or(SipError::BadAddress)?;
        if self.calls.load(Ordering::Relaxed) >= self.settings.max_calls { Err(SipError::Full) } else { Ok(()) }
    }

    pub(super) fn stats(&self) -> SipStats {
        SipStats {
            calls: self.calls.load(Ordering::Relaxed),
            transactions: self.endpoint.get_stats().running_transactions,
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether there is room for what comes from there.
    fn admits(&self, ip: IpAddr) -> bool {
        let stats = self.endpoint.get_stats();
        let full = stats.running_transactions + stats.finished_transactions > MAX_STRANGERS_TRANSACTIONS
            || self.endpoint.transport_layer.connections_count() > MAX_STRANGERS_CONNECTIONS;
        !full || self.trunk_addresses.read().unwrap_or_else(PoisonError::into_inner).contains(&ip)
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }
}

/// What reaches a call.
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<CallCommand>,
    pub(super) requests: mpsc::Receiver<Transaction>,
}

/// The SIP side of a gateway, or of a phone.
#[derive(Debug)]
pub struct SipStack;

impl SipStack {
    /// Opens the sockets and runs the stack on the current tokio runtime.
    ///
    /// # Errors
    /// [`SipError::Listen`] when the port cannot be had.
    pub async fn start(settings: Settings) -> Result<(SipHandle, mpsc::Receiver<SipEvent>), SipError> {
        let ports = bind(settings.listen)?;
        Self::start_with(settings, ports).await
    }

    /// [`start`](Self::start) with sockets that are open already.
    pub(crate) async fn start_with(
        settings: Settings,
        ports: Ports,
    ) -> Result<(SipHandle, mpsc::Receiver<SipEvent>), SipError> {
        let closed = CancellationToken::new();
        let process = format!("@{:08x}{OURS}", rand::random::<u32>());
        let unusable = |error| listen_error(settings.listen, error);
        let local = ports.udp.local_addr().map_err(unusable)?;
        let port = Arc::new(SharedPort::new(process.clone(), ports.predecessor).map_err(unusable)?);
        let udp = UdpSocket::from_std(ports.udp).map_err(unusable)?;
        let listener = tokio::net::TcpListener::from_std(ports.tcp).map_err(unusable)?;
        let public = settings.public_ip.map(|ip| SocketAddr::new(ip, local.port()));
        let layer = listen(Socket { udp, port: port.clone() }, public, &closed)
            .await
            .map_err(|error| listen_error(local, error))?;
        let option = EndpointOption {
            t1: settings.t1,
            t2: 8 * settings.t1,
            t4: 10 * settings.t1,
            t1x64: 64 * settings.t1,
            timerc: TIMER_C,
            ..EndpointOption::default()
        };
        let endpoint = EndpointBuilder::new()
            .with_user_agent(USER_AGENT)
            .with_transport_layer(layer)
            .with_cancel_token(closed.clone())
            .with_option(option)
            .build();
        let literal = settings.trunks.iter().filter_map(|trunk| trunk.host.parse().ok());
        let trunk_addresses = Arc::new(RwLock::new(literal.collect()));
        let shared = Arc::new(Shared {
            endpoint: endpoint.inner.clone(),
            settings,
            trunk_addresses,
            peers: RwLock::default(),
            closed,
            ended: CancellationToken::new(),
            process,
            port,
            local,
            calls: AtomicUsize::new(0),
        });
        guard(&shared);
        let requests = endpoint.incoming_transactions().map_err(|error| listen_error(local, error))?;
        let (commands, commands_out) = mpsc::channel(COMMAND_QUEUE);
        let (events, events_out) = mpsc::channel(EVENT_QUEUE);
        tokio::spawn(async move { endpoint.serve().await });
        tokio::spawn(accept(shared.clone(), listener, public.unwrap_or(local)));
        tokio::spawn(probe::keep_alive(shared.clone()));
        let table = Table {
            shared: shared.clone(),
            events,
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        tokio::spawn(table.run(commands_out, requests));
        info!(%local, "listening for SIP");
        Ok((SipHandle { commands, shared }, events_out))
    }
}

fn listen_error(address: SocketAddr, error: impl fmt::Display) -> SipError {
    SipError::Listen { address, detail: error.to_string() }
}

async fn listen(
    socket: Socket,
    public: Option<SocketAddr>,
    closed: &CancellationToken,
) -> Result<TransportLayer, rsipstack::Error> {
    let udp = UdpConnection::from_socket(Arc::new(socket), public, Some(closed.child_token())).await?;
    let layer = TransportLayer::new(closed.clone());
    layer.set_stream_idle_timeout(STREAM_IDLE_TIMEOUT);
    layer.add_transport(SipConnection::Udp(udp));
    Ok(layer)
}

/// Binds UDP and TCP of the same number.
pub(crate) fn bind(listen: SocketAddr) -> Result<Ports, SipError> {
    let mut tries = if listen.port() == 0 { FREE_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let bound = || -> io::Result<_> {
            let udp = std::net::UdpSocket::bind(listen)?;
            udp.set_nonblocking(true)?;
            Ok((udp.local_addr()?, udp))
        };
        let (local, udp) = bound().map_err(|error| listen_error(listen, error))?;
        let tcp = TcpListener::bind(local).and_then(|tcp| tcp.set_nonblocking(true).map(|()| tcp));
        match tcp {
            Ok(tcp) => return Ok(Ports { udp, tcp, predecessor: None }),
            Err(error) if tries == 0 => return Err(listen_error(local, error)),
            Err(_) => {}
        }
    }
}

/// Takes connections until the stack ends or another process takes them. rsipstack's own listener opens its socket by itself.
async fn accept(shared: Arc<Shared>, listener: tokio::net::TcpListener, local: SocketAddr) {
    let layer = &shared.endpoint.transport_layer;
    let local = SipAddr::new(rsipstack::sip::Transport::Tcp, local.into());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.closed.cancelled() => return,
            () = shared.port.let_go.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, peer)) if shared.admits(peer.ip()) => stream,
            Ok((_, peer)) => {
                debug!(%peer, "a stranger's connection, and there are too many");
                continue;
            }
            Err(error) => {
                // Of the peer, or of a table that is full: the next may do.
                warn!(%error, "a SIP connection is not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let closed = Some(shared.closed.child_token());
        match TcpConnection::from_stream(stream, local.clone(), closed) {
            Ok(connection) => layer.add_connection(SipConnection::Tcp(connection)),
            Err(error) => debug!(%error, "a connection that is gone already"),
        }
    }
}

/// Sheds the load of strangers while the tables are full.
fn guard(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    shared.endpoint.transport_layer.set_whitelist(move |ip: IpAddr| {
        let admitted = weak.upgrade().is_some_and(|shared| shared.admits(ip));
        async move { admitted }
    });
}

/// The table of calls.
struct Table {
    shared: Arc<Shared>,
    events: mpsc::Sender<SipEvent>,
    calls: BTreeMap<CallId, Entry>,
    dialogs: BTreeMap<DialogId, CallId>,
    tasks: JoinSet<CallId>,
}

struct Entry {
    commands: mpsc::Sender<CallCommand>,
    requests: mpsc::Sender<Transaction>,
    dialog: DialogId,
}

impl Table {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut requests: TransactionReceiver) {
        let mut stopping = false;
        while !(stopping && self.calls.is_empty()) {
            tokio::select! {
                command = commands.recv(), if !stopping => match command {
                    Some(Command::Dial(dial)) => self.dial(*dial),
                    Some(Command::Call(call, command)) => self.forward(&call, command),
                    Some(Command::Shutdown) | None => {
                        stopping = true;
                        self.release_all();
                    }
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(call) = ended {
                        self.forget(&call);
                    }
                }
                Some(request) = requests.recv() => self.on_request(request, stopping),
                () = self.shared.closed.cancelled() => break,
            }
            self.count();
        }
        self.tasks.abort_all();
        self.calls.clear();
        self.count();
        self.shared.ended.cancel();
        self.shared.close();
        debug!("the SIP side has ended");
    }

    fn dial(&mut self, dial: Dial) {
        let Ok(trunk) = self.shared.trunk(&dial.trunk).cloned() else { return };
        if self.calls.contains_key(&dial.call) {
            return warn!(call = %dial.call, "dialled twice");
        }
        let (call, id) = (dial.call.clone(), DialogId::new(&self.shared.process));
        let inbox = self.register(&call, &id);
        let (shared, events) = (self.shared.clone(), self.events.clone());
        self.spawn(call, id.clone(), Outgoing { shared, trunk, dial, id, events, inbox }.run());
    }

    fn register(&mut self, call: &CallId, id: &DialogId) -> Inbox {
        let (commands_in, commands) = mpsc::channel(CALL_QUEUE);
        let (requests_in, requests) = mpsc::channel(CALL_QUEUE);
        let entry = Entry { commands: commands_in, requests: requests_in, dialog: id.clone() };
        self.calls.insert(call.clone(), entry);
        self.dialogs.insert(id.clone(), call.clone());
        Inbox { commands, requests }
    }

    /// Runs a call; whatever becomes of it, `Closed` is its last event.
    fn spawn(&mut self, call: CallId, id: DialogId, run: impl Future<Output = ()> + Send + 'static) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            if AssertUnwindSafe(run).catch_unwind().await.is_err() {
                error!(%call, sip_call_id = %id.call_id, "the call's task panicked");
            }
            let _ = events.send(SipEvent::Closed { call: call.clone(), sip_call_id: Some(id.call_id) }).await;
            call
        });
    }

    fn forward(&self, call: &CallId, command: CallCommand) {
        let Some(entry) = self.calls.get(call) else { return debug!(%call, "command for a call that is gone") };
        if entry.commands.try_send(command).is_err() {
            warn!(%call, "the call does not take its commands");
        }
    }

    fn forget(&mut self, call: &CallId) {
        self.shared.peers.write().unwrap_or_else(PoisonError::into_inner).remove(call);
        if let Some(entry) = self.calls.remove(call) {
            self.dialogs.remove(&entry.dialog);
        }
    }

    fn release_all(&self) {
        for entry in self.calls.values() {
            // A call whose queue is full ends when its sender goes, below.
            let _ = entry.commands.try_send(CallCommand::Release("shutdown".to_owned()));
        }
    }

    fn on_request(&mut self, transaction: Transaction, stopping: bool) {
        let request = &transaction.original;
        if let Some(id) = DialogId::of(request) {
            let Some(entry) = self.dialogs.get(&id).and_then(|call| self.calls.get(call)) else {
                debug!(method = %request.method, sip_call_id = %id.call_id, "request for a dialog that is not there");
                return server::reply(&self.shared, transaction, 481, Vec::new());
            };
            if let Err(mpsc::error::TrySendError::Full(transaction) | mpsc::error::TrySendError::Closed(transaction)) =
                entry.requests.try_send(transaction)
            {
                server::reply(&self.shared, transaction, 503, Vec::new());
            }
            return;
        }
        let (status, headers) = match request.method {
            Method::Options => {
                (200, [server::capabilities(), vec![Header::Accept(Accept::new("application/sdp"))]].concat())
            }
            Method::Invite if self.shared.settings.accept_calls && !stopping => return self.on_invite(transaction),
            // Nobody can be called here.
            Method::Invite => (404, Vec::new()),
            // Methods that we know but only within a dialog.
            Method::Bye | Method::Info | Method::Update | Method::PRack => (481, Vec::new()),
            Method::Ack | Method::Cancel => return,
            Method::Message
            | Method::Notify
            | Method::Publish
            | Method::Refer
            | Method::Register
            | Method::Subscribe => (405, server::capabilities()),
        };
        debug!(method = %request.method, status, "request out of dialog");
        server::reply(&self.shared, transaction, status, headers);
    }

    fn on_invite(&mut self, transaction: Transaction) {
        let request = &transaction.original;
        if let Some(header) = server::unsupported(request) {
            return server::reply(&self.shared, transaction, 420, vec![header]);
        }
        if self.calls.len() >= self.shared.settings.max_calls {
            return server::reply(&self.shared, transaction, 486, Vec::new());
        }
        let Ok(sdp) = server::sdp_of(&request.headers.0, &request.body) else {
            return server::reply(&self.shared, transaction, 415, vec![Header::Accept(Accept::new("application/sdp"))]);
        };
        let Some((dialog, hop)) = incoming::dialog_of(&self.shared, &transaction) else {
            return server::reply(&self.shared, transaction, 400, Vec::new());
        };
        let (call, id) = (CallId::new(random_text(16)), dialog.id.clone());
        let inbox = self.register(&call, &id);
        let (shared, events) = (self.shared.clone(), self.events.clone());
        let incoming = Incoming { shared, call: call.clone(), dialog, hop, sdp, transaction, events, inbox };
        self.spawn(call, id, incoming.run());
    }

    fn count(&self) {
        self.shared.calls.store(self.calls.len(), Ordering::Relaxed);
        metrics::gauge!("ringlet_sip_transactions").set(self.shared.stats().transactions as f64);
    }
}
