//! Placeholder replaced in the same change.
