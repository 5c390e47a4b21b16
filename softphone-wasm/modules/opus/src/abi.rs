//! The Opus module's ABI: numbers only. Its caller is not the worklet but the line, another module with a memory of its own, in whose
//! table the worklet puts these functions: so all that passes between them passes as parameters and results, a word or a sample at a time.
//! That is some 300 calls for a packet, which take a hundredth of what coding it takes.
//!
//! | export | meaning |
//! | --- | --- |
//! | `memory` | the linear memory; nobody outside looks into it |
//! | `init(quality) -> i32` | sets encoder and decoder up anew; how many samples a packet of the encoder holds, or 0 when that is not possible. Before it, nothing is coded. `quality`: 0 standard, 1 saver, 2 best |
//! | `set_word(at, word)`, `word(at) -> i32` | four bytes of the packet, from byte `4 · at` on, the lowest first |
//! | `set_sample(at, sample)`, `sample(at) -> i32` | a 16-bit sample of the piece at 8 kHz |
//! | `encode(room) -> i32` | codes as many samples as a packet holds to one of `room` bytes at most; its length, 0 when it cannot; 1 or 2 for one that need not be sent |
//! | `decode(length) -> i32` | decodes a packet of so many bytes; the samples that it gave, 960 at most |
//! | `recover(length, samples) -> i32` | recovers the packet before this one, of so many samples; how many, 0 without redundancy |
//! | `has_redundancy(length) -> i32` | 1 when `recover` would succeed, else 0 |
//! | `conceal(samples) -> i32` | makes so many samples, a multiple of 20, in place of what is lost; how many |
//! | `reset_encoder()`, `reset_decoder()` | forget the past |
//! | `vectors()`, `vectors_expected() -> i32` | for tests: the checksum of everything that is computed, and the one that every build has |

#![expect(unsafe_code, reason = "exported names, and mutable statics, which a worklet's single thread owns")]

use crate::{Decoder, Encoder, LONGEST, MAX_PACKET, Quality, vectors as bits};
use core::cell::UnsafeCell;
use dsp::playout::Codec;
use dsp::units;

/// Bytes in a word.
const WORD: usize = 4;

/// Twice what was seen in use.
const SCRATCH_BYTES: usize = 256 * 1024;

struct Coder {
    encoder: Encoder,
    decoder: Decoder,
}

struct Single<T>(UnsafeCell<T>);

// SAFETY: this file is compiled for wasm32 without threads, where no second thread can exist.
unsafe impl<T> Sync for Single<T> {}

static CODER: Single<Option<Coder>> = Single(UnsafeCell::new(None));
static PACKET: Single<[u8; MAX_PACKET + 1]> = Single(UnsafeCell::new([0; MAX_PACKET + 1]));
static SAMPLES: Single<[i16; LONGEST]> = Single(UnsafeCell::new([0; LONGEST]));

impl<T> Single<T> {
    /// Runs `body` on the value. An export does so at most once for each static and calls no other export meanwhile.
    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: there is one thread, and exports do not nest (nothing is imported that could call back): no other reference lives.
        body(unsafe { &mut *self.0.get() })
    }
}

#[unsafe(no_mangle)]
extern "C" fn init(quality: u32) -> usize {
    let encoder = Encoder::new(Quality::from_number(quality));
    let (Some(encoder), Some(decoder)) = (encoder, Decoder::new()) else { return 0 };
    let samples = encoder.samples();
    // The codec takes and gives back vectors while it works. With so much set aside the memory does not grow on the audio thread.
    drop(Vec::<u8>::with_capacity(SCRATCH_BYTES));
    CODER.with(|slot| *slot = Some(Coder { encoder, decoder }));
    samples
}

#[unsafe(no_mangle)]
extern "C" fn set_word(at: usize, word: u32) {
    PACKET.with(|packet| {
        if let Some(bytes) = packet.chunks_exact_mut(WORD).nth(at) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn word(at: usize) -> u32 {
    PACKET.with(|packet| {
        let bytes = packet.chunks_exact(WORD).nth(at).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    })
}

#[unsafe(no_mangle)]
extern "C" fn set_sample(at: usize, sample: i32) {
    SAMPLES.with(|samples| {
        if let Some(slot) = samples.get_mut(at) {
            *slot = sample as i16;
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn sample(at: usize) -> i32 {
    SAMPLES.with(|samples| samples.get(at).copied().map_or(0, i32::from))
}

#[unsafe(no_mangle)]
extern "C" fn encode(room: usize) -> usize {
    let coded = with_coder(|coder| {
        SAMPLES.with(|samples| {
            PACKET.with(|packet| {
                let samples = samples.get(..coder.encoder.samples())?;
                Some(coder.encoder.encode(samples, packet.get_mut(..room.min(MAX_PACKET))?))
            })
        })
    });
    coded.flatten().unwrap_or(0)
}

#[unsafe(no_mangle)]
extern "C" fn decode(length: usize) -> usize {
    hear(length, LONGEST, |decoder, packet, pcm| decoder.decode(packet, pcm))
}

#[unsafe(no_mangle)]
extern "C" fn recover(length: usize, samples: usize) -> usize {
    hear(length, samples, |decoder, packet, pcm| decoder.recover(packet, pcm))
}

#[unsafe(no_mangle)]
extern "C" fn conceal(samples: usize) -> usize {
    hear(0, samples, |decoder, _, pcm| decoder.conceal(pcm))
}

#[unsafe(no_mangle)]
extern "C" fn has_redundancy(length: usize) -> i32 {
    let has = with_coder(|coder| PACKET.with(|packet| Some(coder.decoder.has_redundancy(packet.get(..length)?))));
    i32::from(has.flatten().unwrap_or(false))
}

#[unsafe(no_mangle)]
extern "C" fn reset_encoder() {
    with_coder(|coder| coder.encoder.reset());
}

#[unsafe(no_mangle)]
extern "C" fn reset_decoder() {
    with_coder(|coder| coder.decoder.reset());
}

#[unsafe(no_mangle)]
extern "C" fn vectors() -> u32 {
    bits::checksum()
}

#[unsafe(no_mangle)]
extern "C" fn vectors_expected() -> u32 {
    bits::EXPECTED
}

/// Runs `body` on encoder and decoder, once there are some.
fn with_coder<R>(body: impl FnOnce(&mut Coder) -> R) -> Option<R> {
    CODER.with(|coder| coder.as_mut().map(body))
}

/// Runs the decoder on a packet of `length` bytes, for `samples` at most, which it leaves where `sample` finds them.
fn hear(length: usize, samples: usize, run: impl FnOnce(&mut Decoder, &[u8], &mut [f32]) -> usize) -> usize {
    let mut pcm = [0.0; LONGEST];
    let room = pcm.get_mut(..samples).unwrap_or_default();
    let made = with_coder(|coder| {
        PACKET.with(|packet| packet.get(..length).map(|packet| run(&mut coder.decoder, packet, room))).unwrap_or(0)
    });
    SAMPLES.with(|slots| slots.iter_mut().zip(&pcm).for_each(|(slot, sample)| *slot = units::to_i16(*sample)));
    made.unwrap_or(0)
}
