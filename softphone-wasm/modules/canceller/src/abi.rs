//! The canceller's ABI: numbers only, and the only file of the module with `unsafe` in it. It is the engine's, less what is the
//! engine's alone (`softphone-wasm/engine/src/abi.rs`).
//!
//! | export | meaning |
//! | --- | --- |
//! | `memory` | the linear memory; it may grow in `init` only, so views are made after it |
//! | `init(sampleRate) -> i32` | sets the canceller up anew for `AudioContext.sampleRate`; 1, or 0 for a rate that it cannot take, which changes nothing |
//! | `max_frames() -> i32` | capacity of each buffer in samples: 2,048 |
//! | `mic_ptr()`, `far_ptr()`, `out_ptr() -> i32` | byte offsets in `memory` of the three buffers of f32 |
//! | `process(frames)` | microphone `mic[..frames]` less the echo of `far[..frames]` → `out[..frames]`. Before `init`, `out` is silence |
//! | `delay_ms() -> i32` | the echo path's delay as it was found |

#![expect(unsafe_code, reason = "exported names, and mutable statics, which a worklet's single thread owns")]

use crate::{Canceller, MAX_FRAMES};
use core::cell::UnsafeCell;
use dsp::SampleRate;

/// Twice what was seen in use.
const SCRATCH_BYTES: usize = 256 * 1024;

struct Buffers {
    mic: [f32; MAX_FRAMES],
    far: [f32; MAX_FRAMES],
    out: [f32; MAX_FRAMES],
}

struct Single<T>(UnsafeCell<T>);

// SAFETY: this file is compiled for wasm32 without threads, where no second thread can exist.
unsafe impl<T> Sync for Single<T> {}

static CANCELLER: Single<Option<Canceller>> = Single(UnsafeCell::new(None));

static BUFFERS: Single<Buffers> =
    Single(UnsafeCell::new(Buffers { mic: [0.0; MAX_FRAMES], far: [0.0; MAX_FRAMES], out: [0.0; MAX_FRAMES] }));

impl<T> Single<T> {
    /// Runs `body` on the value. An export does so at most once for each static and calls no other export meanwhile.
    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: there is one thread, and exports do not nest (nothing is imported that could call back): no other reference lives.
        body(unsafe { &mut *self.0.get() })
    }
}

#[unsafe(no_mangle)]
extern "C" fn init(sample_rate: f64) -> i32 {
    let Some(canceller) = SampleRate::new(sample_rate as u32).map(Canceller::new) else { return 0 };
    // AEC3 takes and gives back small vectors while it works. With so much set aside the memory does not grow for them, and views stay valid.
    drop(Vec::<u8>::with_capacity(SCRATCH_BYTES));
    CANCELLER.with(|slot| *slot = Some(canceller));
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
        CANCELLER.with(|canceller| match canceller {
            Some(canceller) => canceller.process(mic, far, out),
            None => out.fill(0.0),
        });
    });
}

#[unsafe(no_mangle)]
extern "C" fn delay_ms() -> i32 {
    CANCELLER.with(|canceller| canceller.as_ref().map_or(0, Canceller::delay_ms))
}
