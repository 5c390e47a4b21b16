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
    transport::{SipConnection, TcpListenerConnection, TransportLayer, udp::UdpConnection},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};
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

/// Opening a listener takes microseconds; after this it has failed.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(2);

/// rsipstack's timer C, which only acts after a provisional response; the call's own bound comes first.
const TIMER_C: Duration = Duration::from_secs(600);

/// What all parts of the stack share.
pub(super) struct Shared {
    pub(super) endpoint: EndpointInnerRef,
    pub(super) settings: Settings,
    /// Where the trunks are, as far as they were looked up: they are served however many strangers crowd the port.
    pub(super) trunk_addresses: Arc<RwLock<BTreeSet<IpAddr>>>,
    /// The sockets are closed: nobody gets responses any more.
    pub(super) closed: CancellationToken,
    /// The last call has ended after a shutdown.
    pub(super) ended: CancellationToken,
    local: SocketAddr,
    calls: AtomicUsize,
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
        let closed = CancellationToken::new();
        let (layer, local) = listen(&settings, &closed).await?;
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
            closed,
            ended: CancellationToken::new(),
            local,
            calls: AtomicUsize::new(0),
        });
        guard(&shared);
        let requests = endpoint.incoming_transactions().map_err(|error| listen_error(local, error))?;
        let (commands, commands_out) = mpsc::channel(COMMAND_QUEUE);
        let (events, events_out) = mpsc::channel(EVENT_QUEUE);
        tokio::spawn(async move { endpoint.serve().await });
        listening(local).await?;
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

async fn listen(settings: &Settings, closed: &CancellationToken) -> Result<(TransportLayer, SocketAddr), SipError> {
    let failed = |error: rsipstack::Error| listen_error(settings.listen, error);
    let (socket, local) = bind(settings.listen).await?;
    let public = settings.public_ip.map(|ip| SocketAddr::new(ip, local.port()));
    let socket = Arc::new(Socket(socket));
    let udp = UdpConnection::from_socket(socket, public, Some(closed.child_token())).await.map_err(failed)?;
    let tcp = TcpListenerConnection::new(local, public).await.map_err(failed)?;
    let layer = TransportLayer::new(closed.clone());
    layer.set_stream_idle_timeout(STREAM_IDLE_TIMEOUT);
    layer.add_transport(SipConnection::Udp(udp));
    layer.add_transport(SipConnection::TcpListener(tcp));
    Ok((layer, local))
}

/// Binds the UDP socket, and makes sure that the TCP port of the same number can be had: rsipstack binds it later, and only
/// logs when it cannot.
async fn bind(listen: SocketAddr) -> Result<(UdpSocket, SocketAddr), SipError> {
    let mut tries = if listen.port() == 0 { FREE_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let socket = UdpSocket::bind(listen).await.map_err(|error| listen_error(listen, error))?;
        let local = socket.local_addr().map_err(|error| listen_error(listen, error))?;
        match TcpListener::bind(local) {
            Ok(_) => return Ok((socket, local)),
            Err(error) if tries == 0 => return Err(listen_error(local, error)),
            Err(_) => {}
        }
    }
}

/// Waits until TCP connections are taken: rsipstack opens its listener in its own time.
async fn listening(local: SocketAddr) -> Result<(), SipError> {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let deadline = Instant::now() + LISTEN_TIMEOUT;
    while let Err(error) = TcpStream::connect((ip, local.port())).await {
        if Instant::now() >= deadline {
            return Err(listen_error(local, error));
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Sheds the load of strangers while the tables are full.
fn guard(shared: &Arc<Shared>) {
    let trunks = shared.trunk_addresses.clone();
    let weak = Arc::downgrade(&shared.endpoint);
    shared.endpoint.transport_layer.set_whitelist(move |ip: IpAddr| {
        let known = trunks.read().unwrap_or_else(PoisonError::into_inner).contains(&ip);
        let weak = weak.clone();
        async move {
            let Some(endpoint) = weak.upgrade() else { return false };
            let stats = endpoint.get_stats();
            let full = stats.running_transactions + stats.finished_transactions > MAX_STRANGERS_TRANSACTIONS
                || endpoint.transport_layer.connections_count() > MAX_STRANGERS_CONNECTIONS;
            known || !full
        }
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
        let (call, id) = (dial.call.clone(), DialogId::new());
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
