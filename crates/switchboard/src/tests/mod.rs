//! Tests of the switchboard as a whole: walkthroughs in two columns, and random schedules against a reference model.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod bench;
mod checks;
mod commands;
mod frames;
mod model;
mod pages;
mod phones;
mod restarts;
mod schedules;
mod sessions;
mod turns;
mod walkthroughs;
