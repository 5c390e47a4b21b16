//! The server's life: what is started in which order, and how it ends without losing a record.

use crate::app::{App, Parts};
use crate::assets::Assets;
use crate::card::CardTokens;
use crate::handover::{self, Handover, HiddenGateways, Inherited};
use crate::http::{self, Http};
use crate::hub::{Hub, Stopping};
use crate::limits::Limits;
use crate::lookup::Lookup;
use crate::resolver::Resolver;
use crate::store::{Millis, RecordWriter, Store};
use crate::token::{PanelTokens, ResumeTokens};
use crate::{Config, LocalGateway, Origin, Secret, gateway, id, metrics};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use std::{fmt, io};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long sockets and requests may take to close at the end.
const CLOSE: Duration = Duration::from_secs(2);

/// How long the records may take to reach the disk at the end, beyond which a supervisor would kill the process.
const WRITE: Duration = Duration::from_secs(20);

/// How often what is idle is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// The smallest secret for HS256 (RFC 7518 section 3.2).
const MIN_TOKEN_SECRET_BYTES: usize = 32;

/// Why the server cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The public URL has no http or https origin.
    #[error("public_url {0} is neither http nor https")]
    PublicUrl(url::Url),
    /// The token secret is too short to sign with.
    #[error("the token secret has fewer than {MIN_TOKEN_SECRET_BYTES} bytes")]
    TokenSecret,
    /// The certificate files cannot be used.
    #[error("cannot use the certificate {} with the key {}: {source}", certificate.display(), key.display())]
    Certificate {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be opened, migrated or read.
    #[error("the database {} fails: {reason}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The configured merchants or keys contradict each other or what is stored.
    #[error("{0}")]
    Seed(String),
    /// The process's metrics are collected by somebody else.
    #[error("metrics cannot be collected: {0}")]
    Metrics(String),
    /// The place of an earlier server cannot be taken, or not be given to a later one.
    #[error("the handover fails: {0}")]
    Handover(String),
    /// A task of the server ended that must not: a bug.
    #[error("a task of the server ended unexpectedly: {0}")]
    Task(String),
}

impl Error {
    fn database(config: &Config, error: &sqlx::Error) -> Self {
        Self::Database { path: config.database.clone(), reason: error.to_string() }
    }
}

/// A server that runs. To be waited for with [`ended`](Self::ended); dropping it does not end it.
pub struct Server {
    addresses: Vec<SocketAddr>,
    handover: Handover,
    task: JoinHandle<Result<(), Error>>,
}

impl Server {
    /// How another process takes this one's place.
    pub fn handover(&self) -> Handover {
        self.handover.clone()
    }

    /// Where it listens, in the order of [`Config::listen`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until the shutdown that was asked for is done: calls ended, records written, sockets closed.
    ///
    /// # Errors
    /// [`Error::Task`] when the server ended by itself.
    pub async fn ended(self) -> Result<(), Error> {
        self.task.await.unwrap_or_else(|error| Err(Error::Task(error.to_string())))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Starts the server. It listens when this returns.
///
/// When `shutdown` is cancelled, no new call is taken, running ones may go on for [`Deadlines::drain`](crate::Deadlines),
/// then they are ended, their records written and every socket closed. With `inherited` it goes on in the place of a server that
/// runs still.
///
/// # Errors
/// See [`Error`].
pub async fn serve(
    config: Config,
    local_gateway: Option<LocalGateway>,
    shutdown: CancellationToken,
    inherited: Option<Inherited>,
) -> Result<Server, Error> {
    start(config, local_gateway, shutdown, inherited, Assets::embedded()).await
}

/// [`serve`] with other assets than the embedded ones.
pub(crate) async fn start(
    config: Config,
    local_gateway: Option<LocalGateway>,
    shutdown: CancellationToken,
    inherited: Option<Inherited>,
    assets: Assets,
) -> Result<Server, Error> {
    let metrics = metrics::install_metrics()?;
    let public_origin = Origin::of(&config.public_url).ok_or_else(|| Error::PublicUrl(config.public_url.clone()))?;
    let (mut given, let_go) = inherited.map(|it| (it.listeners, it.let_go)).unzip();
    let listeners = listeners(&config, given.get_or_insert_default())?;
    let (handover, requests) = Handover::new(&listeners).map_err(|error| Error::Handover(error.to_string()))?;
    let (store, token_secret) = open_store(&config).await?;

    let (records, writer) = RecordWriter::new(store.clone());
    let resume_tokens = ResumeTokens::new(&token_secret);
    let resolver = Resolver::new(&config.resolver_networks).map_err(|error| Error::Task(error.to_string()))?;
    let lookup = |messages| Lookup::new(store.clone(), resolver, messages);
    let (hub_handle, mut hub) = Hub::new(switchboard_config(&config), resume_tokens.clone(), records, lookup);
    let app = App::new(Parts {
        public_origin,
        limits: Limits::new(&config.limits),
        panel_tokens: PanelTokens::new(&token_secret),
        card_tokens: CardTokens::new(&token_secret),
        resume_tokens,
        store: store.clone(),
        hub: hub_handle.clone(),
        assets,
        metrics,
        tasks: TaskTracker::new(),
        shutdown: shutdown.clone(),
        closing: CancellationToken::new(),
        config,
    });
    let mut helpers = JoinSet::new();
    let sockets = local_gateway.as_ref().and_then(|local| local.sockets.clone());
    let mut http = Http::prepare(&app, listeners, sockets, &mut helpers).await?;
    let unheard = |path: &PathBuf, error: io::Error| Error::Handover(format!("{}: {error}", path.display()));
    let gateways = match &app.config.gateway_socket {
        Some(path) => Some((path, HiddenGateways::listen(path).map_err(|error| unheard(path, error))?)),
        None => None,
    };
    let open = async || store.open_calls(Millis::now()).await.map_err(|error| Error::database(&app.config, &error));
    if let Some(let_go) = let_go {
        // What cannot be read now could not be read afterwards either, when it would cost the calls.
        open().await?;
        let_go.await.map_err(|error| Error::Handover(error.to_string()))?;
    }
    // From here on nothing fails that could be known before: there is no way back.
    hub.restore(open().await?, &app.limits).await;
    helpers.spawn(housekeeping(app.clone()));
    http.open();
    if let Some((path, gateways)) = gateways {
        let listener = gateways.show().map_err(|error| unheard(path, error))?;
        helpers.spawn(gateway::serve_on(listener, app.clone()));
    }
    let hub = tokio::spawn(hub.run(Stopping { shutdown: shutdown.clone(), drain: app.config.deadlines.drain }));
    let writer = tokio::spawn(writer.run());
    let local = local_gateway.map(|local| {
        let stop = CancellationToken::new();
        (stop.clone(), app.tasks.spawn(gateway::serve_local(hub_handle, local, stop)))
    });
    let addresses = http.addresses().to_vec();
    let ends = Some((hub, writer));
    let running = Running { app, http, local, ends, ended: Ok(()), helpers };
    Ok(Server { addresses, handover, task: tokio::spawn(running.run(requests)) })
}

fn listeners(config: &Config, given: &mut Vec<TcpListener>) -> Result<Vec<TcpListener>, Error> {
    let take = |address: &SocketAddr| handover::taken_from(given, *address).map_or_else(|| http::listen(*address), Ok);
    config.listen.iter().map(take).collect()
}

/// What has to end when the server does.
pub(crate) struct Running {
    pub(crate) app: App,
    pub(crate) http: Http,
    pub(crate) local: Option<(CancellationToken, JoinHandle<Option<LocalGateway>>)>,
    /// Hub and writer.
    ends: Option<(JoinHandle<()>, JoinHandle<()>)>,
    ended: Result<(), Error>,
    helpers: JoinSet<()>,
}

impl Running {
    /// Waits for the shutdown and carries it out, in the order in which things need each other.
    async fn run(mut self, mut requests: mpsc::Receiver<handover::Request>) -> Result<(), Error> {
        let shutdown = self.app.shutdown.clone();
        let broken = tokio::select! {
            () = shutdown.cancelled() => None,
            why = self.http.broken() => Some(why),
            Some(request) = requests.recv() => return self.hand_over(request).await.close().await,
        };
        if let Some(why) = &broken {
            tracing::error!(why, "shutting down");
            shutdown.cancel();
        }
        tracing::info!(calls = self.app.hub.status().calls, "stopping: no new calls");
        self.end_hub().await;
        if let Some(path) = &self.app.config.gateway_socket {
            // It may be gone; whoever binds it next takes it away.
            let _ = std::fs::remove_file(path);
        }
        let ended = self.close().await;
        if let Some(why) = broken { Err(Error::Task(why)) } else { ended }
    }

    /// Waits for the hub, which ends when its calls have and has deadlines of its own. With it ends the queue of the writer.
    pub(crate) async fn end_hub(&mut self) {
        let Some((hub, writer)) = self.ends.take() else { return };
        let hub = hub.await;
        let written = timeout(WRITE, writer).await;
        self.ended = match (hub, written) {
            (Err(error), _) => Err(Error::Task(format!("hub: {error}"))),
            (Ok(()), Ok(ended)) => ended.map_err(|error| Error::Task(format!("record writer: {error}"))),
            (Ok(()), Err(_)) => Err(Error::Task(format!("the records were not written within {} s", WRITE.as_secs()))),
        };
    }

    /// Closes the sockets, then the requests, and with them the last who use the store.
    async fn close(self) -> Result<(), Error> {
        let Self { app, http, helpers, ended, .. } = self;
        app.closing.cancel();
        app.tasks.close();
        if timeout(CLOSE, app.tasks.wait()).await.is_err() {
            tracing::warn!(sockets = app.tasks.len(), "some sockets did not close in time");
        }
        http.close(CLOSE).await;
        drop(helpers);
        app.store.close().await;
        tracing::info!("stopped");
        ended
    }
}

async fn open_store(config: &Config) -> Result<(Store, Secret), Error> {
    let failed = |error: sqlx::Error| Error::database(config, &error);
    let store = Store::open(&config.database).await.map_err(failed)?;
    store.seed(&config.seed, Millis::now()).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        Error::Seed(format!("{error}: {cause}"))
    })?;
    let secret = match &config.token_secret {
        Some(secret) => secret.clone(),
        None => Secret::new(store.secret("panel_token", &id::secret()).await.map_err(failed)?),
    };
    if secret.reveal().len() < MIN_TOKEN_SECRET_BYTES {
        return Err(Error::TokenSecret);
    }
    Ok((store, secret))
}

fn switchboard_config(config: &Config) -> switchboard::Config {
    switchboard::Config {
        max_calls: config.limits.calls as usize,
        setup: config.deadlines.setup,
        resume: config.deadlines.resume,
        gateway: config.deadlines.gateway,
        ..switchboard::Config::default()
    }
}

async fn housekeeping(app: App) {
    let mut tick = interval(HOUSEKEEPING);
    loop {
        tick.tick().await;
        app.limits.forget_idle();
        app.metrics.run_upkeep();
        if let Some(before) = app.config.keep_calls.and_then(|keep| SystemTime::now().checked_sub(keep))
            && let Err(error) = app.store.forget_calls(before.into()).await
        {
            tracing::warn!(%error, "old records of calls could not be deleted");
        }
    }
}
