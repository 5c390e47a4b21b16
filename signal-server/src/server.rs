//! The server's life: what is started in which order, and how it ends without losing a record.

use crate::app::{App, Parts};
use crate::assets::Assets;
use crate::http::{self, Http};
use crate::hub::{Hub, Stopping};
use crate::limits::Limits;
use crate::lookup::Lookup;
use crate::resolver::Resolver;
use crate::store::{Millis, RecordWriter, Store};
use crate::token::{PanelTokens, ResumeTokens};
use crate::{Config, LocalGateway, Origin, Secret, gateway, id, metrics};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};
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
    task: JoinHandle<Result<(), Error>>,
}

impl Server {
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
/// then they are ended, their records written and every socket closed.
///
/// # Errors
/// See [`Error`].
pub async fn serve(
    config: Config,
    local_gateway: Option<LocalGateway>,
    shutdown: CancellationToken,
) -> Result<Server, Error> {
    start(config, local_gateway, shutdown, Assets::embedded()).await
}

/// [`serve`] with other assets than the embedded ones.
pub(crate) async fn start(
    config: Config,
    local_gateway: Option<LocalGateway>,
    shutdown: CancellationToken,
    assets: Assets,
) -> Result<Server, Error> {
    let metrics = metrics::install_metrics()?;
    let public_origin = Origin::of(&config.public_url).ok_or_else(|| Error::PublicUrl(config.public_url.clone()))?;
    let listeners = config.listen.iter().map(|address| http::listen(*address)).collect::<Result<Vec<_>, _>>()?;
    let (store, token_secret) = open_store(&config).await?;

    let (records, writer) = RecordWriter::new(store.clone());
    let resume_tokens = ResumeTokens::new(&token_secret);
    let resolver = Resolver::new(&config.resolver_networks).map_err(|error| Error::Task(error.to_string()))?;
    let lookup = |messages| Lookup::new(store.clone(), resolver, messages);
    let (hub_handle, mut hub) = Hub::new(switchboard_config(&config), resume_tokens.clone(), records, lookup);
    let open = store.open_calls(Millis::now()).await.map_err(|error| Error::database(&config, &error))?;
    let app = App::new(Parts {
        public_origin,
        limits: Limits::new(&config.limits),
        panel_tokens: PanelTokens::new(&token_secret),
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
    hub.restore(open, &app.limits).await;
    let mut helpers = JoinSet::new();
    helpers.spawn(housekeeping(app.clone()));
    let sockets = local_gateway.as_ref().and_then(|local| local.sockets.clone());
    let http = Http::start(&app, listeners, sockets, &mut helpers).await?;

    let hub = tokio::spawn(hub.run(Stopping { shutdown: shutdown.clone(), drain: app.config.deadlines.drain }));
    let writer = tokio::spawn(writer.run());
    if let Some(local) = local_gateway {
        app.tasks.spawn(gateway::serve_local(hub_handle, local));
    }
    let addresses = http.addresses().to_vec();
    let task = tokio::spawn(run(app, http, hub, writer, helpers));
    Ok(Server { addresses, task })
}

/// Waits for the shutdown and carries it out, in the order in which things need each other.
async fn run(
    app: App,
    mut http: Http,
    hub: JoinHandle<()>,
    writer: JoinHandle<()>,
    helpers: JoinSet<()>,
) -> Result<(), Error> {
    let broken = tokio::select! {
        () = app.shutdown.cancelled() => None,
        why = http.broken() => Some(why),
    };
    if let Some(why) = &broken {
        tracing::error!(why, "shutting down");
        app.shutdown.cancel();
    }
    tracing::info!(calls = app.hub.status().calls, "stopping: no new calls");
    // 1. The hub ends when its calls have; it has deadlines of its own. With it ends the queue of the writer.
    let hub = hub.await;
    let written = timeout(WRITE, writer).await;
    // 2. The sockets.
    app.closing.cancel();
    app.tasks.close();
    if timeout(CLOSE, app.tasks.wait()).await.is_err() {
        tracing::warn!(sockets = app.tasks.len(), "some sockets did not close in time");
    }
    // 3. Requests, and with them the last who use the store.
    http.close(CLOSE).await;
    drop(helpers);
    app.store.close().await;
    tracing::info!("stopped");
    if let Some(why) = broken {
        return Err(Error::Task(why));
    }
    hub.map_err(|error| Error::Task(format!("hub: {error}")))?;
    match written {
        Ok(ended) => ended.map_err(|error| Error::Task(format!("record writer: {error}"))),
        Err(_) => Err(Error::Task(format!("the records were not written within {} s", WRITE.as_secs()))),
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
    }
}
