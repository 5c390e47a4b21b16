//! Random networks: whatever they do, playout keeps its bounds.

use super::Config;
use super::testing::{Heard, Numbered, Sent, Sound, listen, send};
use proptest::prelude::*;
use std::vec::Vec;

fn sound(number: u32) -> Sound {
    match number / 20 % 3 {
        0 => Sound::Tone(200.0),
        1 => Sound::Noise,
        _ => Sound::Silence,
    }
}

/// Each packet is heard once and in order, decoded or recovered; and no more is held than the cap.
fn keeps_its_bounds(heard: &Heard, max_delay_ms: u32) -> Result<(), TestCaseError> {
    let played = &heard.codec.played;
    prop_assert!(played.windows(2).all(|pair| pair[0] < pair[1]), "{played:?}");
    prop_assert!(heard.audio.iter().all(|sample| sample.is_finite() && sample.abs() < 2.0));
    for (at, stats, _) in &heard.trace {
        prop_assert!(stats.target_ms <= max_delay_ms && stats.held_ms <= max_delay_ms, "{at}: {stats:?}");
    }
    Ok(())
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
        keeps_its_bounds(&heard, max_delay_ms)?;
    }

    #[test]
    fn doubles_pauses_and_restarts_of_the_sender_change_no_order_either(
        // Later than the cap is the network's delay, and none of ours.
        delays in prop::collection::vec(prop_oneof![8 => 0.0..60.0f64, 1 => 0.0..150.0f64], 400),
        losses in prop::collection::vec(prop::bool::weighted(0.05), 400),
        doubles in prop::collection::vec(prop_oneof![3 => Just(None), 1 => (0.0..100.0f64).prop_map(Some)], 400),
        // From which packet on, and how many of them, the sender leaves out without counting (DTX).
        pauses in prop::collection::vec((0u32..400, 1u32..60), 0..6),
        // From which packet on it has other numbers, and whether it has another SSRC as well.
        restarts in prop::collection::vec((20u32..380, any::<bool>()), 0..3),
        block in prop_oneof![Just(10u64), Just(20)],
        has_fec: bool,
        has_plc: bool,
    ) {
        let mut sent = Vec::new();
        let (mut skipped, mut moved, mut ssrc) = (0, 0, 1);
        for packet in send(400, |number| Some(delays[number as usize])) {
            let number = packet.number;
            for (_, is_another) in restarts.iter().filter(|(from, _)| *from == number) {
                moved += 1;
                ssrc += u32::from(*is_another);
            }
            if pauses.iter().any(|(from, count)| (*from..from + count).contains(&number)) {
                skipped += 1;
                continue;
            }
            if losses[number as usize] {
                continue;
            }
            // What the sender before the restart has sent does not come behind it: nobody could tell it from another restart.
            let is_near = restarts.iter().any(|(from, _)| from.abs_diff(number) < 30);
            let arrival_ms = if is_near { f64::from(number) * 20.0 } else { packet.arrival_ms };
            let packet = Sent {
                arrival_ms,
                ssrc,
                sequence: packet.sequence.wrapping_sub(skipped).wrapping_add(moved * 20_000),
                timestamp: packet.timestamp.wrapping_add(u32::from(moved) * 3_000_000),
                number,
            };
            sent.push(packet);
            let double = doubles[number as usize].filter(|_| !is_near);
            sent.extend(double.map(|later| Sent { arrival_ms: arrival_ms + later, ..packet }));
        }
        let mut codec = Numbered::new(sound);
        (codec.has_fec, codec.has_plc) = (has_fec, has_plc);
        let config = Config::default();
        let heard = listen(sent, codec, 9_000, block, config);
        keeps_its_bounds(&heard, config.max_delay_ms)?;
        let longest = heard.trace.iter().map(|(_, stats, _)| stats.delay_ms).max().unwrap_or_default();
        prop_assert!(longest <= config.max_delay_ms, "{longest}");
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
