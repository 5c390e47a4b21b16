//! What the end-to-end tests stand on: the real server, a real browser and independent SIP peers, all in one network
//! namespace that reaches nothing outside. Deliberately no test double of any of our own parts.

pub mod baresip;
pub mod browser;
pub mod device;
pub mod devtools;
pub mod firefox;
pub mod firewall;
pub mod guests;
pub mod impaired;
pub mod lane;
pub mod namespace;
pub mod pages;
pub mod panel;
pub mod print;
pub mod process;
pub mod proxy;
pub mod quantiles;
pub mod relay;
pub mod ringlet;
pub mod scene;
pub mod setup;
pub mod sipp;
pub mod sound_card;
pub mod stand;
pub mod talker;
pub mod tone;
pub mod visitors;
pub mod wait;
