//! The engine's ABI: numbers only, and the only file of this project with `unsafe` in it.
//!
//! Exports, as JavaScript sees them (all parameters and results are plain numbers; the module imports nothing):
//!
//! | export | meaning |
//! | --- | --- |
//! | `memory` | the linear memory; it never grows, so views on it stay valid |
//! | `init(sampleRate) -> i32` | sets the engine up anew for `AudioContext.sampleRate`; 1, or 0 for a rate outside 8,000 … 192,000, which changes nothing |
//! | `max_frames() -> i32` | capacity of each buffer in samples: 2,048 |
//! | `mic_ptr()`, `far_ptr()`, `out_ptr() -> i32` | byte offsets in `memory` of the three buffers of f32, constant from instantiation on |
//! | `process(frames)` | microphone `mic[..frames]` → `out[..frames]`; listens to `far[..frames]`. More than `max_frames()` counts as that. Before `init`, `out` is silence |
//! | `set_gain(factor)` | f32, linear, held to 0 … 15.85; reached over 10 ms; NaN is ignored |
//! | `set_muted(flag)` | i32, 0 opens the microphone, anything else mutes it; over 10 ms |
//! | `set_echo(layer)` | i32, 1 puts the suppressor into the microphone's path, anything else takes it out |
//! | `mic_level()`, `far_level() -> f32` | RMS in dBov (RFC 6464: 0 is full scale, a full-scale sine −3.01), −127 for silence. Of the microphone after gain and mute |
//! | `next_digit() -> i32` | a digit that the far end sent as tones, each once, oldest first: its event code (0–9, 10 `*`, 11 `#`, 12–15 A–D); −1 when there is none |
//!
//! A worklet writes `mic` and `far` (zeros where an input is not connected), calls `process`, reads `out`. One instance of the module is
//! one engine.

#![expect(unsafe_code, reason = "exported names, and mutable statics, which a worklet's single thread owns")]

use crate::{Engine, MAX_FRAMES};
use core::cell::UnsafeCell;
use dsp::{Dbov, SampleRate};

/// The samples that cross. Apart from the engine, so that it is all zeros, which cost no byte of the file.
struct Buffers {
    mic: [f32; MAX_FRAMES],
    far: [f32; MAX_FRAMES],
    out: [f32; MAX_FRAMES],
}

struct Single<T>(UnsafeCell<T>);

// SAFETY: this file is compiled for wasm32 without threads, where no second thread can exist.
unsafe impl<T> Sync for Single<T> {}

static ENGINE: Single<Option<Engine>> = Single(UnsafeCell::new(None));

static BUFFERS: Single<Buffers> =
    Single(UnsafeCell::new(Buffers { mic: [0.0; MAX_FRAMES], far: [0.0; MAX_FRAMES], out: [0.0; MAX_FRAMES] }));

impl<T> Single<T> {
    /// Runs `body` on the value. An export does so at most once for each static and calls no other export meanwhile.
    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: there is one thread, and exports do not nest (nothing is imported that could call back): no other reference lives.
        body(unsafe { &mut *self.0.get() })
    }
}

/// Runs `body` on the engine, once there is one.
fn with_engine<R>(body: impl FnOnce(&mut Engine) -> R) -> Option<R> {
    ENGINE.with(|engine| engine.as_mut().map(body))
}

#[unsafe(no_mangle)]
extern "C" fn init(sample_rate: f64) -> i32 {
    // A context's rate is a float by type, whole by nature.
    let Some(rate) = SampleRate::new(sample_rate as u32) else { return 0 };
    ENGINE.with(|engine| *engine = Some(Engine::new(rate)));
    1
}

#[unsafe(no_mangle)]
extern "C" fn max_frames() -> usize {
    MAX_FRAMES
}

#[unsafe(no_mangle)]
extern "C" fn mic_ptr() -> *mut f32 {
    BUFFERS.with(|buffers| buffers.mic.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn far_ptr() -> *mut f32 {
    BUFFERS.with(|buffers| buffers.far.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn out_ptr() -> *mut f32 {
    BUFFERS.with(|buffers| buffers.out.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn process(frames: usize) {
    let frames = frames.min(MAX_FRAMES);
    BUFFERS.with(|Buffers { mic, far, out }| {
        let (Some(mic), Some(far), Some(out)) = (mic.get(..frames), far.get(..frames), out.get_mut(..frames)) else {
            return;
        };
        with_engine(|engine| engine.process(mic, far, out));
    });
}

#[unsafe(no_mangle)]
extern "C" fn set_gain(factor: f32) {
    with_engine(|engine| engine.set_gain(factor));
}

#[unsafe(no_mangle)]
extern "C" fn set_muted(flag: i32) {
    with_engine(|engine| engine.set_muted(flag != 0));
}

#[unsafe(no_mangle)]
extern "C" fn set_echo(layer: i32) {
    with_engine(|engine| engine.set_suppressor(layer == 1));
}

#[unsafe(no_mangle)]
extern "C" fn mic_level() -> f32 {
    with_engine(|engine| engine.near_level()).unwrap_or(Dbov::SILENCE).0
}

#[unsafe(no_mangle)]
extern "C" fn far_level() -> f32 {
    with_engine(|engine| engine.far_level()).unwrap_or(Dbov::SILENCE).0
}

#[unsafe(no_mangle)]
extern "C" fn next_digit() -> i32 {
    with_engine(Engine::next_digit).flatten().map_or(-1, |digit| i32::from(digit.event()))
}

/// The checksum of everything that `dsp` computes, by this build.
#[cfg(feature = "vectors")]
#[unsafe(no_mangle)]
extern "C" fn vectors() -> u32 {
    dsp::vectors::checksum()
}

/// The checksum that every build must have.
#[cfg(feature = "vectors")]
#[unsafe(no_mangle)]
extern "C" fn vectors_expected() -> u32 {
    dsp::vectors::EXPECTED
}

/// Nothing in the engine panics; were it to, the worklet sees a `RuntimeError`, and the microphone goes silent rather than wrong.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
