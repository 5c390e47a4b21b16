//! The detector of DTMF beside spandsp's, in the conditions of ITU-T Q.24 and in half an hour of speech: a thousand digits each, at every
//! rate at which the product listens. `cargo xtask bench audio --section dtmf`.

mod peer;
mod signal;
mod speech;

use anyhow::{Context as _, Result};
use dsp::dtmf::{Blanker, Detector, Event};
use dsp::g711::Law;
use dsp::{Digit, SampleRate, units};
use peer::Peer;
use serde_json::json;
use signal::{Condition, raise};

const DIGITS: usize = 1_000;

/// The gateway's rate, wide-band speech, the worklet's.
const RATES: [SampleRate; 3] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_48000];

const PLAIN: Condition = Condition::PLAIN;
const SHORTEST: Condition = Condition { name: "40 ms, pauses of 40 ms", on_ms: 40.0, off_ms: 40.0, ..PLAIN };
const FAINT: (f64, f64) = (-36.0, -36.0);

/// None lost, none more than were sent.
const ACCEPTED: &[Condition] = &[
    PLAIN,
    SHORTEST,
    Condition { name: "40 ms, pauses of 40 ms, -36 dBm0", levels: FAINT, ..SHORTEST },
    Condition { name: "-3 dBm0", levels: (-3.0, -3.0), ..PLAIN },
    Condition { name: "-36 dBm0", levels: FAINT, ..PLAIN },
    Condition { name: "high 4 dB over low", levels: (-14.0, -10.0), ..PLAIN },
    Condition { name: "low 8 dB over high", levels: (-10.0, -18.0), ..PLAIN },
    Condition { name: "low 8 dB over high, -36 dBm0", levels: (-28.0, -36.0), ..PLAIN },
    Condition { name: "both +1.5 %", off: (1.5, 1.5), ..PLAIN },
    Condition { name: "both -1.5 %", off: (-1.5, -1.5), ..PLAIN },
    Condition { name: "-1.5 % and +1.5 %, 40 ms", off: (-1.5, 1.5), ..SHORTEST },
    Condition { name: "15 dB of noise", noise: Some(15.0), ..PLAIN },
    Condition { name: "15 dB of noise, 40 ms", noise: Some(15.0), ..SHORTEST },
    Condition {
        name: "15 dB of noise, +1.5 %, low 8 dB over high",
        noise: Some(15.0),
        off: (1.5, 1.5),
        levels: (-10.0, -18.0),
        ..PLAIN
    },
    Condition {
        name: "15 dB of noise, -1.5 %, high 4 dB over low",
        noise: Some(15.0),
        off: (-1.5, -1.5),
        levels: (-14.0, -10.0),
        ..PLAIN
    },
    // Each half would do for a digit of its own.
    Condition { name: "a gap of 10 ms in 80 ms", on_ms: 80.0, gap_ms: 10.0, ..PLAIN },
    Condition { name: "µ-law, 40 ms, -36 dBm0", law: Some(Law::Mu), levels: FAINT, ..SHORTEST },
    Condition { name: "A-law, 40 ms, -36 dBm0", law: Some(Law::A), levels: FAINT, ..SHORTEST },
];

/// None found.
const REFUSED: &[Condition] = &[
    Condition { name: "23 ms", on_ms: 23.0, ..PLAIN },
    Condition { name: "23 ms, -3 dBm0", on_ms: 23.0, levels: (-3.0, -3.0), ..PLAIN },
    Condition { name: "low +3.5 %", off: (3.5, 0.0), ..PLAIN },
    Condition { name: "low -3.5 %", off: (-3.5, 0.0), ..PLAIN },
    Condition { name: "high +3.5 %", off: (0.0, 3.5), ..PLAIN },
    Condition { name: "high -3.5 %", off: (0.0, -3.5), ..PLAIN },
    Condition { name: "both +3.5 %", off: (3.5, 3.5), ..PLAIN },
    Condition { name: "both -3.5 %, 200 ms", on_ms: 200.0, off: (-3.5, -3.5), ..PLAIN },
    Condition { name: "high -3.5 %, 15 dB of noise", off: (0.0, -3.5), noise: Some(15.0), ..PLAIN },
];

/// The issue's: in half an hour of speech.
const FALSE_DIGITS: usize = 1;

/// Half a second of it.
const SILENCED: usize = 25;

fn main() -> Result<()> {
    let peer = Peer::new()?;
    for condition in ACCEPTED {
        for rate in RATES {
            let (samples, sent) = condition.send(rate, DIGITS);
            let (lost, more) = compare(&sent, &find(rate, &samples));
            let theirs = beside(rate, || Ok(compare(&sent, &peer.find(&samples)?.0)))?;
            row(&format!("{}, {}: lost", condition.name, kilohertz(rate)), lost, 0, theirs.map(|it| it.0));
            row(&format!("{}, {}: too many", condition.name, kilohertz(rate)), more, 0, theirs.map(|it| it.1));
        }
    }
    for condition in REFUSED {
        for rate in RATES {
            let (samples, _) = condition.send(rate, DIGITS);
            let theirs = beside(rate, || Ok(peer.find(&samples)?.0.len()))?;
            row(&format!("{}, {}: taken", condition.name, kilohertz(rate)), find(rate, &samples).len(), 0, theirs);
        }
    }
    let speech = speech::half_an_hour()?;
    blanked(&speech);
    let exact: Vec<f64> = speech.iter().map(|sample| f64::from(*sample)).collect();
    for rate in RATES {
        let samples: Vec<i16> = raise(&exact, rate).into_iter().map(|sample| sample as i16).collect();
        let begun = processor_seconds()?;
        let found = find(rate, &samples);
        let taken = processor_seconds()? - begun;
        let theirs = beside(rate, || peer.find(&samples))?;
        let count = theirs.as_ref().map(|(found, _)| found.len());
        row(&format!("half an hour of speech, {}: false digits", kilohertz(rate)), found.len(), FALSE_DIGITS, count);
        let speed = |seconds: f64| seconds * 1e6 / 1_800.0;
        let peer = theirs.map(|(_, seconds)| (format!("spandsp: {:.0}", speed(seconds)), taken / seconds));
        report(&format!("a second of audio, {}", kilohertz(rate)), speed(taken), "µs", None, peer);
    }
    Ok(())
}

/// How much of speech is taken out for suspected digits.
fn blanked(speech: &[i16]) {
    let (mut blanker, mut count) = (Blanker::new(SampleRate::HZ_8000), 0);
    for block in speech.chunks(160) {
        let mut block: Vec<f32> = block.iter().map(|sample| units::from_i16(*sample)).collect();
        let sounds = block.last() != Some(&0.0);
        blanker.process(&mut block, |_| {});
        count += usize::from(sounds && block.last() == Some(&0.0));
    }
    row("half an hour of speech, 8 kHz: blocks of 20 ms silenced for suspected digits", count, SILENCED, None);
}

/// Our digits.
fn find(rate: SampleRate, samples: &[i16]) -> Vec<Digit> {
    let (mut detector, mut found) = (Detector::new(rate), Vec::new());
    for block in samples.chunks(160) {
        let block: Vec<f32> = block.iter().map(|sample| units::from_i16(*sample)).collect();
        detector.process(&block, |event| found.extend(started(event)));
    }
    found
}

fn started(event: Event) -> Option<Digit> {
    match event {
        Event::Start { digit, .. } => Some(digit),
        Event::End { .. } => None,
    }
}

/// What this thread has taken, as the peer counts it: other people's work on the machine is not in it.
fn processor_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().context("no time in schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}

/// spandsp works at 8 kHz alone.
fn beside<T>(rate: SampleRate, find: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    (rate == SampleRate::HZ_8000).then(find).transpose()
}

/// How many of `sent` are not in `found`, and how many more are there, in the alignment with the fewest of both.
fn compare(sent: &[Digit], found: &[Digit]) -> (usize, usize) {
    let mut best: Vec<(usize, usize)> = (0..=found.len()).map(|more| (0, more)).collect();
    for (at, wanted) in sent.iter().enumerate() {
        let mut row = vec![(at + 1, 0)];
        for (before, got) in best.windows(2).zip(found) {
            let (&[diagonal, above], Some(&left)) = (before, row.last()) else { continue };
            let lost = (above.0 + 1, above.1);
            let more = (left.0, left.1 + 1);
            let cheaper = if lost.0 + lost.1 <= more.0 + more.1 { lost } else { more };
            let is_same = wanted == got && diagonal.0 + diagonal.1 <= cheaper.0 + cheaper.1;
            row.push(if is_same { diagonal } else { cheaper });
        }
        best = row;
    }
    best.last().copied().unwrap_or((sent.len(), 0))
}

fn kilohertz(rate: SampleRate) -> String {
    format!("{} kHz", rate.hz() / 1_000)
}

fn row(name: &str, count: usize, most: usize, theirs: Option<usize>) {
    // A ratio to none would say nothing: how many it was stands in the name.
    let peer = theirs.map(|theirs| (format!("spandsp: {theirs}"), count as f64 / theirs.max(1) as f64));
    report(name, count as f64, "digits", Some((most, count <= most)), peer);
}

#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
fn report(name: &str, value: f64, unit: &str, target: Option<(usize, bool)>, peer: Option<(String, f64)>) {
    let ((target, holds), (peer, ratio)) = (target.unzip(), peer.unzip());
    println!(
        "{}",
        json!({ "name": name, "value": value, "unit": unit, "target": target, "holds": holds.unwrap_or(true), "peer": peer, "ratio": ratio })
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_is_too_much_are_told_apart() {
        let digits = |text: &str| text.chars().filter_map(Digit::from_char).collect::<Vec<_>>();
        for (sent, found, expected) in [
            ("1234", "1234", (0, 0)),
            ("1234", "124", (1, 0)),
            ("1234", "12334", (0, 1)),
            ("1234", "1254", (1, 1)),
            ("1234", "", (4, 0)),
            ("", "12", (0, 2)),
            ("5566", "556", (1, 0)),
        ] {
            assert_eq!(compare(&digits(sent), &digits(found)), expected, "{sent} as {found}");
        }
    }

    #[test]
    fn a_signal_holds_what_its_condition_says() {
        for rate in RATES {
            let condition = Condition { noise: Some(15.0), ..PLAIN };
            let (samples, sent) = condition.send(rate, 3);
            let (quiet, _) = PLAIN.send(rate, 3);
            let power =
                |samples: &[i16]| samples.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>() / samples.len() as f64;
            let silence = rate.samples(180) as usize;
            let tones = rate.samples(205) as usize..rate.samples(245) as usize;
            let noise = power(samples.get(..silence).unwrap_or_default());
            let ratio = 10.0 * (power(quiet.get(tones).unwrap_or_default()) / noise).log10();
            assert!((ratio - 15.0).abs() < 1.0, "{ratio} dB at {rate:?}");
            assert_eq!((sent.len(), find(rate, &samples)), (3, sent));
        }
    }
}
