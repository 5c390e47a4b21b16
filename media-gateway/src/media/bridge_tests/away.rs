//! A far end that wants to hear nothing of pages that go: `away_tone = "off"`.

use super::*;

#[test]
fn where_the_tones_are_off_the_far_end_of_an_absent_visitor_hears_silence_without_a_hole() -> TestResult {
    let mut loudest = Vec::new();
    for tone in [AwayTone::Off, AwayTone::Soft] {
        let mut bench = Bench::new(20)?;
        bench.bridge = Bridge::new(SEED, Ringback::Europe, tone, bench.now)?;
        bench.bridge.connect(remote(20)?, bench.now);
        bench.speak(0..50)?;
        let before = bench.sent.len();
        bench.bridge.away(bench.now);
        // What the old leg still brings is not taken.
        bench.speak(50..100)?;
        let away = bench.sent.len();
        bench.bridge.say_farewell(bench.now);
        bench.wait(1_000 * MS)?;
        assert!(bench.bridge.poll_farewell() && !bench.bridge.poll_farewell(), "the farewell has no end, {tone:?}");
        assert!(is_contiguous(&bench.sent, 160) && away >= before + 49, "{} packets in 1 s", away - before);
        let pcm = bench.pcm();
        let loudest_in = |range: std::ops::Range<usize>| {
            pcm.get(range).unwrap_or_default().iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()))
        };
        assert!(loudest_in(0..before * 160) > 0.1, "the visitor was not heard before");
        // The packet that was under way.
        loudest.push([loudest_in((before + 1) * 160..away * 160), loudest_in(away * 160..pcm.len())]);
    }
    let [off, soft] = loudest.try_into().map_err(|_| "not two")?;
    assert!(off.iter().all(|loudest| *loudest < 0.001), "{off:?}");
    assert!(soft.iter().all(|loudest| *loudest > 0.01), "nothing could be heard in this test: {soft:?}");
    Ok(())
}
