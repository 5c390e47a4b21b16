//! Calls: their records, and what is set on the shopper's side.

pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod settings;
