//! Destinations of a merchant.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod write;
