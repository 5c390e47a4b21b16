//! What is said in the rooms and how loud, and how echo and voice are measured: the same for every layer, wherever it works.

use crate::room::Room;
use crate::speech::{RATE, active_power, power, say};
use anyhow::Result;
use dsp::white::WhiteNoise;
use serde_json::json;
use std::ops::Range;

const FAR_TEXT: &str = "Thank you for calling. The parcel left our warehouse on Monday, and it should be with you by Thursday at the latest. If it does not arrive, please tell us the number on your receipt, and we will send another one at once. May I ask whether the address is still the same as last time? Good. Then I will make a note of it, and you will get a message as soon as it is on its way.";
const NEAR_TEXT: &str = "Yes, the address is the same. But the shoes that I ordered were the wrong size, so I would like to send them back and get a larger pair. Is that possible? I still have the receipt here, somewhere on the table.";

/// The level of what the far end sends, dBov.
pub const FAR: f32 = -24.0;

/// The level of the shopper's voice at the microphone, dBov.
pub const VOICE: f32 = -26.0;

/// The level of the microphone's background while both speak, dBov.
pub const BACKGROUND: f32 = -65.0;

/// Hardly a background, so that comfort noise is not counted as echo, dBov.
pub const SILENCE: f32 = -90.0;

/// How loud the echo is beside the voice, dB.
pub const ECHOES: [f32; 3] = [-14.0, -7.0, 0.0];

/// What is learned before it counts, seconds; the voice begins later yet.
pub const LEARNING: usize = 4;

/// When the voice begins, seconds.
pub const VOICE_FROM: usize = 6;

/// The target: dB of the voice.
pub const LOST_DB: f32 = 6.0;

/// How much later than at the microphone the voice may come out of a layer that works on the spot, samples.
pub const ON_THE_SPOT: Range<usize> = 0..960;

/// What both ends say, from the same moment on.
#[derive(Debug)]
pub struct Script {
    /// At [`FAR`].
    pub far: Vec<f32>,
    /// At [`VOICE`], from [`VOICE_FROM`] on; as long.
    pub near: Vec<f32>,
}

impl Script {
    /// Has it said by flite.
    ///
    /// # Errors
    /// When flite is missing or says nothing.
    pub fn new() -> Result<Self> {
        let far = scaled(&say(FAR_TEXT, "slt", true)?, FAR);
        let mut near = vec![0.0; seconds(VOICE_FROM)];
        near.extend(scaled(&say(NEAR_TEXT, "rms", false)?, VOICE));
        near.resize(far.len(), 0.0);
        Ok(Self { far, near })
    }
}

/// The far end as the room gives it back.
pub fn echo(far: &[f32], room: &Room) -> Vec<f32> {
    let mut back = room.path().process(far);
    back.resize(far.len(), 0.0);
    back
}

/// What gives it an active level of that many dBov.
pub fn gain(samples: &[f32], level: f32) -> f32 {
    10_f32.powf(level / 20.0) / active_power(samples).sqrt()
}

/// With an active level of that many dBov.
pub fn scaled(samples: &[f32], level: f32) -> Vec<f32> {
    let factor = gain(samples, level);
    samples.iter().map(|sample| sample * factor).collect()
}

/// Both at once.
pub fn sum(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().zip(right).map(|(left, right)| left + right).collect()
}

/// White noise of that many dBov.
pub fn noise(length: usize, level: f32) -> Vec<f32> {
    let (mut white, factor) = (WhiteNoise::new(), 3_f32.sqrt() * 10_f32.powf(level / 20.0));
    std::iter::repeat_with(|| white.next_sample() * factor).take(length).collect()
}

/// What is lost of the voice, dB: in each 20 ms, the share of what was sent that is the voice, at the one delay of these that fits best.
pub fn lost(near: &[f32], sent: &[f32], delays: Range<usize>) -> f32 {
    let near = after(near, VOICE_FROM);
    let later = |delay: usize| sent.get(seconds(VOICE_FROM) + delay..).unwrap_or_default();
    let best = delays.max_by(|a, b| product(near, later(*a)).total_cmp(&product(near, later(*b)))).unwrap_or_default();
    let (mut said, mut arrived) = (0.0, 0.0);
    for (near, sent) in near.chunks(960).zip(later(best).chunks(960)) {
        let energy: f32 = near.iter().map(|sample| sample * sample).sum();
        said += energy;
        arrived += product(near, sent).max(0.0).powi(2) / energy.max(1e-9);
    }
    10.0 * (said / arrived.max(1e-12)).log10()
}

/// Where to look for the delay of a layer that is elsewhere: around the one below `furthest` that fits best at an eighth of the rate.
pub fn delays(near: &[f32], sent: &[f32], furthest: usize) -> Range<usize> {
    const COARSE: usize = 8;
    let coarse = |samples: &[f32]| samples.chunks(COARSE).map(|chunk| chunk.iter().sum()).collect::<Vec<f32>>();
    let (near, sent) = (coarse(after(near, VOICE_FROM)), coarse(after(sent, VOICE_FROM)));
    let fits = |delay: usize| product(&near, sent.get(delay..).unwrap_or_default());
    let best = (0..furthest / COARSE).max_by(|a, b| fits(*a).total_cmp(&fits(*b))).unwrap_or_default() * COARSE;
    best.saturating_sub(COARSE)..best + COARSE
}

fn product(near: &[f32], sent: &[f32]) -> f32 {
    near.iter().zip(sent).map(|(near, sent)| near * sent).sum()
}

/// How much less power there is behind than before, dB.
pub fn decibels(before: &[f32], behind: &[f32]) -> f32 {
    10.0 * (power(before) / power(behind).max(1e-12)).log10()
}

/// What comes so many seconds later.
pub fn after(samples: &[f32], from: usize) -> &[f32] {
    samples.get(seconds(from)..).unwrap_or_default()
}

/// In samples.
pub fn seconds(count: usize) -> usize {
    RATE.hz() as usize * count
}

/// Prints a measurement, and whether it holds what it should, as `cargo xtask bench` reads them.
pub fn report(name: &str, value: f64, unit: &str, target: Option<(f64, bool)>) {
    report_beside(name, value, unit, target, None);
}

/// The same of one that was compared: with what, and the value divided by that one's.
#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
pub fn report_beside(name: &str, value: f64, unit: &str, target: Option<(f64, bool)>, peer: Option<(&str, f64)>) {
    let (target, holds) = target.unzip();
    let mut line =
        json!({ "name": name, "value": value, "unit": unit, "target": target, "holds": holds.unwrap_or(true) });
    if let Some(((peer, ratio), line)) = peer.zip(line.as_object_mut()) {
        line.insert("peer".to_owned(), peer.into());
        line.insert("ratio".to_owned(), ratio.into());
    }
    println!("{line}");
}
