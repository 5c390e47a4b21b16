//! Keys as tones in the audio, for far ends that know no telephone events.

use super::*;
use crate::config::Dtmf;
use dsp::dtmf::{Detector, Event, Generator, Shape};

const RATE: SampleRate = SampleRate::HZ_8000;

/// Between the keys of a far end that speaks.
const VOICE: Hertz = Hertz(300.0);

/// A bench whose far end has negotiated events, or none.
fn bench(dtmf: Dtmf, event_pt: Option<u8>) -> TestResult<Bench> {
    let mut bench = Bench::new(20)?;
    bench.bridge.set_dtmf(dtmf);
    bench.bridge.connect(Remote { telephone_event: event_pt, ..remote(20)? }, bench.now);
    Ok(bench)
}

/// A voice of `before` ms, `keys` as tones, and the voice again for 300 ms.
fn dialled(keys: &str, shape: Shape, before: u32) -> Vec<f32> {
    let mut sine = Sine::new(RATE, VOICE, Dbm0(-15.0));
    let mut voice = |ms| (0..RATE.samples(ms)).map(|_| sine.next_sample()).collect::<Vec<_>>();
    let mut samples = voice(before);
    let digits = keys.chars().filter_map(Digit::from_char);
    samples.extend(digits.flat_map(|digit| Generator::new(RATE, digit, shape)));
    samples.extend(voice(300));
    samples
}

/// The far end sends this, in packets of 20 ms.
fn say(bench: &mut Bench, samples: &[f32]) -> TestResult {
    for (index, piece) in samples.chunks_exact(160).enumerate() {
        let linear: Vec<i16> = piece.iter().map(|sample| units::to_i16(*sample)).collect();
        let mut codes = [0; 160];
        Law::Mu.encode(&linear, &mut codes);
        bench.hear(FAR_END, index as u16, index as u32 * 160, 0, &codes)?;
        bench.wait(20 * MS)?;
    }
    bench.wait(500 * MS)
}

/// The keys in `samples`, with the lengths of their tones in milliseconds, and of the pauses before all but the first.
fn keys_in(samples: &[f32]) -> (String, Vec<u64>, Vec<u64>) {
    let (mut keys, mut lengths, mut pauses, mut began, mut over) = (String::new(), Vec::new(), Vec::new(), 0, None);
    Detector::new(RATE).process(samples, |event| match event {
        Event::Start { digit, at } => {
            keys.push(digit.as_char());
            pauses.extend(over.map(|over| RATE.milliseconds(at - over)));
            began = at;
        }
        Event::End { duration, .. } => {
            lengths.push(RATE.milliseconds(duration));
            over = Some(began + duration);
        }
    });
    (keys, lengths, pauses)
}

fn agents_keys(bench: &Bench) -> String {
    bench.digits.iter().filter(|(from, ..)| *from == Side::Agent).map(|(_, digit, _)| *digit).collect()
}

/// The longest stretch, in ms, in which the key is louder than anything else.
fn longest_of_key(samples: &[f32], digit: char) -> TestResult<u32> {
    const STEP: usize = 40;
    let (row, column) = Digit::from_char(digit).ok_or("no key")?.frequencies();
    let (mut longest, mut now) = (0, 0);
    for piece in samples.windows(2 * STEP).step_by(STEP) {
        let level = |hertz| spectrum::tone_level(piece, RATE, hertz).0;
        now = if level(row) > -35.0 && level(column) > -35.0 { now + 5 } else { 0 };
        longest = longest.max(now);
    }
    Ok(longest)
}

#[test]
fn tones_of_a_far_end_without_events_are_reported_once_and_not_heard_wherever_packets_begin() -> TestResult {
    for before in 300..320 {
        let mut bench = bench(Dtmf::Auto, None)?;
        say(&mut bench, &dialled("*76#553", Shape { on_ms: 80, off_ms: 60, ..Shape::default() }, before))?;
        assert_eq!(agents_keys(&bench), "*76#553", "after {before} ms");
        assert!(bench.digits.iter().all(|(.., ms)| ms.abs_diff(80) <= 10), "{:?}", bench.digits);
        let heard = bench.decoded()?;
        let left = keys_in(&heard).0;
        assert_eq!(left, "", "the visitor hears keys, after {before} ms");
        for key in "*76#53".chars() {
            let ms = longest_of_key(&heard, key)?;
            assert!(ms <= 50, "{ms} ms of {key} are heard, after {before} ms");
        }
        // Of the 300 ms of voice behind the keys, 60 ms are the price.
        let voice = heard.windows(80).step_by(80).filter(|it| spectrum::tone_level(it, RATE, VOICE).0 > -25.0);
        let count = voice.count() * 10;
        assert!(count as u32 >= before + 230, "of {} ms of voice, {count} are heard", before + 300);
    }
    Ok(())
}

#[test]
fn a_tone_that_is_held_is_reported_after_its_first_second() -> TestResult {
    let mut bench = bench(Dtmf::Auto, None)?;
    say(&mut bench, &dialled("5", Shape { on_ms: 1_500, ..Shape::default() }, 100))?;
    assert_eq!(bench.digits, [(Side::Agent, '5', 1000)]);
    Ok(())
}

#[test]
fn tones_pass_where_events_were_agreed_on_or_the_trunk_wants_no_tones() -> TestResult {
    for (dtmf, event_pt, is_taken) in [
        (Dtmf::Auto, Some(EVENT_PT), false),
        (Dtmf::Events, None, false),
        (Dtmf::Tones, Some(EVENT_PT), true),
        (Dtmf::Auto, None, true),
    ] {
        let mut bench = bench(dtmf, event_pt)?;
        say(&mut bench, &dialled("*76", Shape::default(), 300))?;
        let heard = keys_in(&bench.decoded()?).0;
        let expected = if is_taken { ("*76", "") } else { ("", "*76") };
        assert_eq!((agents_keys(&bench).as_str(), heard.as_str()), expected, "{dtmf:?}, {event_pt:?}");
    }
    Ok(())
}

#[test]
fn keys_go_as_tones_to_a_far_end_without_events_one_after_the_other() -> TestResult {
    let mut bench = bench(Dtmf::Auto, None)?;
    bench.speak(0..20)?;
    bench.bridge.press("11#D", bench.now);
    bench.speak(20..100)?;
    let (keys, lengths, pauses) = keys_in(&bench.pcm());
    assert_eq!(keys, "11#D");
    assert!(lengths.iter().all(|ms| (100..=130).contains(ms)), "{lengths:?}");
    assert!(pauses.iter().all(|ms| (60..=80).contains(ms)), "{pauses:?}");
    assert!(bench.sent.iter().all(|sent| sent.payload_type == 0), "events for a far end that knows none");
    assert!(is_contiguous(&bench.sent, 160));
    let voice = bench.pcm();
    let [before, behind] = [0..1_600, voice.len() - 1_600..voice.len()]
        .map(|range| spectrum::tone_level(voice.get(range).unwrap_or_default(), RATE, Hertz(440.0)).0);
    assert!(before > -30.0 && behind > -20.0, "the visitor's voice has {before} and {behind} dBov");
    Ok(())
}

#[test]
fn keys_of_a_silent_visitor_go_as_tones_and_what_is_too_much_is_dropped() -> TestResult {
    let mut bench = bench(Dtmf::Tones, Some(EVENT_PT))?;
    bench.bridge.press(&"4".repeat(100), bench.now);
    bench.wait(Duration::from_secs(10))?;
    assert_eq!(keys_in(&bench.pcm()).0, "4".repeat(32));
    assert!(bench.sent.iter().all(|sent| sent.payload_type == 0));
    Ok(())
}

#[test]
fn a_far_end_that_learns_events_in_mid_call_gets_events() -> TestResult {
    let mut bench = bench(Dtmf::Auto, None)?;
    bench.bridge.connect(remote(20)?, bench.now);
    bench.bridge.press("8", bench.now);
    bench.wait(Duration::from_secs(1))?;
    assert!(bench.sent.iter().all(|sent| sent.payload_type == EVENT_PT) && !bench.sent.is_empty());
    Ok(())
}
