//! Where to cut: the lag at which a signal resembles itself best. WSOLA (Verhelst and Roelands, ICASSP 1993), which needs no
//! estimate of the pitch, only of the similarity.

use crate::SampleRate;

/// Which way to jump in the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Over samples: catches up.
    Forward,
    /// Back, playing some again: slows down.
    Back,
}

/// A lag and the normalised cross-correlation there, −1 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Match {
    pub(super) lag: usize,
    pub(super) correlation: f32,
}

/// From `out` to `into`: the `k`-th of `length` steps of a linear cross-fade.
pub(super) fn fade(out: f32, into: f32, k: usize, length: usize) -> f32 {
    let weight = (k as f32 + 0.5) / length.max(1) as f32;
    out + (into - out) * weight
}

/// Finds the lag from `shortest` to `longest` at which the `window` samples from `at` resemble those `lag` further or back. `None` when
/// so many samples are not there. Silence resembles everything.
pub(super) fn best_lag(
    samples: &[f32],
    at: usize,
    window: usize,
    (shortest, longest): (usize, usize),
    direction: Direction,
    rate: SampleRate,
) -> Option<Match> {
    let template = samples.get(at..at + window)?;
    let resemblance = |lag: usize, step: usize| {
        let from = match direction {
            Direction::Forward => at + lag,
            Direction::Back => at.checked_sub(lag)?,
        };
        let other = samples.get(from..from + window)?;
        Some(Match { lag, correlation: correlation(template, other, step) })
    };
    // Coarse at some 8 kHz, fine around the best: speech has its pitch far below either.
    let coarse = (rate.hz() / 8_000).max(1) as usize;
    let better = |best: Option<Match>, found: Match| match best {
        Some(best) if best.correlation >= found.correlation => Some(best),
        Some(_) | None => Some(found),
    };
    let rough = (shortest..=longest)
        .step_by(coarse)
        .filter_map(|lag| resemblance(lag, coarse.div_ceil(2)))
        .fold(None, better)?;
    let (low, high) = (rough.lag.saturating_sub(coarse - 1).max(shortest), (rough.lag + coarse - 1).min(longest));
    (low..=high).filter_map(|lag| resemblance(lag, 1)).fold(None, better)
}

fn correlation(a: &[f32], b: &[f32], step: usize) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0f32, 0.0f32, 0.0f32);
    for (a, b) in a.iter().zip(b).step_by(step) {
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    // Below −120 dB of full scale there is nothing to tear.
    if aa.max(bb) < 1e-12 * a.len() as f32 { 1.0 } else { ab / (libm::sqrtf(aa * bb) + 1e-12) }
}
