//! The media gateway: WebRTC legs, SIP legs, and the bridges that join them.
//!
//! [`start`] runs one in this process, commanded over channels; [`run_remote`] runs one that a signal-server elsewhere
//! commands over a WebSocket. Only this crate knows WebRTC, SIP and UDP; it knows no SQL and no HTTP beyond that socket.

pub mod config;
mod control;
mod gateway;
mod media;
mod remote;
pub mod sip;

pub use gateway::{Gateway, GatewayHandle, StartError, start};
pub use remote::{RemoteError, Signal, run_gateway, run_remote};
