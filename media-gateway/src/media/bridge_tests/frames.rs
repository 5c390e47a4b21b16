//! Audio as frames, of which the codec changes while they run: nothing is lost, nothing comes twice.

use super::*;

/// When the gateway is told, and how much later the browser follows: by itself, as its module comes and goes.
const TO_OPUS: u32 = 100;
const TO_G711: u32 = 200;
const FOLLOWS: u32 = 3;

/// Pieces until both playouts run evenly.
const SETTLED: usize = 25;

#[test]
fn frames_that_go_from_g711_to_opus_and_back_lose_and_double_nothing() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.bridge.redirect_visitor(Coding::G711(Law::Mu), 0, bench.now);
    let mut far_end = Sine::new(SampleRate::HZ_8000, Hertz(300.0), Dbm0(-10.0));
    let mut settled = None;
    for index in 0..300 {
        match index {
            50 => settled = Some(bench.bridge.playout()),
            TO_OPUS => bench.bridge.recode_visitor(Coding::Opus),
            TO_G711 => bench.bridge.recode_visitor(Coding::G711(Law::Mu)),
            _ => {}
        }
        let is_opus = (TO_OPUS + FOLLOWS..TO_G711 + FOLLOWS).contains(&index);
        let packet = if is_opus { bench.opus(index)? } else { g711(&mut bench.sine, index) };
        bench.bridge.handle_visitor(&packet, bench.now);
        let codes = coded(std::array::from_fn(|_| units::to_i16(far_end.next_sample())));
        bench.hear(FAR_END, index as u16, index * 160, 0, &codes)?;
        bench.wait(20 * MS)?;
    }

    let counts = |stats: [dsp::playout::Stats; 2]| {
        stats.map(|it| (it.late, it.duplicate, it.overflowed, it.malformed, it.restarts, it.recovered, it.concealed))
    };
    assert_eq!(settled.map(counts), Some(counts(bench.bridge.playout())), "all that came was played, once");
    assert!(bench.sent.len() > 290 && is_contiguous(&bench.sent, 160));
    is_heard_without_a_hole(&bench.pcm(), 440.0);

    let ticks = |played: &Played| {
        if played.coding == Coding::Opus { played.timestamp } else { played.timestamp.wrapping_mul(6) }
    };
    assert!(bench.played.windows(2).all(|pair| match pair {
        [a, b] => b.sequence == a.sequence + 1 && ticks(b).wrapping_sub(ticks(a)) == 960 && !b.marker,
        _ => false,
    }));
    let mut codings: Vec<_> = bench.played.iter().map(|played| played.coding).collect();
    let of_opus = codings.iter().filter(|coding| **coding == Coding::Opus).count();
    assert_eq!(of_opus, (TO_G711 - TO_OPUS) as usize, "from the next packet on");
    codings.dedup();
    assert_eq!(codings, [Coding::G711(Law::Mu), Coding::Opus, Coding::G711(Law::Mu)]);
    is_heard_without_a_hole(&decoded(&bench.played)?, 300.0);
    Ok(())
}

/// Each 20 ms hold the tone. An encoder that begins looks ahead by 6.5 ms, which are silence.
fn is_heard_without_a_hole(pcm: &[f32], hz: f32) {
    let spoken = Dbm0(-10.0).to_dbov().0;
    for (at, piece) in pcm.chunks_exact(160).enumerate().skip(SETTLED) {
        let level = 10.0 * (piece.iter().map(|sample| sample * sample).sum::<f32>() / 160.0).log10() - spoken;
        assert!((-6.0..3.0).contains(&level), "{level} dB in piece {at}");
    }
    let level = spectrum::tone_level(pcm.get(17_600..32_000).unwrap_or_default(), SampleRate::HZ_8000, Hertz(hz)).0;
    assert!((level - spoken).abs() < 1.5, "{level} dBov while Opus is spoken");
}

/// The visitor's `index`-th frame, where it speaks G.711.
fn g711(sine: &mut Sine, index: u32) -> VisitorPacket {
    let pcm: [f32; 960] = std::array::from_fn(|_| sine.next_sample());
    let sixth: Vec<f32> = pcm.into_iter().step_by(6).collect();
    let codes = coded(std::array::from_fn(|at| units::to_i16(sixth.get(at).copied().unwrap_or_default())));
    visitor_packet(VisitorPayload::G711(Law::Mu), index, index * 160, Arc::from(codes))
}

fn coded(pcm: [i16; 160]) -> [u8; 160] {
    let mut codes = [0; 160];
    Law::Mu.encode(&pcm, &mut codes);
    codes
}

/// What the visitor hears, with a decoder that has heard no Opus before.
fn decoded(played: &[Played]) -> TestResult<Vec<f32>> {
    let mut decoder = opus::Decoder::new(8_000, opus::Channels::Mono)?;
    let mut pcm = Vec::new();
    for Played { coding, payload, .. } in played {
        match coding {
            Coding::Opus => {
                let mut piece = [0.0; 160];
                let length = decoder.decode_float(payload, &mut piece, false)?;
                pcm.extend(piece.into_iter().take(length));
            }
            Coding::G711(law) => {
                let mut piece = [0; 160];
                law.decode(payload, &mut piece);
                pcm.extend(piece.map(units::from_i16));
            }
        }
    }
    Ok(pcm)
}
