//! DTMF in the audio itself: a generator after ITU-T Q.23 and a detector that meets Q.24. Digits that travel as RTP events are
//! in [`crate::telephone_event`].

mod blanker;
mod detector;
#[cfg(test)]
mod detector_tests;
mod generator;

pub use blanker::Blanker;
pub(crate) use detector::Complex;
pub use detector::{Detector, Event};
pub use generator::{Generator, Shape};

/// The row frequencies (ITU-T Q.23), Hz.
pub const LOW_GROUP: [f32; 4] = [697.0, 770.0, 852.0, 941.0];

/// The column frequencies (ITU-T Q.23), Hz.
pub const HIGH_GROUP: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
