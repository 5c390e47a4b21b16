//! Random networks: whatever they do, playout keeps its bounds.

use super::Config;
use super::testing::{Numbered, Sent, Sound, listen, send};
use proptest::prelude::*;

fn sound(number: u32) -> Sound {
    match number / 20 % 3 {
        0 => Sound::Tone(200.0),
        1 => Sound::Noise,
        _ => Sound::Silence,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn output_never_runs_backwards_and_never_grows_past_the_cap(
        delays in prop::collection::vec(prop_oneof![8 => 0.0..60.0f64, 1 => 0.0..800.0f64], 400),
        // From which packet on, and for how many, the network holds everything back to let it go at once.
        outages in prop::collection::vec((0u32..400, 0u32..40), 0..5),
        losses in prop::collection::vec(prop::bool::weighted(0.1), 400),
        ppm in -500.0..500.0f64,
        block in prop_oneof![Just(1u64), Just(10), Just(20), Just(60)],
        max_delay_ms in 100u32..400,
        has_fec: bool,
        has_plc: bool,
    ) {
        let sent = send(400, |number| {
            let index = number as usize;
            let held_back = |(from, count): &(u32, u32)| (from + count).checked_sub(number).filter(|_| *from <= number);
            let outage = outages.iter().filter_map(held_back).max().unwrap_or_default();
            let delay = delays[index].max(f64::from(outage) * 20.0);
            (!losses[index]).then(|| delay + f64::from(number) * 20.0 * ppm / 1e6 + 10.0)
        });
        let mut codec = Numbered::new(sound);
        (codec.has_fec, codec.has_plc) = (has_fec, has_plc);
        let config = Config { max_delay_ms, ..Config::default() };
        let heard = listen(sent, codec, 9_000, block, config);
        prop_assert!(heard.codec.decoded.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", heard.codec.decoded);
        prop_assert!(heard.audio.iter().all(|sample| sample.is_finite() && sample.abs() < 2.0));
        for (at, stats, _) in &heard.trace {
            prop_assert!(stats.target_ms <= max_delay_ms && stats.held_ms <= max_delay_ms, "{at}: {stats:?}");
        }
    }

    #[test]
    fn no_numbers_of_any_sender_make_it_panic_or_stall(
        packets in prop::collection::vec((0.0..2_000.0f64, 0u32..3, any::<u16>(), any::<u32>()), 0..300),
        max_delay_ms: u32,
        min_delay_ms: u32,
    ) {
        let sent = packets.into_iter().map(|(arrival_ms, ssrc, sequence, timestamp)| {
            Sent { arrival_ms, ssrc, sequence, timestamp, number: 1 }
        });
        let heard = listen(sent.collect(), Numbered::new(sound), 2_000, 20, Config { min_delay_ms, max_delay_ms });
        prop_assert!(heard.audio.iter().all(|sample| sample.is_finite()));
        // The cap, or one packet where the cap is smaller than that.
        let cap = max_delay_ms.clamp(20, 400);
        prop_assert!(heard.trace.iter().all(|(_, stats, _)| stats.held_ms <= cap));
    }
}
