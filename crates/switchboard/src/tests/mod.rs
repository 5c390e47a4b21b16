//! Tests of the switchboard as a whole: walkthroughs in two columns, and random schedules against a reference model.

mod bench;
mod model;
mod schedules;
mod walkthroughs;
