//! The canceller: a WASM module of the AudioWorklet that takes the far end's echo out of the microphone. It is fetched when it is first
//! turned on, and stands before the engine.
//!
//! The canceller itself is WebRTC's AEC3 (`sonora-aec3`), with its own delay estimation, comfort noise and double-talk handling. It
//! runs at 16 kHz, whatever the context's rate: the trunk carries 3.4 or 7 kHz, and a third of the samples is a third of the work.
//! Here are the rates and the blocks around it. Not here: gain, levels, keys (the engine), and when it is used (`www/widget/audio.js`).

#[cfg(target_arch = "wasm32")]
mod abi;
pub mod resample;

use dsp::{SampleRate, units, white::WhiteNoise};
use resample::Resampler;
use sonora_aec3::{block::Block, block_processor::BlockProcessor, common::BLOCK_SIZE, config::EchoCanceller3Config};

/// The largest block, samples: as the engine's.
pub const MAX_FRAMES: usize = 2_048;

/// What AEC3 works at with one band.
const RATE: SampleRate = SampleRate::HZ_16000;

/// AEC3 thinks in 16-bit units.
const FULL_SCALE: f32 = 32_768.0;

/// A microphone that is that loud is clipped, and its echo no linear one.
const SATURATED: f32 = 0.998;

/// AEC3's filter, in blocks of 4 ms: 104 ms, twice the usual, since a shopper sits in a room and not in a car. What is later
/// than that is left to its suppressor.
const FILTER_BLOCKS: usize = 26;

/// AEC3's delay estimators, 96 ms each: echo paths of up to 400 ms, which beyond Bluetooth's 300 nobody has.
const DELAY_FILTERS: usize = 4;

/// What a delay must be later than the one in use before it is believed, in blocks: 20 ms. In a live room now one of the first
/// reflections is the strongest and now another, and each time the filter would begin anew; it has room for all of them.
const DELAY_HYSTERESIS: usize = 5;

/// Noise that is added to both inputs, full scale 1: −155 dBov. In silence what AEC3 smooths would else fall to denormal numbers, and
/// stay there, where multiplying by nearly 1 rounds back to the same; a quantum then takes ten times as long.
const DITHER: f32 = 3e-8;

/// Samples that wait to be played: one block and the largest quantum, at the highest rate.
const WAITING: usize = 8_192;

/// The canceller without its ABI.
#[derive(Debug)]
pub struct Canceller {
    near: Resampler,
    far: Resampler,
    back: Resampler,
    near_block: Block,
    far_block: Block,
    filled: usize,
    saturated: bool,
    aec: BlockProcessor,
    out: Queue,
    dither: WhiteNoise,
}

impl Canceller {
    /// For an audio context of `rate`; allocates all that it will ever need itself.
    pub fn new(rate: SampleRate) -> Self {
        let mut config = EchoCanceller3Config::default();
        config.filter.refined.length_blocks = FILTER_BLOCKS;
        config.filter.coarse.length_blocks = FILTER_BLOCKS;
        config.delay.num_filters = DELAY_FILTERS;
        config.delay.hysteresis_limit_blocks = DELAY_HYSTERESIS;
        Self {
            near: Resampler::new(rate, RATE),
            far: Resampler::new(rate, RATE),
            back: Resampler::new(RATE, rate),
            near_block: Block::new(1, 1),
            far_block: Block::new(1, 1),
            filled: 0,
            saturated: false,
            aec: BlockProcessor::new(&config, RATE.hz() as usize, 1, 1),
            out: Queue { samples: vec![0.0; WAITING].into_boxed_slice(), first: 0, count: 0 },
            dither: WhiteNoise::new(),
        }
    }

    /// One quantum: the microphone less the echo of `far`, some 7 ms late (a block of 4 ms, and the resamplers). The shortest slice
    /// counts; samples that are no numbers become silence.
    pub fn process(&mut self, mic: &[f32], far: &[f32], out: &mut [f32]) {
        for (mic, far) in mic.iter().zip(far) {
            let [mic, far] =
                [mic, far].map(|sample| units::audible(*sample).clamp(-1.0, 1.0) + DITHER * self.dither.next_sample());
            self.saturated |= mic.abs() >= SATURATED;
            let (mut at, filled) = (self.filled, self.filled);
            // Both resamplers count alike, so the blocks fill together.
            let (near_block, far_block) = (&mut self.near_block, &mut self.far_block);
            self.far.push(far, |sample| put(far_block, &mut at, sample));
            at = filled;
            self.near.push(mic, |sample| put(near_block, &mut at, sample));
            self.filled = at;
            if self.filled >= BLOCK_SIZE {
                self.cancel();
            }
        }
        // Until the first block is through there is too little: silence, once, which is the delay from then on.
        out.fill_with(|| self.out.pop());
    }

    /// The echo path's delay as AEC3 has found it, milliseconds.
    pub fn delay_ms(&self) -> i32 {
        self.aec.get_metrics().delay_ms
    }

    fn cancel(&mut self) {
        self.filled = 0;
        self.aec.buffer_render(&self.far_block);
        self.aec.process_capture(false, self.saturated, None, &mut self.near_block);
        self.saturated = false;
        for sample in self.near_block.view(0, 0) {
            self.back.push(sample / FULL_SCALE, |sample| self.out.push(sample));
        }
    }
}

fn put(block: &mut Block, at: &mut usize, sample: f32) {
    if let Some(slot) = block.view_mut(0, 0).get_mut(*at) {
        *slot = sample * FULL_SCALE;
        *at += 1;
    }
}

/// First in, first out; when it is full the oldest goes, when it is empty silence comes.
#[derive(Debug)]
struct Queue {
    samples: Box<[f32]>,
    first: usize,
    count: usize,
}

impl Queue {
    fn push(&mut self, sample: f32) {
        let last = (self.first + self.count) % self.samples.len();
        if let Some(slot) = self.samples.get_mut(last) {
            *slot = sample;
        }
        if self.count < self.samples.len() {
            self.count += 1;
        } else {
            self.first = (self.first + 1) % self.samples.len();
        }
    }

    fn pop(&mut self) -> f32 {
        if self.count == 0 {
            return 0.0;
        }
        let sample = self.samples.get(self.first).copied().unwrap_or_default();
        self.first = (self.first + 1) % self.samples.len();
        self.count -= 1;
        sample
    }
}
