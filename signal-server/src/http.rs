//! The listeners: TCP, shared with the gateway's media or not, TLS where it is ours, and the deadlines below HTTP. Not here: what is answered (`app`).

use crate::app::{self, App};
use crate::doors::Doors;
use crate::shared_port::{SharedPort, Sockets};
use crate::{Error, Tls, tls};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::middleware::AddExtension;
use axum_server::Handle;
use axum_server::accept::{Accept, DefaultAcceptor};
use axum_server::tls_rustls::RustlsAcceptor;
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioTimer;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long a client may take to send a request's head, also on a connection that is kept open.
const REQUEST_HEAD: Duration = Duration::from_secs(30);

/// How often it is looked whether connections have ended.
const LOOK: Duration = Duration::from_millis(20);

/// The listeners and what they serve.
pub(crate) struct Http {
    addresses: Vec<SocketAddr>,
    handles: Vec<Handle<SocketAddr>>,
    /// What answers, and does not yet.
    waiting: Vec<BoxFuture<'static, io::Result<()>>>,
    tasks: JoinSet<io::Result<()>>,
}

/// What serves one connection: the router that knows the peer.
type Connected = AddExtension<Router, ConnectInfo<SocketAddr>>;

/// What makes a [`Connected`].
type Service = IntoMakeServiceWithConnectInfo<Router, SocketAddr>;

/// Takes the address, so that a second server on it fails at once.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        // Accepted connections take this over. Candidates and states are small messages that shall not wait for each other.
        socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
        Ok(listener)
    });
    bound.map_err(|source| Error::Listen { address, source })
}

impl Http {
    /// Makes all that can fail; what is the gateway's goes to `sockets`. `helpers` gets the tasks that keep certificates fresh.
    pub(crate) async fn prepare(
        app: &App,
        listeners: Vec<TcpListener>,
        sockets: Option<Sockets>,
        helpers: &mut JoinSet<()>,
    ) -> Result<Self, Error> {
        let mut http = Self { addresses: Vec::new(), handles: Vec::new(), waiting: Vec::new(), tasks: JoinSet::new() };
        let service = app::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        match &app.config.tls {
            Tls::Off => http.serve(app, listeners, SharedPort { web: DefaultAcceptor::new(), sockets }, &service)?,
            Tls::Files { certificate, key } => {
                let config = tls::from_files(certificate, key).await?;
                helpers.spawn(tls::reload_on_change(config.clone(), certificate.clone(), key.clone()));
                http.serve(app, listeners, SharedPort { web: RustlsAcceptor::new(config), sockets }, &service)?;
            }
            Tls::Acme { domains, contacts, cache, staging } => {
                let (acceptor, renewal) = tls::acme(domains, contacts, cache.clone(), *staging);
                helpers.spawn(renewal);
                http.serve(app, listeners, SharedPort { web: acceptor, sockets }, &service)?;
            }
        }
        Ok(http)
    }

    /// Begins to answer.
    pub(crate) fn open(&mut self) {
        for server in self.waiting.drain(..) {
            self.tasks.spawn(server);
        }
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until a listener ends that must not.
    pub(crate) async fn broken(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(ended) => format!("listening: {ended:?}"),
            // Nothing to listen on was configured; nothing can break.
            None => std::future::pending().await,
        }
    }

    /// Accepts no further connection. Those that there are go on: one whose first request has not come yet would be refused.
    pub(crate) fn stop_accepting(&mut self) {
        self.tasks.abort_all();
    }

    /// Takes no further request, and ends when those under way are answered or the deadline has passed.
    pub(crate) async fn close(mut self, deadline: Duration) {
        for handle in &self.handles {
            handle.graceful_shutdown(Some(deadline));
        }
        while self.tasks.join_next().await.is_some() {}
        let until = Instant::now() + deadline;
        while Instant::now() < until && self.handles.iter().any(|handle| handle.connection_count() > 0) {
            sleep(LOOK).await;
        }
    }

    fn serve<A>(&mut self, app: &App, listeners: Vec<TcpListener>, inner: A, service: &Service) -> Result<(), Error>
    where
        A: Accept<TcpStream, Connected, Service = Connected> + Clone + Send + Sync + 'static,
        A::Stream: AsyncRead + AsyncWrite + Unpin + Send,
        A::Future: Send,
    {
        let doors = Doors { inner, app: app.clone() };
        for listener in listeners {
            let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
            let address = listener.local_addr().map_err(|source| Error::Listen { address: unknown, source })?;
            let failed = |source| Error::Listen { address, source };
            let handle = Handle::new();
            let mut server = axum_server::from_tcp(listener).map_err(failed)?.acceptor(doors.clone());
            let http1 = &mut server.http_builder().http1();
            http1.timer(TokioTimer::new()).header_read_timeout(REQUEST_HEAD);
            let http2 = &mut server.http_builder().http2();
            http2.timer(TokioTimer::new()).keep_alive_interval(REQUEST_HEAD).keep_alive_timeout(REQUEST_HEAD);
            self.waiting.push(Box::pin(server.handle(handle.clone()).serve(service.clone())));
            self.handles.push(handle);
            self.addresses.push(address);
        }
        Ok(())
    }
}
