//! What playout promises, each on its own.

use super::testing::{Numbered, Sound, listen, send};
use super::*;
use crate::g711::Law;
use crate::testing::Random;
use crate::units::to_i16;
use crate::{Hertz, SampleRate, spectrum};
use std::vec::Vec;

fn tone(_: u32) -> Sound {
    Sound::Tone(440.0)
}

/// The pitch of a lone tone, from all its zero crossings upwards.
fn pitch(audio: &[f32]) -> f32 {
    let ups = rises(audio);
    8_000.0 * (ups.len() - 1) as f32 / (ups[ups.len() - 1] - ups[0])
}

/// Where it crosses zero upwards, samples.
fn rises(audio: &[f32]) -> Vec<f32> {
    audio
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
        .map(|(at, pair)| at as f32 + pair[0] / (pair[0] - pair[1]))
        .collect()
}

#[test]
fn an_even_network_is_played_without_a_flaw() {
    let heard = listen(send(250, |_| Some(40.0)), Numbered::new(tone), 5_000, 20, Config::default());
    let (_, stats, _) = heard.trace[heard.trace.len() - 1];
    assert!(heard.codec.decoded.iter().copied().eq(0..247), "{:?}", heard.codec.decoded);
    assert!(stats.delay_ms <= 35, "{stats:?}");
    assert_eq!((stats.late, stats.overflowed, stats.inserted), (0, 0, 0), "{stats:?}");
}

#[test]
fn at_30_ms_of_jitter_the_delay_is_at_most_60_ms_within_a_second() {
    for (seed, block) in (0..50).flat_map(|seed| [(seed, 10), (seed, 20)]) {
        let mut random = Random::new(seed);
        let sent = send(500, |_| Some(f64::from(random.between(0.0, 30.0))));
        let heard = listen(sent, Numbered::new(tone), 10_000, block, Config::default());
        let after: Vec<_> = heard.trace.iter().filter(|(at, ..)| *at >= 1_000).collect();
        let worst = after.iter().map(|(_, stats, _)| stats.delay_ms).max().unwrap();
        assert!(worst <= 60, "seed {seed}, blocks of {block} ms: {worst}");
        // And by the listener's own clock: a packet begins to sound somewhere in the block that it is decoded for.
        let played = heard.codec.decoded.iter().zip(&heard.codec.decoded_at).filter(|(_, at)| **at >= 1_000);
        let held: Vec<_> = played.map(|(number, at)| *at + block / 2 - u64::from(*number) * 20).collect();
        let mean = held.iter().sum::<u64>() as f32 / held.len() as f32;
        assert!(mean <= 60.0 && held.len() > 440, "seed {seed}, blocks of {block} ms: {mean}");
        let (first, last) = (after[0].1, after[after.len() - 1].1);
        assert!(last.concealed - first.concealed < 8 * 9_000 / 50, "seed {seed}: {first:?} {last:?}");
    }
}

#[test]
fn jitter_that_falls_from_60_to_30_ms_leaves_at_most_60_ms_of_delay() {
    /// Until the percentile has forgotten what was, and the delay has followed.
    const FORGOTTEN_MS: u64 = 5_000;
    for (seed, block) in (0..50).flat_map(|seed| [(seed, 10), (seed, 20)]) {
        let mut random = Random::new(seed);
        let sent = send(650, |number| Some(f64::from(random.between(0.0, if number < 150 { 60.0 } else { 30.0 }))));
        let heard = listen(sent, Numbered::new(tone), 12_900, block, Config::default());
        let delays = heard.trace.iter().filter(|(at, ..)| *at >= 3_000 + FORGOTTEN_MS);
        let worst = delays.map(|(_, stats, _)| stats.delay_ms).max().unwrap();
        assert!(worst <= 60, "seed {seed}, blocks of {block} ms: {worst}");
    }
}

#[test]
fn a_tone_keeps_its_pitch_while_it_is_sped_up_and_slowed_down() {
    // 60 ms late from the second second on, and early again from the fifth.
    let sent = send(500, |number| Some(if (100..250).contains(&number) { 60.0 } else { 0.0 }));
    let heard = listen(sent, Numbered::new(tone), 9_900, 20, Config::default());
    let (_, stats, _) = heard.trace[heard.trace.len() - 1];
    // The arrival of the first late packet aside, which is concealed, all that changes is the speed.
    let (_, before, _) = heard.trace[2_600 / 20];
    assert!(stats.removed > before.removed + 8 * 20, "{before:?} {stats:?}");
    assert!(stats.inserted > before.inserted + 8 * 20, "{before:?} {stats:?}");
    assert_eq!(stats.concealed, before.concealed);
    // And no cycle of it is torn by a cut.
    for pair in rises(&heard.audio[8 * 2_600..8 * 9_800]).windows(2) {
        let cycle = pair[1] - pair[0];
        assert!((cycle - 8_000.0 / 440.0).abs() < 0.05 * cycle, "a cycle of {cycle} samples");
    }
    for second in heard.audio[8 * 2_600..8 * 9_800].chunks(8_000) {
        let hertz = pitch(second);
        assert!((hertz - 440.0).abs() < 4.4, "{hertz}");
        let strongest = spectrum::strongest_frequency(second, SampleRate::HZ_8000, Hertz(400.0), Hertz(480.0));
        assert!((strongest.0 - 440.0).abs() < 4.4, "{strongest:?}");
    }
}

/// A tone of 440 Hz at a rate that need not be the RTP clock's; a packet carries its number.
struct Tone440(SampleRate);

impl Codec for Tone440 {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        let length = self.0.samples(20) as usize;
        let from = usize::from(payload[0]) % 5 * length;
        for (k, sample) in pcm[..length].iter_mut().enumerate() {
            *sample = 0.3 * libm::sinf(core::f32::consts::TAU * 440.0 * (from + k) as f32 / self.0.hz() as f32);
        }
        length
    }
}

#[test]
fn every_rate_of_opus_keeps_its_pitch_under_the_clock_of_48_khz() {
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_48000] {
        let mut playout = Playout::<4>::new(rate, SampleRate::HZ_48000, Config::default()).unwrap();
        let block = rate.samples(20);
        let mut audio = Vec::new();
        for number in 0..400u16 {
            // Three of each second's packets come together with the fourth.
            let numbers = match number % 50 {
                47.. => 0..0,
                0 => number.saturating_sub(3)..number + 1,
                _ => number..number + 1,
            };
            let now = SampleTime(u64::from(number) * u64::from(block));
            for number in numbers {
                let (sequence, timestamp) = (number, u32::from(number) * 960);
                let packet = Packet { ssrc: 9, sequence, timestamp, payload: &[(number % 50) as u8] };
                playout.push(&packet, now);
            }
            let from = audio.len();
            audio.resize(from + block as usize, 0.0);
            playout.pull(&mut Tone440(rate), &mut audio[from..], now);
        }
        let hertz = pitch(&audio[rate.samples(1_500) as usize..]) * rate.hz() as f32 / 8_000.0;
        assert!((hertz - 440.0).abs() < 4.4, "{rate:?}: {hertz} {:?}", playout.stats());
        assert!(playout.stats().removed > 0, "{:?}", playout.stats());
    }
}

#[test]
fn drift_of_200_ppm_either_way_is_followed_without_loss() {
    for ppm in [-200.0, 200.0] {
        let sent = send(6_000, |number| Some(50.0 + f64::from(number) * 20.0 * ppm / 1e6));
        let heard = listen(sent, Numbered::new(tone), 119_000, 20, Config::default());
        let (_, stats, _) = heard.trace[heard.trace.len() - 1];
        assert!(stats.delay_ms <= 45 && stats.overflowed == 0 && stats.late == 0, "{ppm}: {stats:?}");
        assert!(stats.inserted + stats.removed > 0, "{ppm}: {stats:?}");
        assert!(heard.codec.decoded.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ppm}");
        let hertz = pitch(&heard.audio[8_000..]);
        assert!((hertz - 440.0).abs() < 4.4, "{ppm}: {hertz}");
    }
}

#[test]
fn silence_is_stretched_before_speech() {
    let speech = |number: u32| if number % 50 < 25 { Sound::Tone(200.0) } else { Sound::Silence };
    let heard = listen(send(500, |_| Some(0.0)), Numbered::new(speech), 9_900, 20, Config::default());
    let mut before = Stats::default();
    for (at, stats, _) in &heard.trace {
        // A delay that falls to its target in small steps may wait for the pause.
        if stats.removed > before.removed && *at > 3_000 {
            assert!(at % 1_000 >= 500 || at % 1_000 <= 100, "removed at {at} ms: {stats:?}");
        }
        before = *stats;
    }
    assert!(before.removed > 0, "{before:?}");
}

#[test]
fn a_delay_that_rises_inside_a_sentence_is_put_right_in_the_pause_behind_it() {
    let speech = |number: u32| if number % 50 < 25 { Sound::Tone(200.0) } else { Sound::Silence };
    // By 2 ms in the middle of each sentence, which a tolerance of 5 ms leaves for the pause.
    let sent = send(500, |number| Some(f64::from((number + 38) / 50 * 2)));
    let heard = listen(sent, Numbered::new(speech), 9_900, 20, Config::default());
    let mut before = Stats::default();
    for (at, stats, _) in &heard.trace {
        if stats.inserted > before.inserted && *at > 1_000 {
            assert!(at % 1_000 >= 500 || at % 1_000 <= 100, "inserted at {at} ms: {stats:?}");
        }
        before = *stats;
    }
    assert!(before.inserted >= 8 * 10, "{before:?}");
}

#[test]
fn duplicates_and_reordered_packets_play_once_and_in_order() {
    let mut sent = send(200, |number| Some(if number % 7 == 3 { 25.0 } else { 0.0 }));
    sent.extend(sent.clone());
    let heard = listen(sent, Numbered::new(tone), 3_900, 20, Config { min_delay_ms: 60, ..Config::default() });
    assert!(heard.codec.decoded.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", heard.codec.decoded);
    let (_, stats, _) = heard.trace[heard.trace.len() - 1];
    assert!(stats.duplicate > 150, "{stats:?}");
}

#[test]
fn a_sender_that_starts_anew_is_heard_within_100_ms() {
    for (ssrc, sequence, timestamp) in [(2, 0, 0), (1, 30_000, 5), (1, 20, 4_000_000_000)] {
        let mut sent = send(200, |_| Some(5.0));
        for packet in &mut sent[100..] {
            packet.ssrc = ssrc;
            packet.sequence = packet.sequence.wrapping_add(sequence);
            packet.timestamp =
                packet.timestamp.wrapping_add(timestamp).wrapping_sub(if ssrc == 1 { 900_000 } else { 0 });
        }
        let heard = listen(sent, Numbered::new(tone), 3_900, 20, Config::default());
        let (_, stats, _) = heard.trace[heard.trace.len() - 1];
        assert_eq!((stats.restarts, heard.codec.resets), (1, 1), "{ssrc} {sequence} {timestamp}: {stats:?}");
        assert!(heard.codec.decoded.iter().filter(|number| **number >= 100).count() >= 88);
        let gap = &heard.audio[8 * 2_150..8 * 2_400];
        assert!(gap.chunks(160).all(|chunk| chunk.iter().any(|sample| sample.abs() > 0.1)));
    }
}

#[test]
fn fec_fills_a_single_loss_and_concealment_the_rest_of_a_longer_one() {
    let sent = send(200, |number| (!matches!(number, 60 | 90..=92)).then_some(0.0));
    let mut codec = Numbered::new(tone);
    codec.has_fec = true;
    let heard = listen(sent, codec, 3_900, 20, Config::default());
    assert_eq!(heard.codec.recovered, [60, 92]);
    let hertz = pitch(&heard.audio[8 * 1_000..8 * 1_700]);
    assert!((hertz - 440.0).abs() < 4.4, "{hertz}");
}

#[test]
fn where_packets_are_lost_it_waits_for_the_redundancy_behind_them_and_not_for_ever() {
    for has_fec in [true, false] {
        // One in 20 for 20 s, then none; without jitter, where a buffer that follows jitter alone is too short.
        let sent = send(3_000, |number| (number >= 1_000 || number % 20 != 7).then_some(5.0));
        let mut codec = Numbered::new(tone);
        codec.has_fec = has_fec;
        let heard = listen(sent, codec, 59_000, 20, Config::default());
        let at = |ms: u64| heard.trace[(ms / 20) as usize].1;
        if has_fec {
            assert!(heard.codec.recovered.len() >= 45, "{:?}", heard.codec.recovered);
            assert!(at(19_000).target_ms >= 42 && at(19_000).delay_ms <= 50, "{:?}", at(19_000));
        } else {
            assert!(at(19_000).target_ms <= 25, "{:?}", at(19_000));
        }
        assert!(at(50_000).target_ms <= 25 && at(50_000).delay_ms <= 30, "{:?}", at(50_000));
    }
}

#[test]
fn a_codec_that_conceals_is_asked_for_exactly_what_is_missing() {
    let sent = send(200, |number| (!matches!(number, 60 | 90..=92)).then_some(0.0));
    let mut codec = Numbered::new(tone);
    codec.has_plc = true;
    let heard = listen(sent, codec, 3_900, 20, Config { min_delay_ms: 50, ..Config::default() });
    assert_eq!(heard.codec.concealed, 4 * 160);
}

/// A tone of 160 Hz at its crest wherever a packet ends: `at` counts samples.
fn crest(at: u32) -> f32 {
    0.3 * libm::cosf(core::f32::consts::TAU * 0.02 * at as f32)
}

/// What is heard of such a tone in A-law whose packets end after a second, and where that is.
fn cut_at_a_crest() -> (Vec<f32>, usize) {
    let mut playout = Playout::<160>::new(SampleRate::HZ_8000, SampleRate::HZ_8000, Config::default()).unwrap();
    let (mut heard, mut before) = (Vec::new(), 0);
    for number in 0..60u16 {
        let at = SampleTime(u64::from(number) * 160);
        if number < 50 {
            let pcm: Vec<i16> = (0..160).map(|k| to_i16(crest(u32::from(number) * 160 + k))).collect();
            let mut payload = [0; 160];
            Law::A.encode(&pcm, &mut payload);
            let packet = Packet { ssrc: 1, sequence: number, timestamp: u32::from(number) * 160, payload: &payload };
            assert_eq!(playout.push(&packet, at), Arrival::Stored);
            before = playout.stats().concealed;
        }
        let mut out = [0.0; 160];
        playout.pull(&mut G711(Law::A), &mut out, at);
        heard.extend(out);
    }
    let concealed = (playout.stats().concealed - before) as usize;
    let end = heard.len() - concealed;
    (heard, end)
}

#[test]
fn a_lost_packet_of_g711_is_repeated_by_its_pitch_and_fades_within_60_ms() {
    let (heard, end) = cut_at_a_crest();
    assert!((heard[end - 1] - crest(7_999)).abs() < 0.01, "{}", heard[end - 1]);
    // Neither where it begins nor anywhere behind does it click.
    assert!(heard[end - 800..].windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.06));
    let (concealed, rest) = heard[end..].split_at(480);
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let expected: Vec<f32> = (0..80).map(|k| crest(8_000 + k)).collect();
    let first = &concealed[..80];
    let alike = product(first, &expected) / libm::sqrtf(product(first, first) * product(&expected, &expected));
    assert!(alike > 0.9, "{alike}");
    let level = |samples: &[f32]| product(samples, samples) / samples.len() as f32;
    assert!(level(first) > 0.8 * level(&expected), "{} of {}", level(first), level(&expected));
    assert!(rest.len() > 160 && rest.iter().all(|sample| *sample == 0.0));
}

#[test]
fn the_waveform_of_concealment() {
    let (heard, end) = cut_at_a_crest();
    // A line for 5 ms, from 5 ms before the loss until it is silent; thousandths of full scale.
    let lines = heard[end - 40..end + 520].chunks(40).map(|line| {
        line.iter().step_by(2).map(|sample| std::format!("{:5.0}", sample * 1_000.0)).collect::<std::string::String>()
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_cannot_be_a_packet_is_refused() {
    let mut playout = Playout::<4>::new(SampleRate::HZ_8000, SampleRate::HZ_8000, Config::default()).unwrap();
    let mut push = |sequence, timestamp, payload: &[u8]| {
        playout.push(&Packet { ssrc: 1, sequence, timestamp, payload }, SampleTime(0))
    };
    assert_eq!(push(0, 0, &[]), Arrival::BadLength);
    assert_eq!(push(0, 0, &[0; 5]), Arrival::BadLength);
    assert_eq!(push(0, 0, &[0; 4]), Arrival::Stored);
    assert_eq!(push(0, 0, &[0; 4]), Arrival::Duplicate);
    assert_eq!(push(7, 1_000_000, &[0; 4]), Arrival::Suspect);
    assert_eq!(push(1, 160, &[0; 4]), Arrival::Stored);
    assert_eq!(playout.stats().malformed, 3);
    let too_fast = SampleRate::new(96_000).unwrap();
    assert!(Playout::<4>::new(too_fast, too_fast, Config::default()).is_none());
}
