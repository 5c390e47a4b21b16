//! How one server takes the place of another on the same store and listeners, both of one machine: the earlier stops accepting, leaves
//! its calls to the later one, writes what there is to write, and gives its gateway back, which goes on with their audio and is
//! the later one's from then on. Not here: how listeners get from process to process.

use crate::LocalGateway;
use crate::hub::Message;
use crate::server::Running;
use axum::serve::Listener;
use futures_util::future::BoxFuture;
use protocol::GatewayId;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::unix::SocketAddr as UnixAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// How long connections may be served that were accepted just before: a TLS handshake and a request.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Before the next connection when one could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server takes over from the one before it.
pub struct Inherited {
    /// Where that listens. Those are used that [`Config::listen`](crate::Config::listen) names.
    pub listeners: Vec<TcpListener>,
    /// Asked for when all is ready to go on: comes when the earlier server has let go of its calls.
    pub let_go: BoxFuture<'static, io::Result<()>>,
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inherited").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// How a running server is asked to leave its place to another.
#[derive(Clone, Debug)]
pub struct Handover {
    listeners: Arc<Mutex<Option<Vec<TcpListener>>>>,
    requests: mpsc::Sender<Request>,
}

/// Asks for it.
#[derive(Debug)]
pub(crate) struct Request {
    /// What the local gateway is called towards the next server.
    heir: GatewayId,
    gateway: oneshot::Sender<Option<LocalGateway>>,
}

impl Handover {
    pub(crate) fn new(listeners: &[TcpListener]) -> io::Result<(Self, mpsc::Receiver<Request>)> {
        let twins = listeners.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        let (requests, requested) = mpsc::channel(1);
        Ok((Self { listeners: Arc::new(Mutex::new(Some(twins))), requests }, requested))
    }

    /// The listeners, for the next process. Nothing changes before [`let_go`](Self::let_go).
    ///
    /// # Errors
    /// What the system says; when they are given away already.
    pub fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        let held = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let given = || io::Error::other("the listeners are another process's already");
        held.as_ref().ok_or_else(given)?.iter().map(TcpListener::try_clone).collect()
    }

    /// Leaves listeners and calls to the next process, and gives back the gateway that was given to
    /// [`serve`](crate::serve). Returns when the records are written. `None` when the server ends anyhow.
    pub async fn let_go(&self, heir: GatewayId) -> Option<LocalGateway> {
        let (gateway, given_back) = oneshot::channel();
        self.requests.send(Request { heir, gateway }).await.ok()?;
        let gateway = given_back.await.ok()?;
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).take();
        gateway
    }
}

impl Running {
    /// Lets the next process have all but what is under way.
    pub(crate) async fn hand_over(mut self, Request { heir, gateway }: Request) -> Self {
        tracing::info!(calls = self.app.hub.status().calls, %heir, "another process takes over");
        // What the gateway says from now on it tells the next server.
        self.http.stop_accepting();
        let local = match self.local.take() {
            Some((stop, task)) => {
                stop.cancel();
                task.await.ok().flatten()
            }
            None => None,
        };
        self.app.hub.tell(Message::HandOver { heir }).await;
        self.end_hub().await;
        // Whoever asked may be gone; then nobody needs it.
        drop(gateway.send(local));
        sleep(LINGER).await;
        self
    }
}

/// The listener of those whose place is below `listeners` of `wanted`.
pub(crate) fn taken_from(listeners: &mut Vec<TcpListener>, wanted: SocketAddr) -> Option<TcpListener> {
    let at = listeners.iter().position(|it| it.local_addr().is_ok_and(|bound| bound == wanted))?;
    Some(listeners.swap_remove(at))
}

/// Accepts gateways of this machine and this user.
pub(crate) struct Gateways(UnixListener);

/// [`Gateways`] that nobody finds yet.
pub(crate) struct HiddenGateways {
    listener: UnixListener,
    path: PathBuf,
    hidden: PathBuf,
}

impl HiddenGateways {
    /// Listens beside the path, which may be that of a process that runs.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        let mut hidden = path.as_os_str().to_owned();
        hidden.push(".new");
        let hidden = PathBuf::from(hidden);
        match std::fs::remove_file(&hidden) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&hidden)?;
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned(), hidden })
    }

    /// Takes the path, which an earlier process may have left behind.
    pub(crate) fn show(self) -> io::Result<Gateways> {
        std::fs::rename(&self.hidden, &self.path)?;
        Ok(Gateways(self.listener))
    }
}

impl Listener for Gateways {
    type Io = UnixStream;
    type Addr = UnixAddr;

    async fn accept(&mut self) -> (UnixStream, UnixAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a gateway of this machine is not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<UnixAddr> {
        self.0.local_addr()
    }
}
