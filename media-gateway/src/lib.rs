//! The media gateway: WebRTC legs, SIP legs, and the bridges that join them.

pub mod config;
mod media;
pub mod sip;
