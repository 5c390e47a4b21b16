//! Tests of the switchboard as a whole.
