//! A shoebox room: its impulse response from a loudspeaker to a microphone, by the image-source method (Allen and Berkley 1979).
//! Not here: furniture, and the loudspeaker's own distortion.

use crate::speech::RATE;
use canceller::resample::Resampler;
use dsp::SampleRate;

/// Metres a second.
const SPEED_OF_SOUND: f64 = 343.0;

/// Images of more reflections than that are fainter than any echo that matters.
const MAX_REFLECTIONS: i32 = 24;

/// A room with its two places.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// As it is printed.
    pub name: &'static str,
    /// Metres.
    pub size: [f64; 3],
    /// Time until a sound has fallen by 60 dB, seconds.
    pub reverberation: f64,
    /// Metres.
    pub loudspeaker: [f64; 3],
    /// Metres.
    pub microphone: [f64; 3],
    /// What sound card, driver and browser add to the way of the sound, milliseconds.
    pub latency_ms: f64,
}

/// From a desk with a laptop to a kitchen with a loudspeaker on the shelf.
pub const ROOMS: [Room; 3] = [
    Room {
        name: "study",
        size: [3.1, 2.6, 2.4],
        reverberation: 0.25,
        loudspeaker: [1.2, 1.0, 0.8],
        microphone: [1.3, 1.25, 0.95],
        latency_ms: 35.0,
    },
    Room {
        name: "living room",
        size: [5.2, 4.1, 2.5],
        reverberation: 0.45,
        loudspeaker: [1.5, 1.1, 0.7],
        microphone: [2.2, 1.8, 1.0],
        latency_ms: 90.0,
    },
    Room {
        name: "kitchen",
        size: [4.3, 3.2, 2.6],
        reverberation: 0.7,
        loudspeaker: [0.6, 0.5, 1.7],
        microphone: [1.9, 1.6, 1.1],
        latency_ms: 170.0,
    },
];

impl Room {
    /// The impulse response at `rate`, as long as the reverberation, of energy 1.
    pub fn response(&self, rate: f64) -> Vec<f32> {
        let [x, y, z] = self.size;
        let surface = 2.0 * (x * y + y * z + z * x);
        // Eyring's formula, solved for what a wall gives back.
        let absorbed = 1.0 - (-0.161 * x * y * z / (surface * self.reverberation)).exp();
        let reflection = (1.0 - absorbed).sqrt();
        let mut response = vec![0.0_f64; ((self.reverberation + self.latency_ms / 1_000.0) * rate) as usize];
        let axes: [Vec<(f64, i32)>; 3] = std::array::from_fn(|axis| self.images(axis));
        let [along_x, along_y, along_z] = &axes;
        for (dx, nx) in along_x {
            for (dy, ny) in along_y {
                for (dz, nz) in along_z.iter().filter(|(_, nz)| nx + ny + nz <= MAX_REFLECTIONS) {
                    let distance = (dx * dx + dy * dy + dz * dz).sqrt();
                    let at = (distance / SPEED_OF_SOUND + self.latency_ms / 1_000.0) * rate;
                    let amplitude = reflection.powi(nx + ny + nz) / distance;
                    // Between two samples it is shared, so that far images do not all fall on the grid.
                    for (place, share) in [(at as usize, 1.0 - at.fract()), (at as usize + 1, at.fract())] {
                        if let Some(sample) = response.get_mut(place) {
                            *sample += amplitude * share;
                        }
                    }
                }
            }
        }
        let energy: f64 = response.iter().map(|sample| sample * sample).sum();
        response.iter().map(|sample| (sample / energy.sqrt()) as f32).collect()
    }

    /// From its loudspeaker to its microphone.
    pub fn path(&self) -> Path {
        let response = self.response(f64::from(PATH_RATE.hz()));
        let taps = response.into_iter().enumerate().filter(|(_, weight)| *weight != 0.0).collect();
        Path {
            taps,
            down: Resampler::new(RATE, PATH_RATE),
            high: HighPass::default(),
            up: Resampler::new(PATH_RATE, RATE),
            coming: Vec::new(),
        }
    }

    /// The images of the loudspeaker along one axis: distance from the microphone, and how often the sound was reflected.
    fn images(&self, axis: usize) -> Vec<(f64, i32)> {
        let at = |point: [f64; 3]| point.get(axis).copied().unwrap_or_default();
        let (size, source, microphone) = (at(self.size), at(self.loudspeaker), at(self.microphone));
        let image = |n: i32| {
            let start = f64::from(n) * size;
            start + if n % 2 == 0 { source } else { size - source }
        };
        (-MAX_REFLECTIONS..=MAX_REFLECTIONS).map(|n| (image(n) - microphone, n.abs())).collect()
    }
}

/// A telephone's voice has nothing above 4 kHz that a room could give back.
const PATH_RATE: SampleRate = SampleRate::HZ_16000;

/// The lowest note of a laptop's loudspeaker, Hz. Without it a hard room would boom: all its images have the same sign, which Allen and
/// Berkley take out in the same way, and what codecs leave out of a voice down there would be most of its echo.
const LOWEST: f32 = 120.0;

/// A sound's way through a room, as it goes on.
#[derive(Debug)]
pub struct Path {
    /// Delay and weight of each, the longest last.
    taps: Vec<(usize, f32)>,
    down: Resampler,
    high: HighPass,
    up: Resampler,
    /// What the microphone will yet get of what was played.
    coming: Vec<f32>,
}

impl Path {
    /// What the microphone gets while the loudspeaker plays this; as long, where that is a multiple of 10 ms.
    pub fn process(&mut self, played: &[f32]) -> Vec<f32> {
        let mut low = Vec::with_capacity(played.len() / 2);
        played.iter().for_each(|sample| self.down.push(*sample, |sample| low.push(self.high.process(sample))));
        let longest = self.taps.last().map_or(0, |(delay, _)| *delay);
        self.coming.resize(longest + low.len(), 0.0);
        for (delay, weight) in &self.taps {
            for (coming, played) in self.coming.iter_mut().skip(*delay).zip(&low) {
                *coming += weight * played;
            }
        }
        let mut heard = Vec::with_capacity(played.len());
        self.coming.drain(..low.len()).for_each(|sample| self.up.push(sample, |sample| heard.push(sample)));
        heard
    }
}

/// What is above [`LOWEST`], at [`PATH_RATE`]: a zero at 0 Hz and one beside it, two poles at the lowest note.
#[derive(Debug, Default)]
struct HighPass {
    before: [f32; 2],
}

impl HighPass {
    fn process(&mut self, sample: f32) -> f32 {
        let angle = std::f32::consts::TAU * LOWEST / PATH_RATE.hz() as f32;
        let radius = (-angle).exp();
        let [last, second] = self.before;
        let next = sample + 2.0 * radius * angle.cos() * last - radius * radius * second;
        self.before = [next, last];
        next - (1.0 + radius) * last + radius * second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_goes_through_the_loudspeaker_and_a_rumble_does_not() {
        for (hertz, expected) in [(30.0, 0.0..0.2), (300.0, 0.7..1.3), (3_000.0, 0.9..1.1)] {
            let mut high = HighPass::default();
            let step = std::f32::consts::TAU * hertz / PATH_RATE.hz() as f32;
            let sine = (0..16_000_u16).map(|n| high.process((step * f32::from(n)).sin()));
            let loudest = sine.skip(8_000).fold(0.0, |most: f32, sample| most.max(sample.abs()));
            assert!(expected.contains(&loudest), "{hertz} Hz comes out {loudest}");
        }
    }

    #[test]
    fn the_direct_sound_comes_when_it_must_and_the_rest_dies_away_in_time() {
        for room in ROOMS {
            let response = room.response(48_000.0);
            let first = response.iter().position(|sample| *sample != 0.0).unwrap_or_default() as f64 / 48.0;
            let way: f64 = room.loudspeaker.iter().zip(room.microphone).map(|(a, b)| (a - b).powi(2)).sum();
            let expected = way.sqrt() / SPEED_OF_SOUND * 1_000.0 + room.latency_ms;
            assert!((first - expected).abs() < 0.1, "{first} ms, not {expected}");
            // Schroeder's backward integral: 20 dB down at a third of the reverberation time, give or take a half.
            let total: f32 = response.iter().map(|sample| sample * sample).sum();
            let mut left = total;
            let fallen = response.iter().position(|sample| {
                left -= sample * sample;
                left < 0.01 * total
            });
            let seconds = (fallen.unwrap_or_default() as f64 / 48_000.0) - first / 1_000.0;
            let third = room.reverberation / 3.0;
            assert!((0.5 * third..1.5 * third).contains(&seconds), "{seconds} s in the {}", room.name);
        }
    }

    #[test]
    fn a_sound_that_comes_piece_by_piece_goes_the_same_way() {
        let played: Vec<f32> = (0..48_000_u16).map(|n| (f32::from(n).powi(2) * 1e-5).sin()).collect();
        for room in ROOMS {
            let whole = room.path().process(&played);
            let mut path = room.path();
            let pieces: Vec<f32> = played.chunks(480).flat_map(|piece| path.process(piece)).collect();
            assert_eq!(whole.len(), pieces.len());
            let furthest = whole.iter().zip(&pieces).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest < 1e-5, "{furthest} apart in the {}", room.name);
        }
    }
}
