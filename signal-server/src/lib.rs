//! The server that browsers, merchants' systems and media gateways talk to: HTTP, WebSockets, REST, the store.
//!
//! A shell: it decides who may call, and leaves what becomes of a call to [`switchboard`]. Not here: WebRTC, SIP and audio
//! (`media-gateway`), the reading of configuration files (`ringlet`).

#![cfg_attr(
    test,
    expect(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test that cannot go on shall fail where it stands"
    )
)]

mod app;
mod assets;
mod card;
mod check;
mod client_address;
mod config;
mod controllers;
mod doors;
mod frames;
mod gateway;
mod handover;
mod http;
mod hub;
mod id;
mod limits;
mod lookup;
mod metrics;
mod origin;
mod panel;
mod problem;
mod push;
mod resolver;
mod server;
mod shared_port;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod valid;
mod visitor;

pub use config::{ApiKeySeed, Config, Deadlines, DestinationSeed, Limits, LinkSeed, MerchantSeed, Secret, Seed, Tls};
pub use handover::{Handover, Inherited};
pub use metrics::install_metrics;
pub use origin::{NotAnOrigin, Origin};
pub use push::{BadUrl, check_command};
pub use server::{Error, Server, serve};
pub use valid::is_address;

use protocol::gateway::{CallFrame, Command, Event};
use tokio::sync::mpsc;

/// A gateway in the same process. It has to outlive the server's shutdown, during which it is told to release its calls.
#[derive(Debug)]
pub struct LocalGateway {
    /// What the gateway is told.
    pub commands: mpsc::Sender<Command>,
    /// What it reports; [`Event::Registered`] first.
    pub events: mpsc::Receiver<Event>,
    /// Takes the frames of visitors without WebRTC; they are lost while it is full.
    pub frames: mpsc::Sender<CallFrame>,
    /// Frames for those visitors.
    pub frames_out: mpsc::Receiver<CallFrame>,
    /// Takes what comes to [`Config::listen`] and begins with [a frame](protocol::rfc4571::begins_with), unread and
    /// non-blocking. `None`: it has a TCP port of its own, or none.
    pub sockets: Option<mpsc::Sender<std::net::TcpStream>>,
}
