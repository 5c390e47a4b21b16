//! `ringlet run`, `signal` and `gateway`: starts the halves, joins them, and ends them in order on SIGTERM or Ctrl-C.

use crate::config::{File, Halves};
use crate::open_files;
use crate::takeover::{Door, Given, Paths, Predecessor};
use anyhow::{Context as _, anyhow};
use media_gateway::{GatewayHandle, Signal};
use protocol::GatewayId;
use signal_server::{LocalGateway, Server};
use std::pin::pin;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The calls are over by then; a BYE to a trunk that is dead is not waited for.
const GATEWAY_SHUTDOWN: Duration = Duration::from_secs(3);

/// The path of the gateways' WebSocket; over a Unix socket the host means nothing.
const LOCAL_URL: &str = "ws://localhost/ws/gateway";

/// Runs until a signal or until a half cannot go on.
pub(crate) async fn run(file: File, halves: Halves, take_over: bool) -> anyhow::Result<()> {
    // str0m, rustls and jsonwebtoken share one provider; a second one compiled in would make rustls panic here.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a second crypto provider is installed; this is a bug of the build"))?;
    open_files::raise();
    let stop = stop_on_signal()?;
    match halves {
        Halves::Gateway => gateway(&file, stop).await,
        Halves::Signal => serve(&file, stop).await,
        Halves::Both => both(&file, take_over, stop).await,
    }
}

async fn both(file: &File, take_over: bool, stop: CancellationToken) -> anyhow::Result<()> {
    // Before the gateway: what it counts until then would not be counted.
    signal_server::install_metrics().context("metrics cannot be collected")?;
    let paths = Paths::beside(&file.store.database);
    let mut config = file.gateway()?;
    let shared = file.shared_tcp_port();
    if let Some(port) = shared {
        config.media_tcp = media_gateway::config::MediaTcp::Shared(port);
    }
    let predecessor = if take_over { Predecessor::find(&paths).await? } else { None };
    let (sockets, inherited, arrival) = match predecessor.map(Predecessor::open).transpose()? {
        Some((sockets, inherited, arrival)) => (Some(sockets), Some(inherited), Some(arrival)),
        None => (None, None, None),
    };
    let started = match sockets {
        Some(sockets) => media_gateway::start_in_place(config, sockets).await,
        None => media_gateway::start(config).await,
    };
    let gateway = started.context("the media gateway cannot start")?;
    let media_gateway::Gateway { commands, events, frames, frames_out, sockets, handle } = gateway;
    let local = LocalGateway { commands, events, frames, frames_out, sockets: shared.map(|_| sockets.clone()) };
    let mut config = file.signal()?;
    config.gateway_socket = Some(paths.gateways.clone());
    let server = signal_server::serve(config, Some(local), stop.clone(), inherited).await;
    let server = server.context("the signal-server cannot start")?;
    announce(file, &server);
    let door = door(&paths);
    if let Some(arrival) = arrival {
        arrival.tell();
    }
    let (handover, heir) = (server.handover(), GatewayId::new(format!("{}~{}", file.gateway.name, std::process::id())));
    let mut ended = pin!(server.ended());
    let given = async {
        match &door {
            Some(door) => door.given(&handle, &handover, &heir).await,
            None => std::future::pending().await,
        }
    };
    let Given { local, arrived } = tokio::select! {
        ended = &mut ended => {
            if let Some(door) = door {
                door.close();
            }
            handle.shutdown(GATEWAY_SHUTDOWN).await;
            return ended.context("the signal-server ended");
        }
        () = handle.broken() => {
            if let Some(door) = door {
                door.close();
            }
            // What the gateway still has to say reaches the server, and its records, while it ends.
            handle.shutdown(GATEWAY_SHUTDOWN).await;
            stop.cancel();
            return ended.await.context("the signal-server ended").and(Err(anyhow!("the media thread is gone")));
        }
        given = given => given,
    };
    // From here on this process is its calls'.
    tokio::spawn(end_without_heir(handle.clone(), door, arrived));
    let drained = async {
        let Some(LocalGateway { commands, events, frames, frames_out, .. }) = local else { return Ok(()) };
        let gateway = media_gateway::Gateway { commands, events, frames, frames_out, sockets, handle };
        tokio::spawn(end_drained(gateway.handle.clone(), file.handover(), file.drain(), stop));
        let link = Signal { url: LOCAL_URL.to_owned(), path: Some(paths.gateways), ..file.link() };
        media_gateway::run_gateway(gateway, &link).await.context("the media gateway ended")
    };
    let (ended, drained) = tokio::join!(ended, drained);
    tracing::info!("the last call has ended");
    ended.context("the signal-server ended").and(drained)
}

/// Where another process can take over. A machine where that is not possible is none where nothing is.
fn door(paths: &Paths) -> Option<Door> {
    let opened = Door::open(&paths.takeover);
    opened
        .inspect_err(|error| {
            tracing::warn!(%error, path = %paths.takeover.display(), "no other process can take over from this one");
        })
        .ok()
}

/// Ends a gateway whose successor did not come to its own door: nobody else can have the ports before this process has ended.
async fn end_without_heir(handle: GatewayHandle, door: Option<Door>, arrived: JoinHandle<bool>) {
    if !arrived.await.unwrap_or_default() {
        tracing::error!("the process that takes over has died: ending, so that the next one can start");
        if let Some(door) = door {
            door.close();
        }
        handle.shutdown(GATEWAY_SHUTDOWN).await;
    }
}

/// Ends a gateway whose successor is there: with the limit, or soon after SIGTERM.
async fn end_drained(handle: GatewayHandle, limit: Duration, drain: Duration, stop: CancellationToken) {
    let stopped = async {
        stop.cancelled().await;
        sleep(drain).await;
    };
    tokio::select! {
        () = handle.stopped() => return,
        () = sleep(limit) => tracing::warn!("the calls that are left have had their time"),
        () = stopped => {}
    }
    handle.shutdown(GATEWAY_SHUTDOWN).await;
}

async fn serve(file: &File, stop: CancellationToken) -> anyhow::Result<()> {
    let server =
        signal_server::serve(file.signal()?, None, stop, None).await.context("the signal-server cannot start")?;
    announce(file, &server);
    server.ended().await.context("the signal-server ended")
}

fn announce(file: &File, server: &Server) {
    for address in server.addresses() {
        tracing::info!(%address, public_url = %file.http.public_url, "listening");
    }
}

async fn gateway(file: &File, stop: CancellationToken) -> anyhow::Result<()> {
    if file.gateway.signal_url.is_empty() || file.gateway.secret.is_empty() {
        return Err(anyhow!("`ringlet gateway` needs gateway.signal_url and gateway.secret in the configuration"));
    }
    if let Ok(address) = file.gateway.metrics_listen.parse::<std::net::SocketAddr>() {
        metrics_exporter_prometheus::PrometheusBuilder::new()
            .with_http_listener(address)
            .install()
            .with_context(|| format!("metrics cannot be served at {address}"))?;
    }
    let gateway = media_gateway::start(file.gateway()?).await.context("the media gateway cannot start")?;
    let (handle, drain) = (gateway.handle.clone(), file.drain());
    tokio::spawn(async move {
        stop.cancelled().await;
        handle.drain();
        if timeout(drain, handle.stopped()).await.is_err() {
            handle.shutdown(GATEWAY_SHUTDOWN).await;
        }
    });
    media_gateway::run_gateway(gateway, &file.link()).await.context("the media gateway ended")
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopped.cancel();
    });
    Ok(stop)
}
