//! The line's ABI: numbers only, as the engine's, whose worklet runs both.
//!
//! Exports, as JavaScript sees them (all parameters and results are plain numbers; the module imports nothing):
//!
//! | export | meaning |
//! | --- | --- |
//! | `memory` | the linear memory; it never grows, so views on it stay valid |
//! | `init(sampleRate) -> i32` | a closed line for `AudioContext.sampleRate`; 1, or 0 for a rate outside 8,000 … 192,000, which changes nothing |
//! | `max_frames() -> i32` | capacity of each buffer in samples: 2,048 |
//! | `spoken_ptr()`, `heard_ptr() -> i32` | byte offsets in `memory` of the two buffers of f32, constant from instantiation on |
//! | `process(frames)` | codes `spoken[..frames]` if the line is open, and fills `heard[..frames]` with what came |
//! | `open(flag)` | i32, anything but 0 opens the line; closed, it only plays what waits |
//! | `frame_ptr() -> i32` | byte offset of the buffer through which frames pass: `max_frame()` bytes |
//! | `max_frame() -> i32` | capacity of that buffer in bytes: 1,282 |
//! | `push(length) -> i32` | takes a frame of so many bytes from the buffer; 1 when it can be played, else 0 |
//! | `take() -> i32` | puts the next frame that is to go into the buffer; its length, 0 when there is none |
//! | `__indirect_function_table` | the table, which may grow: the worklet puts the Opus module's functions there |
//! | `use_opus(first, samples)` | speaks and understands Opus from now on, in packets of so many samples, with the eleven functions of [`Opus`], in its order, that stand in the table from entry `first` on; with 0, G.711 again |
//! | `played() -> f64` | how many samples of what came were played out, at 8,000 Hz |
//! | `concealed() -> f64` | how many of these stand for what was not there in time |

#![expect(unsafe_code, reason = "exported names, and mutable statics, which a worklet's single thread owns")]

use crate::Line;
use crate::opus::Opus;
use core::cell::UnsafeCell;
use dsp::SampleRate;
use frame::MAX_FRAME_BYTES;

/// The largest block, samples: the engine's.
const MAX_FRAMES: usize = 2_048;

struct Single<T>(UnsafeCell<T>);

// SAFETY: this file is compiled for wasm32 without threads, where no second thread can exist.
unsafe impl<T> Sync for Single<T> {}

static LINE: Single<Option<Line>> = Single(UnsafeCell::new(None));
static SPOKEN: Single<[f32; MAX_FRAMES]> = Single(UnsafeCell::new([0.0; MAX_FRAMES]));
static HEARD: Single<[f32; MAX_FRAMES]> = Single(UnsafeCell::new([0.0; MAX_FRAMES]));
static FRAME: Single<[u8; MAX_FRAME_BYTES]> = Single(UnsafeCell::new([0; MAX_FRAME_BYTES]));

impl<T> Single<T> {
    /// Runs `body` on the value. An export does so at most once for each static and calls no other export meanwhile.
    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: there is one thread, and exports do not nest (nothing is imported that could call back): no other reference lives.
        body(unsafe { &mut *self.0.get() })
    }
}

/// Runs `body` on the line, once there is one.
fn with_line<R>(body: impl FnOnce(&mut Line) -> R) -> Option<R> {
    LINE.with(|line| line.as_mut().map(body))
}

#[unsafe(no_mangle)]
extern "C" fn init(sample_rate: f64) -> i32 {
    // A context's rate is a float by type, whole by nature.
    let Some(made) = SampleRate::new(sample_rate as u32).and_then(Line::new) else { return 0 };
    LINE.with(|line| *line = Some(made));
    1
}

#[unsafe(no_mangle)]
extern "C" fn max_frames() -> usize {
    MAX_FRAMES
}

#[unsafe(no_mangle)]
extern "C" fn spoken_ptr() -> *mut f32 {
    SPOKEN.with(|spoken| spoken.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn heard_ptr() -> *mut f32 {
    HEARD.with(|heard| heard.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn process(frames: usize) {
    let frames = frames.min(MAX_FRAMES);
    SPOKEN.with(|spoken| {
        HEARD.with(|heard| {
            let (Some(spoken), Some(heard)) = (spoken.get(..frames), heard.get_mut(..frames)) else { return };
            with_line(|line| line.process(spoken, heard));
        });
    });
}

#[unsafe(no_mangle)]
extern "C" fn open(flag: i32) {
    with_line(|line| line.open(flag != 0));
}

#[unsafe(no_mangle)]
extern "C" fn frame_ptr() -> *mut u8 {
    FRAME.with(|frame| frame.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn max_frame() -> usize {
    MAX_FRAME_BYTES
}

#[unsafe(no_mangle)]
extern "C" fn push(length: usize) -> i32 {
    let taken = FRAME.with(|frame| {
        let bytes = frame.get(..length)?;
        with_line(|line| line.push(bytes))
    });
    i32::from(taken.unwrap_or(false))
}

#[unsafe(no_mangle)]
extern "C" fn take() -> usize {
    FRAME.with(|frame| with_line(|line| line.take(frame))).unwrap_or(0)
}

#[unsafe(no_mangle)]
extern "C" fn use_opus(first: usize, samples: usize) {
    let opus = (first != 0).then(|| Opus {
        set_word: entry(first),
        word: entry(first + 1),
        set_sample: entry(first + 2),
        sample: entry(first + 3),
        encode: entry(first + 4),
        decode: entry(first + 5),
        recover: entry(first + 6),
        has_redundancy: entry(first + 7),
        conceal: entry(first + 8),
        reset_encoder: entry(first + 9),
        reset_decoder: entry(first + 10),
    });
    with_line(|line| line.use_opus(opus, samples));
}

/// The function at an entry of the table. It must be the worklet's; where another stands, or none, its call is a trap and no more.
fn entry<F: Copy>(index: usize) -> F {
    // SAFETY: on wasm32 a function pointer is the index of an entry, never 0; `call_indirect` compares the signature at each call.
    unsafe { core::mem::transmute_copy(&index) }
}

#[unsafe(no_mangle)]
extern "C" fn played() -> f64 {
    with_line(|line| line.counts().0).unwrap_or_default() as f64
}

#[unsafe(no_mangle)]
extern "C" fn concealed() -> f64 {
    with_line(|line| line.counts().1).unwrap_or_default() as f64
}

/// Nothing in the line panics; were it to, the worklet sees a `RuntimeError`, and goes on without the line.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
