//! Merchants: made and taken away by the operator, read by their own keys as well.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod write;
