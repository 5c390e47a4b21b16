//! The media gateway: WebRTC legs, SIP legs, and the bridges that join them.

pub mod config;
pub mod sip;
