//! The server that browsers, merchants' systems and media gateways talk to: HTTP, WebSockets, REST, the store.
//!
//! A shell: it decides who may call ([`serve`] and below), and leaves what becomes of a call to [`switchboard`]. Not here:
//! WebRTC, SIP and audio (`media-gateway`), the reading of configuration files (`ringlet`).

mod config;
mod origin;

pub use config::{ApiKeySeed, Config, Deadlines, DestinationSeed, Limits, LinkSeed, MerchantSeed, Secret, Seed, Tls};
pub use origin::{NotAnOrigin, Origin};

use protocol::gateway::{Command, Event};
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// A gateway in the same process.
#[derive(Debug)]
pub struct LocalGateway {
    /// What the gateway is told.
    pub commands: mpsc::Sender<Command>,
    /// What it reports; [`Event::Registered`] first.
    pub events: mpsc::Receiver<Event>,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Why the server cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Starts the server.
///
/// # Errors
/// See [`Error`].
pub async fn serve(
    _config: Config,
    _gateway: Option<LocalGateway>,
    _shutdown: tokio_util::sync::CancellationToken,
) -> Result<Server, Error> {
    Ok(Server { addresses: Vec::new() })
}
