//! Keys as tones in the audio, for far ends that know no telephone events.

use super::*;
use crate::config::Dtmf;
use dsp::dtmf::{Detector, Event, Generator, Shape};
use protocol::gateway::Tone;

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
fn tones_pass_where_the_trunk_wants_events_only_and_count_everywhere_else() -> TestResult {
    for (dtmf, event_pt, is_taken) in [
        (Dtmf::Events, None, false),
        (Dtmf::Events, Some(EVENT_PT), false),
        (Dtmf::Tones, Some(EVENT_PT), true),
        (Dtmf::Auto, Some(EVENT_PT), true),
        (Dtmf::Auto, None, true),
    ] {
        let mut bench = bench(dtmf, event_pt)?;
        say(&mut bench, &dialled("*76", Shape::default(), 300))?;
        let longest = longest_of_key(&bench.decoded()?, '*')?;
        let expected = if is_taken { "*76" } else { "" };
        assert_eq!(agents_keys(&bench), expected, "{dtmf:?}, {event_pt:?}");
        assert_eq!(longest <= 60, is_taken, "{longest} ms are heard, {dtmf:?}, {event_pt:?}");
    }
    Ok(())
}

/// What comes of `keys` that the far end sends as tones and, so many milliseconds before or behind those, as events.
fn both_ways(keys: &str, events_ms: i64) -> TestResult<Bench> {
    const ON_MS: u32 = 80;
    let mut bench = bench(Dtmf::Auto, Some(EVENT_PT))?;
    let shape = Shape { on_ms: ON_MS, off_ms: 80, ..Shape::default() };
    let samples = dialled(keys, shape, 400);
    let mut number = 0;
    for (index, piece) in samples.chunks_exact(160).enumerate() {
        let linear: Vec<i16> = piece.iter().map(|sample| units::to_i16(*sample)).collect();
        let mut codes = [0; 160];
        Law::Mu.encode(&linear, &mut codes);
        bench.hear(FAR_END, number, index as u32 * 160, 0, &codes)?;
        number += 1;
        for (nth, key) in keys.chars().enumerate() {
            let began = 400 + nth as i64 * 160 + events_ms;
            let since = index as i64 * 20 - began;
            if (0..160).contains(&since) {
                let (is_end, ms) = (since >= i64::from(ON_MS), (since + 20).min(ON_MS.into()));
                bench.hear(FAR_END, number, (began * 8) as u32, EVENT_PT, &event(key, is_end, (ms * 8) as u16)?)?;
                number += 1;
            }
        }
        bench.wait(20 * MS)?;
    }
    bench.wait(500 * MS)?;
    Ok(bench)
}

#[test]
fn tones_beside_events_are_taken_out_as_soon_as_they_are_suspected() -> TestResult {
    for events_ms in [-40, -20, 0, 20] {
        let bench = both_ways("*76#", events_ms)?;
        let heard = bench.decoded()?;
        assert_eq!(keys_in(&heard).0, "", "the visitor hears keys, {events_ms} ms");
        for key in "*76#".chars() {
            let ms = longest_of_key(&heard, key)?;
            assert!(ms <= 50, "{ms} ms of {key} are heard, {events_ms} ms");
        }
        // Either way tells each key, and the gateway's call counts it once.
        let mut told = agents_keys(&bench).chars().collect::<Vec<_>>();
        told.sort_unstable();
        assert_eq!(told.into_iter().collect::<String>(), "##**6677");
    }
    Ok(())
}

/// What begins like a digit and is none: 25 ms, as syllables have them.
fn syllables() -> Vec<f32> {
    dialled("1234567890", Shape { on_ms: 25, off_ms: 200, ..Shape::default() }, 300)
}

#[test]
fn speech_beside_events_is_not_touched_where_it_resembles_tones_unless_an_event_is_there() -> TestResult {
    let passed = |event_pt| {
        let mut bench = bench(Dtmf::Auto, event_pt)?;
        say(&mut bench, &syllables())?;
        assert_eq!(agents_keys(&bench), "");
        bench.decoded()
    };
    let energy = |samples: &[f32]| samples.iter().map(|sample| sample * sample).sum::<f32>();
    let mut untouched = bench(Dtmf::Events, Some(EVENT_PT))?;
    say(&mut untouched, &syllables())?;
    assert!(passed(Some(EVENT_PT))? == untouched.decoded()?, "speech suffers");
    assert!(energy(&passed(None)?) < energy(&untouched.decoded()?) * 0.99, "there is nothing to suspect in this test");
    Ok(())
}

#[test]
fn the_visitors_own_keys_that_come_back_as_tones_are_no_keys_of_the_far_ends() -> TestResult {
    for dtmf in [Dtmf::Auto, Dtmf::Tones] {
        let mut bench = bench(dtmf, Some(EVENT_PT))?;
        bench.bridge.press("55", bench.now);
        bench.wait(100 * MS)?;
        say(&mut bench, &dialled("55", Shape::default(), 100))?;
        assert_eq!(agents_keys(&bench), "", "{dtmf:?}");
        bench.bridge.press("5", bench.now);
        say(&mut bench, &dialled("8", Shape::default(), 100))?;
        assert_eq!(agents_keys(&bench), "8", "{dtmf:?}: another key is the far end's");
        bench.wait(Duration::from_secs(1))?;
        say(&mut bench, &dialled("5", Shape::default(), 100))?;
        assert_eq!(agents_keys(&bench), "85", "{dtmf:?}: much later");
    }
    Ok(())
}

#[test]
fn a_tone_that_is_down_while_the_session_changes_is_not_lost() -> TestResult {
    let mut bench = bench(Dtmf::Auto, None)?;
    let samples = dialled("5", Shape { on_ms: 200, ..Shape::default() }, 100);
    for (index, piece) in samples.chunks_exact(160).enumerate() {
        if index == 12 {
            bench.bridge.connect(remote(20)?, bench.now);
        }
        let linear: Vec<i16> = piece.iter().map(|sample| units::to_i16(*sample)).collect();
        let mut codes = [0; 160];
        Law::Mu.encode(&linear, &mut codes);
        bench.hear(FAR_END, index as u16, index as u32 * 160, 0, &codes)?;
        bench.wait(20 * MS)?;
    }
    bench.wait(500 * MS)?;
    assert_eq!(agents_keys(&bench), "5");
    Ok(())
}

#[test]
fn the_tone_for_the_far_end_waits_for_keys_that_go_out() -> TestResult {
    for dtmf in [Dtmf::Auto, Dtmf::Tones] {
        let mut bench = bench(dtmf, Some(EVENT_PT))?;
        bench.speak(0..20)?;
        bench.bridge.press("159", bench.now);
        bench.wait(60 * MS)?;
        bench.bridge.notify(Tone::Done, bench.now);
        bench.speak(20..80)?;
        let pcm = bench.pcm();
        let level = |piece: &[f32]| spectrum::tone_level(piece, RATE, Hertz(1_047.0)).0;
        let heard = pcm.windows(160).step_by(80).filter(|piece| level(piece) > -30.0).count() * 10;
        assert!((100..=140).contains(&heard), "{heard} ms of it are heard, {dtmf:?}");
        if dtmf == Dtmf::Tones {
            assert_eq!(keys_in(&pcm).0, "159", "the tones are not understood");
        }
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
