//! What is lost, late, doubled or left out: what the other side hears of it.

use super::*;
use crate::media::incoming::has_redundancy;
use protocol::visitor::Quality;

#[test]
fn a_lost_packet_of_the_visitor_is_recovered_from_the_next_and_leaves_no_hole() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speaks_syllables = true;
    bench.speak_all_but(400, |index| index % 20 == 13)?;
    assert!(bench.sent.len() >= 390 && is_contiguous(&bench.sent, 160), "{}", bench.sent.len());
    assert!(bench.sent.windows(2).all(|pair| matches!(pair, [a, b] if b.at - a.at == 20 * MS)), "a steady cadence");
    assert_eq!(bench.bridge.stats().visitor_lost, 20);
    let [visitor, _] = bench.bridge.playout();
    // The first show that it pays to wait for the packet behind; quiet ones need none.
    assert!(visitor.recovered >= 10 * 160 && visitor.late == 0 && visitor.delay_ms <= 50, "{visitor:?}");
    Ok(())
}

#[test]
fn what_of_the_visitor_cannot_be_recovered_is_concealed_at_the_same_cadence() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.opus.set_inband_fec(false)?;
    bench.speak_all_but(100, |index| index % 20 == 13 || index % 20 == 14)?;
    assert!(bench.sent.len() >= 97 && is_contiguous(&bench.sent, 160), "{}", bench.sent.len());
    let [visitor, _] = bench.bridge.playout();
    assert!(visitor.recovered == 0 && visitor.concealed >= 9 * 160, "{visitor:?}");
    Ok(())
}

#[test]
fn a_packet_that_comes_late_is_not_played_again() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak([0, 1, 2, 4, 3, 5, 6, 6, 7])?;
    assert_eq!(bench.sent.len(), 8);
    assert!(is_contiguous(&bench.sent, 160));
    assert_eq!(bench.bridge.stats().visitor_lost, 0);
    Ok(())
}

#[test]
fn a_pause_of_the_visitors_encoder_leaves_no_hole_towards_the_far_end() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..10)?;
    bench.wait(380 * MS)?;
    // DTX: the next packet in sequence, 400 ms on.
    let mut packet = bench.opus(10)?;
    packet.timestamp = 9 * 960 + 20 * 960;
    bench.bridge.handle_visitor(&packet, bench.now);
    bench.wait(100 * MS)?;
    assert!(is_contiguous(&bench.sent, 160) && bench.sent.len() >= 30, "{}", bench.sent.len());
    assert_eq!(bench.bridge.stats().visitor_lost, 0);
    Ok(())
}

#[test]
fn keys_of_the_visitor_are_no_loss_of_audio() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..10)?;
    for step in 0..8_u32 {
        let payload = event('5', step >= 5, ((step + 1).min(5) * 960) as u16)?;
        let kind = VisitorPayload::Event(SampleRate::HZ_48000);
        let packet = visitor_packet(kind, 10 + step, 9_600, Arc::from(payload));
        bench.bridge.handle_visitor(&packet, bench.now);
        bench.wait(20 * MS)?;
    }
    bench.speak(18..30)?;
    let [visitor, _] = bench.bridge.playout();
    assert_eq!((visitor.recovered, bench.bridge.stats().visitor_lost), (0, 0), "{visitor:?}");
    Ok(())
}

#[test]
fn lost_packets_of_the_far_end_are_concealed_and_the_visitors_numbers_run_on() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.listen(0..100, |index| index % 10 == 4)?;
    assert!(bench.played.len() >= 97 && bench.visitors_timeline_is_even());
    assert_eq!(bench.bridge.stats().agent_lost, 10);
    let [_, agent] = bench.bridge.playout();
    assert!(agent.concealed >= 10 * 160, "{agent:?}");
    let pcm = bench.decoded()?;
    let level = spectrum::tone_level(pcm.get(4000..12_000).unwrap_or_default(), SampleRate::HZ_8000, Hertz(300.0));
    // Silence in their place would cost 0.9 dB.
    assert!((level.0 - Dbm0(-10.0).to_dbov().0).abs() < 0.3, "{level:?}");
    Ok(())
}

#[test]
fn jitter_of_the_far_end_is_smoothed_to_a_steady_20_ms() -> TestResult {
    let mut bench = Bench::new(20)?;
    // Three packets come together, then none for 60 ms.
    for index in 0..300_u16 {
        bench.hear(FAR_END, index, u32::from(index) * 160, 0, &[0x55; 160])?;
        if index % 3 == 2 {
            bench.wait(60 * MS)?;
        }
    }
    let tail = bench.played.len().checked_sub(200).ok_or("too little")?;
    let tail = bench.played.get(tail..).unwrap_or_default();
    assert!(tail.windows(2).all(|pair| matches!(pair, [a, b] if b.at - a.at == 20 * MS)));
    let [_, agent] = bench.bridge.playout();
    assert!(agent.late == 0 && agent.delay_ms <= 90, "{agent:?}");
    Ok(())
}

#[test]
fn comfort_noise_and_silence_of_the_far_end_are_no_loss() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.listen(0..20, |_| false)?;
    bench.hear(FAR_END, 20, 20 * 160, 13, &[60])?;
    bench.wait(600 * MS)?;
    let before = bench.played.len();
    assert!(before <= 26, "{before}: silence is not sent");
    for index in 21..40_u16 {
        bench.hear(FAR_END, index, 50 * 160 + u32::from(index - 21) * 160, 0, &[0x55; 160])?;
        bench.wait(20 * MS)?;
    }
    assert!(bench.visitors_timeline_is_even());
    assert!(bench.played.get(before).is_some_and(|played| played.marker));
    assert_eq!(bench.bridge.stats().agent_lost, 0);
    Ok(())
}

#[test]
fn a_far_end_that_restarts_its_stream_goes_on_where_the_clock_is() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.listen(0..50, |_| false)?;
    for index in 0..50_u16 {
        bench.hear(FAR_END, 30_000 + index, 0x8000_0000 + u32::from(index) * 160, 0, &[0x55; 160])?;
        bench.wait(20 * MS)?;
    }
    assert!(bench.played.len() > 90 && bench.visitors_timeline_is_even(), "{}", bench.played.len());
    let [_, agent] = bench.bridge.playout();
    assert_eq!(agent.restarts, 1, "{agent:?}");
    Ok(())
}

/// A far end that speaks for a second, is silent for five, and speaks again for one; how many packets of the silence are sent on.
fn packets_of_silence(quality: Quality) -> TestResult<usize> {
    let mut bench = Bench::new(20)?;
    bench.bridge.set_quality(quality);
    bench.listen(0..50, |_| false)?;
    let before = bench.played.len();
    for index in 50..300_u16 {
        bench.hear(FAR_END, index, u32::from(index) * 160, 0, &[0xFF; 160])?;
        bench.wait(20 * MS)?;
    }
    let behind = bench.played.len();
    bench.listen(300..350, |_| false)?;
    let again = bench.played.get(behind..).unwrap_or_default();
    assert!(again.len() * 60 >= 900, "{} packets behind the silence", again.len());
    // Timestamps tell of every packet that was left out.
    for pair in bench.played.windows(2) {
        let [a, b] = pair else { continue };
        assert_eq!(
            (b.sequence, b.timestamp.wrapping_sub(a.timestamp)),
            (a.sequence + 1, (b.at - a.at).as_millis() as u32 * 48)
        );
    }
    Ok(behind - before)
}

#[test]
fn who_saves_is_sent_hardly_any_silence_and_others_all_of_it() -> TestResult {
    let saved = packets_of_silence(Quality::Saver)?;
    // The encoder says every 400 ms what silence sounds like, and does not believe the first 200.
    assert!((5..=25).contains(&saved), "{saved} packets in 5 s");
    for quality in [Quality::Standard, Quality::Best] {
        let sent = packets_of_silence(quality)?;
        assert!(sent >= 240, "{sent} packets in 5 s, {quality:?}");
    }
    Ok(())
}

#[test]
fn silence_that_the_visitors_encoder_leaves_out_makes_no_hole_towards_the_far_end() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.opus.set_dtx(true)?;
    bench.speak(0..50)?;
    let (mut number, mut left_out) = (50, 0);
    for index in 50..250_u32 {
        let payload = bench.opus.encode_vec(&[0; 960], 1275)?;
        if payload.len() > 2 {
            let packet = visitor_packet(VisitorPayload::Opus, number, index * 960, Arc::from(payload));
            bench.bridge.handle_visitor(&packet, bench.now);
            number += 1;
        } else {
            left_out += 1;
        }
        bench.wait(20 * MS)?;
    }
    assert!(left_out > 150, "the encoder leaves {left_out} of 200 out");
    assert!(is_contiguous(&bench.sent, 160) && bench.sent.len() >= 245, "{}", bench.sent.len());
    assert_eq!(bench.bridge.stats().visitor_lost, 0);
    Ok(())
}

#[test]
fn what_the_browser_reports_as_lost_decides_over_packets_and_redundancy() -> TestResult {
    let mut bench = Bench::new(20)?;
    let mut index = 0;
    // The time between the last packets of 2 s of syllables, and how many of ten are redundant.
    let mut listen = |bench: &mut Bench| -> TestResult<(Duration, usize)> {
        let before = bench.played.len();
        for _ in 0..100 {
            let level = (1 + index % 12) as f32 / 12.0;
            let pcm: [i16; 160] = std::array::from_fn(|_| units::to_i16(level * bench.sine.next_sample()));
            let mut codes = [0; 160];
            Law::Mu.encode(&pcm, &mut codes);
            bench.hear(FAR_END, index as u16, index * 160, 0, &codes)?;
            bench.wait(20 * MS)?;
            index += 1;
        }
        let played = bench.played.get(before + 5..).unwrap_or_default();
        let [.., a, b] = played else { return Err("too little".into()) };
        let redundant = played.iter().filter(|played| has_redundancy(&played.payload)).count();
        Ok((b.at - a.at, redundant * 10 / played.len()))
    };
    let report = |bench: &mut Bench, lost: f32, times: u32| {
        (0..times).for_each(|_| bench.bridge.handle_visitor_report(lost, Some(40 * MS)));
    };
    report(&mut bench, 0.0, 10);
    assert_eq!(listen(&mut bench)?, (20 * MS, 0), "nothing is lost");
    report(&mut bench, 0.25, 1);
    let (interval, redundant) = listen(&mut bench)?;
    assert!(interval == 60 * MS && redundant >= 5, "a quarter is lost: {interval:?}, {redundant} of 10");
    report(&mut bench, 0.05, 4);
    let (interval, redundant) = listen(&mut bench)?;
    assert!(interval == 20 * MS && redundant >= 5, "a twentieth is lost: {interval:?}, {redundant} of 10");
    report(&mut bench, 0.0, 20);
    assert_eq!(listen(&mut bench)?, (20 * MS, 0), "nothing is lost any more");
    Ok(())
}
