//! Audio processing of the gateway and of the engine in the browser: samples in, samples and events out.
//!
//! Pure and `no_std`: no clock, no allocation, no I/O. Time is counted in samples (or in ticks of an RTP clock).
//! Elementary functions come from `libm` or from constants, never from `std`, so that the same input gives the same
//! bits natively and in WASM (`vectors` proves it). Audio is `f32`, full scale ±1.0, one channel.
//!
//! It deliberately knows no RTP header, socket, codec negotiation or browser.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may panic: that is how it fails"
    )
)]

#[cfg(test)]
extern crate std;

pub mod digit;
pub mod dtmf;
pub mod g711;
pub mod gain;
pub mod level;
pub mod playout;
pub mod resample;
mod ring;
pub mod spectrum;
pub mod suppress;
pub mod telephone_event;
#[cfg(test)]
mod testing;
pub mod tone;
pub mod units;
#[cfg(any(test, feature = "vectors"))]
pub mod vectors;
pub mod white;

pub use digit::Digit;
pub use units::{Dbm0, Dbov, Hertz, SampleRate};
