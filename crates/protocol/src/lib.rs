//! Every message that crosses a process boundary, and nothing that acts on one.
//!
//! The visitor's messages ([`visitor`]) are declared once, with [`messages!`] and [`words!`], and yield three things from
//! that one source: serde's implementation (servers, feature `serde`), a reader and a writer that need no serde (the
//! shopper's browser, where serde would cost more bytes than everything else together), and a shape from which
//! `ringlet.d.ts` and the documentation are printed. The golden JSON files under `golden/` hold all three together.
//!
//! Not here: state, sockets, time, validation that needs a store.

#![cfg_attr(not(feature = "serde"), no_std)]

extern crate alloc;

#[macro_use]
mod message;
pub mod check;
#[cfg(feature = "serde")]
pub mod command;
pub mod error;
pub mod fingerprint;
#[cfg(feature = "serde")]
pub mod gateway;
mod ids;
pub mod network;
pub mod offer;
#[cfg(feature = "serde")]
pub mod rest;
pub mod rfc4571;
#[cfg(feature = "serde")]
pub mod settings;
pub mod visitor;

#[cfg(all(test, feature = "serde"))]
mod tests;

pub use frame;
pub use ids::{CallId, DestinationId, GatewayId, LinkId, MerchantId, TrunkName};
pub use message::{Field, FieldShape, ReadError, Reader, VariantShape, Writer, typescript};
