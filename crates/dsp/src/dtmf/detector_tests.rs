//! ITU-T Q.24 as tables, at every rate, and what is not DTMF.

use super::{Detector, Event, Generator, HIGH_GROUP, LOW_GROUP, Shape};
use crate::{
    Dbm0, Digit, Hertz, SampleRate,
    testing::{Random, rates},
    tone::Sine,
};
use std::{vec, vec::Vec};

fn events(rate: SampleRate, samples: &[f32]) -> Vec<Event> {
    let mut found = Vec::new();
    Detector::new(rate).process(samples, |event| found.push(event));
    found
}

fn starts(events: &[Event]) -> Vec<Digit> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Start { digit, .. } => Some(*digit),
            Event::End { .. } => None,
        })
        .collect()
}

/// How a digit is sent and what is wrong with it.
#[derive(Clone, Copy, Debug)]
struct Condition {
    shape: Shape,
    /// Deviation of the low and of the high tone, per cent.
    off: (f32, f32),
    /// Tones' power over that of white noise, dB.
    noise: Option<f32>,
}

impl Default for Condition {
    fn default() -> Self {
        let shape = Shape { level: Dbm0(-12.0), twist: 0.0, on_ms: 50, off_ms: 50 };
        Self { shape, off: (0.0, 0.0), noise: None }
    }
}

/// Sends each of the sixteen digits `rounds` times in random order, each at a random phase against the hops; returns sent and found.
fn trial(rate: SampleRate, condition: Condition, rounds: usize) -> (Vec<Digit>, Vec<Digit>) {
    let mut random = Random::new(u64::from(rate.hz()));
    let (mut sent, mut samples) = (Vec::new(), vec![0.0; 1_000]);
    for _ in 0..rounds * 16 {
        let digit = Digit::from_event((random.next() >> 32) as u8 & 15).unwrap();
        let (row, column) = digit.place();
        let off = |hz: f32, percent: f32| Hertz(hz * (1.0 + percent / 100.0));
        let (low, high) = (off(LOW_GROUP[row], condition.off.0), off(HIGH_GROUP[column], condition.off.1));
        samples.extend(Generator::of_tones(rate, low, high, condition.shape));
        samples.extend(vec![0.0; random.between(0.0, rate.samples(3) as f32) as usize]);
        sent.push(digit);
    }
    samples.extend(vec![0.0; rate.samples(100) as usize]);
    if let Some(ratio) = condition.noise {
        let high = condition.shape.level.to_dbov().mean_square();
        let power =
            high * (1.0 + Dbm0(condition.shape.twist).peak_amplitude().powi(2) / Dbm0(0.0).peak_amplitude().powi(2));
        let deviation = (power / 10f32.powf(ratio / 10.0)).sqrt();
        samples.iter_mut().for_each(|sample| *sample += deviation * random.gaussian());
    }
    (sent, starts(&events(rate, &samples)))
}

#[test]
fn no_digit_is_lost_where_q24_demands_acceptance() {
    let plain = Condition::default();
    let shape = plain.shape;
    let level = |level, twist| Condition { shape: Shape { level: Dbm0(level), twist, ..shape }, ..plain };
    let time = |on_ms, off_ms| Condition { shape: Shape { on_ms, off_ms, ..shape }, ..plain };
    let conditions = [
        ("plain", plain),
        ("40 ms on, 40 ms off", time(40, 40)),
        ("long", time(400, 40)),
        ("loud", level(-3.0, 0.0)),
        ("faint", level(-36.0, 0.0)),
        ("high 4 dB over low", level(-10.0, -4.0)),
        ("low 8 dB over high", level(-18.0, 8.0)),
        ("low 8 dB over high, faint", level(-36.0, 8.0)),
        ("both 1.5 % high", Condition { off: (1.5, 1.5), ..plain }),
        ("both 1.5 % low", Condition { off: (-1.5, -1.5), ..plain }),
        ("apart by 1.5 % each", Condition { off: (-1.5, 1.5), shape: time(40, 40).shape, ..plain }),
        ("15 dB of noise", Condition { noise: Some(15.0), ..plain }),
        (
            "15 dB of noise, 40 ms, faint",
            Condition { noise: Some(15.0), shape: Shape { level: Dbm0(-36.0), ..time(40, 40).shape }, ..plain },
        ),
        ("15 dB of noise, twist 8 dB, 1.5 %", Condition { noise: Some(15.0), off: (1.5, -1.5), ..level(-20.0, 8.0) }),
        ("15 dB of noise, twist -4 dB, 1.5 %", Condition { noise: Some(15.0), off: (-1.5, 1.5), ..level(-20.0, -4.0) }),
    ];
    // 1,008 digits a condition where calls from the telephone network are heard; the other rates differ in the hop's length alone.
    for (rate, rounds) in rates().into_iter().zip([63, 8, 8, 8]) {
        for (name, condition) in conditions {
            let (sent, found) = trial(rate, condition, rounds);
            assert_eq!(sent.len(), found.len(), "{name} at {rate:?}");
            assert_eq!(sent, found, "{name} at {rate:?}");
        }
    }
}

#[test]
fn no_digit_is_found_where_q24_demands_refusal() {
    let plain = Condition::default();
    let shape = plain.shape;
    let conditions = [
        ("23 ms", Condition { shape: Shape { on_ms: 23, ..shape }, ..plain }),
        ("23 ms, loud", Condition { shape: Shape { on_ms: 23, level: Dbm0(-3.0), ..shape }, ..plain }),
        ("low 3.5 % high", Condition { off: (3.5, 0.0), ..plain }),
        ("low 3.5 % low", Condition { off: (-3.5, 0.0), ..plain }),
        ("high 3.5 % high", Condition { off: (0.0, 3.5), ..plain }),
        ("high 3.5 % low", Condition { off: (0.0, -3.5), ..plain }),
        ("high 3.5 % low, 200 ms", Condition { off: (0.0, -3.5), shape: Shape { on_ms: 200, ..shape }, ..plain }),
        ("both 5 % high", Condition { off: (5.0, 5.0), ..plain }),
        ("low 3.5 % high, in noise", Condition { off: (3.5, 0.0), noise: Some(15.0), ..plain }),
        ("very faint", Condition { shape: Shape { level: Dbm0(-46.0), ..shape }, ..plain }),
        ("low 12 dB over high", Condition { shape: Shape { twist: 12.0, level: Dbm0(-20.0), ..shape }, ..plain }),
        ("high 8 dB over low", Condition { shape: Shape { twist: -8.0, ..shape }, ..plain }),
    ];
    for rate in rates() {
        for (name, condition) in conditions {
            assert_eq!(trial(rate, condition, 3).1, [], "{name} at {rate:?}");
        }
    }
}

#[test]
fn durations_and_onsets_are_right_to_4_ms() {
    for rate in rates() {
        for (digit, on_ms) in Digit::ALL.into_iter().zip([40, 50, 65, 100, 333, 1_500].into_iter().cycle()) {
            let before = rate.samples(50 + u32::from(digit.event())) as usize;
            let mut samples = vec![0.0; before];
            samples.extend(Generator::new(rate, digit, Shape { on_ms, off_ms: 60, ..Shape::default() }));
            let found = events(rate, &samples);
            let [Event::Start { digit: started, at }, Event::End { digit: ended, duration }] = found[..] else {
                panic!("{digit}: {found:?}");
            };
            assert_eq!((started, ended), (digit, digit));
            assert!(at.abs_diff(before as u64) <= u64::from(rate.samples(4)), "{digit} at {at}, was {before}");
            let late = duration.abs_diff(u64::from(rate.samples(on_ms)));
            assert!(late <= u64::from(rate.samples(4)), "{digit} of {on_ms} ms: {duration} at {rate:?}");
        }
    }
}

#[test]
fn a_gap_of_10_ms_is_bridged_and_a_pause_of_40_ms_is_not() {
    for rate in rates() {
        for digit in Digit::ALL {
            for (gap_ms, expected) in [(1, 1), (5, 1), (10, 1), (40, 2), (60, 2)] {
                let mut samples: Vec<f32> =
                    Generator::new(rate, digit, Shape { on_ms: 60, off_ms: gap_ms, ..Shape::default() }).collect();
                samples.extend(Generator::new(rate, digit, Shape { on_ms: 60, off_ms: 60, ..Shape::default() }));
                let found = starts(&events(rate, &samples));
                assert_eq!(found.len(), expected, "{digit} with a gap of {gap_ms} ms at {rate:?}");
            }
        }
    }
}

#[test]
fn digits_that_follow_without_a_pause_are_told_apart() {
    let rate = SampleRate::HZ_8000;
    let sent: Vec<Digit> = "159D#0*".chars().filter_map(Digit::from_char).collect();
    let shape = Shape { on_ms: 60, off_ms: 0, ..Shape::default() };
    let mut samples: Vec<f32> = sent.iter().flat_map(|digit| Generator::new(rate, *digit, shape)).collect();
    samples.extend(vec![0.0; 800]);
    let found = events(rate, &samples);
    assert_eq!(starts(&found), sent);
    for pair in found.chunks(2) {
        assert!(matches!(pair, [Event::Start { digit: a, .. }, Event::End { digit: b, .. }] if a == b), "{pair:?}");
    }
}

#[test]
fn blocks_of_any_length_and_16_bit_samples_give_the_same_digits() {
    let rate = SampleRate::HZ_48000;
    let mut samples: Vec<f32> = "42#"
        .chars()
        .filter_map(Digit::from_char)
        .flat_map(|digit| Generator::new(rate, digit, Shape::default()))
        .collect();
    samples.iter_mut().for_each(|sample| *sample = crate::units::from_i16(crate::units::to_i16(*sample)));
    let whole = events(rate, &samples);
    assert_eq!(whole.len(), 6);
    for length in [1, 7, 128, 960, 4_801] {
        let (mut pieces, mut detector) = (Vec::new(), Detector::new(rate));
        samples.chunks(length).for_each(|chunk| detector.process(chunk, |event| pieces.push(event)));
        assert_eq!(whole, pieces, "blocks of {length}");
    }
    let shorts: Vec<i16> = samples.iter().map(|sample| crate::units::to_i16(*sample)).collect();
    let mut found = Vec::new();
    Detector::new(rate).process_i16(&shorts, |event| found.push(event));
    assert_eq!(whole, found);
}

#[test]
fn the_digit_shows_while_its_tones_last() {
    let rate = SampleRate::HZ_8000;
    let mut detector = Detector::new(rate);
    let samples: Vec<f32> = Generator::new(rate, Digit::ALL[7], Shape::default()).collect();
    detector.process(&samples[..rate.samples(50) as usize], |_| {});
    assert_eq!(detector.current(), Some(Digit::ALL[7]));
    detector.process(&samples[rate.samples(50) as usize..], |_| {});
    assert_eq!(detector.current(), None);
}

#[test]
fn bad_numbers_pass_and_leave_the_detector_whole() {
    let rate = SampleRate::HZ_8000;
    let mut samples = vec![f32::NAN; 50];
    samples.extend([f32::INFINITY, f32::MIN_POSITIVE / 2.0, f32::MAX]);
    samples.extend(vec![0.0; 400]);
    samples.extend(Generator::new(rate, Digit::ALL[3], Shape::default()));
    assert_eq!(starts(&events(rate, &samples)), [Digit::ALL[3]]);
}

/// Syllables: glottal pulses with the vibrato and jitter of a voice, through three formants that move, and pauses.
pub(super) fn speech(rate: SampleRate, seconds: u32, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let (hz, tau) = (rate.hz() as f32, std::f32::consts::TAU);
    let radius = (-tau / 2.0 * 80.0 / hz).exp();
    let mut memories = [[0.0f32; 2]; 3];
    let (mut aims, mut now, mut left, mut phase) = ([0.0; 5], [500.0, 1_500.0, 2_500.0, 120.0, 0.0], 0, 1.0);
    let sample = |at: u32| {
        if left == 0 {
            left = random.between(0.05 * hz, 0.35 * hz) as u32;
            let loudness = if random.unit() < 0.2 { 0.0 } else { random.between(0.2, 1.0) };
            let formants =
                [(250.0, 950.0), (900.0, 2_300.0), (2_200.0, 3_300.0)].map(|(low, high)| random.between(low, high));
            aims = [formants[0], formants[1], formants[2], random.between(80.0, 350.0), loudness];
        }
        left -= 1;
        now.iter_mut().zip(aims).for_each(|(now, aim)| *now += 20.0 / hz * (aim - *now));
        phase += now[3] / hz * (1.0 + 0.02 * (tau * 5.5 * at as f32 / hz).sin());
        let pulse = if phase >= 1.0 {
            phase = 0.01 * random.gaussian();
            1.0
        } else {
            0.0
        } + 0.02 * random.gaussian();
        let mut sum = 0.0;
        for (order, (memory, formant)) in memories.iter_mut().zip(now).enumerate() {
            let next = pulse + 2.0 * radius * (tau * formant / hz).cos() * memory[0] - radius * radius * memory[1];
            *memory = [next, memory[0]];
            sum += next / (order + 1) as f32;
        }
        0.03 * now[4] * sum
    };
    (0..rate.samples(seconds * 1_000)).map(sample).collect()
}

#[test]
fn half_an_hour_of_speech_holds_one_false_digit_at_most() {
    let rate = SampleRate::HZ_8000;
    let found: Vec<Digit> = (1..=30).flat_map(|seed| starts(&events(rate, &speech(rate, 60, seed)))).collect();
    assert!(found.len() <= 1, "{found:?}");
}

#[test]
fn noise_and_single_tones_are_not_taken_for_digits() {
    for rate in rates() {
        let mut random = Random::new(5);
        let noise: Vec<f32> = (0..rate.samples(10_000)).map(|_| 0.1 * random.gaussian()).collect();
        assert_eq!(events(rate, &noise), [], "noise at {rate:?}");
        for hz in LOW_GROUP.into_iter().chain(HIGH_GROUP).chain([350.0, 425.0, 440.0, 1_004.0, 2_100.0]) {
            let mut sine = Sine::new(rate, Hertz(hz), Dbm0(-5.0));
            let tone: Vec<f32> = (0..rate.samples(500)).map(|_| sine.next_sample()).collect();
            assert_eq!(events(rate, &tone), [], "{hz} Hz at {rate:?}");
        }
    }
}
