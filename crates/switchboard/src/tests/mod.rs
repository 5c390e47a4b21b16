//! Tests of the switchboard as a whole: walkthroughs in two columns, and random schedules against a reference model.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod again;
mod bench;
mod checks;
mod commands;
mod ears;
mod frames;
mod model;
mod pages;
mod phones;
#[expect(clippy::indexing_slicing, reason = "slots and gateways are counted, and few")]
mod reborn;
mod restarts;
mod schedules;
mod sessions;
mod turns;
mod walkthroughs;
