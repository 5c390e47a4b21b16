//! `ringlet run`, `signal` and `gateway`: starts the halves, joins them, and ends them in order on SIGTERM or Ctrl-C.

use crate::config::File;
use anyhow::{Context as _, anyhow};
use signal_server::LocalGateway;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The calls are over by then; a BYE to a trunk that is dead is not waited for.
const GATEWAY_SHUTDOWN: Duration = Duration::from_secs(3);

/// Which halves this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halves {
    Both,
    Signal,
    Gateway,
}

/// Runs until a signal or until a half cannot go on.
pub(crate) async fn run(file: File, halves: Halves) -> anyhow::Result<()> {
    // str0m, rustls and jsonwebtoken share one provider; a second one compiled in would make rustls panic here.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a second crypto provider is installed; this is a bug of the build"))?;
    let stop = stop_on_signal()?;
    match halves {
        Halves::Gateway => gateway(&file, stop).await,
        Halves::Signal => serve(&file, None, stop).await,
        Halves::Both => {
            // Before the gateway: what it counts until then would not be counted.
            signal_server::install_metrics().context("metrics cannot be collected")?;
            let mut config = file.gateway()?;
            let shared = file.shared_tcp_port();
            if let Some(port) = shared {
                config.media_tcp = media_gateway::config::MediaTcp::Shared(port);
            }
            let gateway = media_gateway::start(config).await.context("the media gateway cannot start")?;
            let media_gateway::Gateway { commands, events, frames, frames_out, sockets, handle } = gateway;
            let sockets = shared.map(|_| sockets);
            let local = LocalGateway { commands, events, frames, frames_out, sockets };
            let served = serve(&file, Some(local), stop).await;
            handle.shutdown(GATEWAY_SHUTDOWN).await;
            served
        }
    }
}

async fn serve(file: &File, gateway: Option<LocalGateway>, stop: CancellationToken) -> anyhow::Result<()> {
    let server = signal_server::serve(file.signal()?, gateway, stop).await.context("the signal-server cannot start")?;
    for address in server.addresses() {
        tracing::info!(%address, public_url = %file.http.public_url, "listening");
    }
    server.ended().await.context("the signal-server ended")
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
