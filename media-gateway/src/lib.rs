//! The media gateway: WebRTC legs, SIP legs, and the bridges that join them.
//!
//! [`start`] runs one in this process, commanded over channels; [`run_remote`] runs one that a signal-server elsewhere
//! commands over a WebSocket. Only this crate knows WebRTC, SIP and UDP; it knows no SQL and no HTTP beyond that socket.

pub mod config;
mod control;
mod gateway;
mod handover;
mod media;
mod once;
mod remote;
pub mod sip;
mod strays;

pub use gateway::{Gateway, GatewayHandle, StartError, start, start_in_place};
pub use handover::{Sockets, Strays};
pub use remote::{RemoteError, Signal, run_gateway, run_remote};
