//! What playout makes of jitter, under a virtual clock: how long it holds what it plays, from when on it does so, how much it has to
//! conceal; and the time that it takes. Beside each delay stands the least at which a buffer that knew the network in advance, and never
//! adapted, would lose as little. Run by `cargo xtask bench audio --section playout`.

use dsp::SampleRate;
use dsp::g711::Law;
use dsp::playout::{Config, G711, Packet, Playout, SampleTime};
use serde_json::json;
use std::time::Instant;

/// Networks of each kind.
const SEEDS: u64 = 100;

/// Packets of 20 ms in each: 20 s.
const PACKETS: u32 = 1_000;

/// The share of packets that may come too late for a buffer that knows its network: what playout aims at.
const LATE: f64 = 0.05;

/// The targets at 30 ms of jitter.
const DELAY_MS: f64 = 60.0;
const REACHED_MS: f64 = 1_000.0;

/// Samples of 20 ms, and samples in a millisecond, at 8 kHz.
const FRAME: u32 = 160;
const MS: f64 = 8.0;

struct Outcome {
    /// The mean from the first second on, by the buffer's own account, in ms.
    delay_ms: f64,
    /// From when on the delay stayed at or below [`DELAY_MS`] for half a second, in ms after the first packet.
    reached_ms: f64,
    /// Of the time from the first second on, in percent.
    concealed: f64,
    /// What the buffer that knows its network needs, in ms.
    floor_ms: f64,
    /// µs that a packet and its piece take.
    cost_us: f64,
}

fn main() {
    for jitter_ms in [0.0, 10.0, 30.0, 60.0] {
        let outcomes: Vec<Outcome> = (0..SEEDS).map(|seed| listen(seed, jitter_ms)).collect();
        let is_judged = (29.0..31.0).contains(&jitter_ms);
        let floor = quantile(&outcomes, |outcome| outcome.floor_ms, 0.5);
        let name = |what: &str| format!("{jitter_ms} ms of jitter: {what}");
        for (quantile_name, share) in [("minimum", 0.0), ("median", 0.5), ("p95", 0.95), ("maximum", 1.0)] {
            let value = |of: fn(&Outcome) -> f64| quantile(&outcomes, of, share);
            let target = |limit: f64| (is_judged && quantile_name == "p95").then_some(limit);
            let row = |what: &str| name(&format!("{what}, {quantile_name}"));
            let delay = value(|outcome| outcome.delay_ms);
            report(&row("delay after 1 s"), delay, "ms", target(DELAY_MS), Some(("a buffer that knows", floor)));
            if is_judged {
                let reached = value(|outcome| outcome.reached_ms);
                report(&row("60 ms reached after"), reached, "ms", target(REACHED_MS), None);
            }
        }
        let concealed = quantile(&outcomes, |outcome| outcome.concealed, 1.0);
        report(&name("concealed after 1 s, maximum"), concealed, "%", None, None);
        let cost = quantile(&outcomes, |outcome| outcome.cost_us, 0.0);
        report(&name("push and pull, minimum"), cost, "µs a packet", None, None);
    }
}

/// Plays a tone over a network that delays each packet by something between nothing and `jitter_ms`.
fn listen(seed: u64, jitter_ms: f64) -> Outcome {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let delays: Vec<f64> = (0..PACKETS).map(|_| random.unit() * jitter_ms).collect();
    let mut arrivals: Vec<(f64, u32)> =
        (0..PACKETS).zip(&delays).map(|(number, delay)| (f64::from(number) * 20.0 + delay, number)).collect();
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut sorted = delays;
    sorted.sort_by(f64::total_cmp);
    let known = sorted.get(((1.0 - LATE) * sorted.len() as f64) as usize).copied().unwrap_or_default();
    let fastest = sorted.first().copied().unwrap_or_default();
    let mut arrivals = arrivals.into_iter().peekable();
    let packets: Vec<[u8; FRAME as usize]> = vec![tone(); PACKETS as usize];
    let Some(mut playout) =
        Playout::<{ FRAME as usize }>::new(SampleRate::HZ_8000, SampleRate::HZ_8000, Config::default())
    else {
        return Outcome { delay_ms: 0.0, reached_ms: 0.0, concealed: 0.0, floor_ms: 0.0, cost_us: 0.0 };
    };
    let (mut trace, mut concealed_before) = (Vec::new(), 0);
    let begun = Instant::now();
    for turn in 0..PACKETS {
        let now = f64::from(turn) * 20.0;
        while let Some((at, number)) = arrivals.next_if(|(at, _)| *at <= now) {
            let payload = packets.get(number as usize).map_or(&[][..], |packet| packet);
            let packet = Packet { ssrc: 1, sequence: number as u16, timestamp: number * FRAME, payload };
            playout.push(&packet, SampleTime((at * MS) as u64));
        }
        playout.pull(&mut G711(Law::A), &mut [0.0; FRAME as usize], SampleTime((now * MS) as u64));
        let stats = playout.stats();
        trace.push(f64::from(stats.delay_ms));
        if turn == 50 {
            concealed_before = stats.concealed;
        }
    }
    let cost_us = begun.elapsed().as_secs_f64() * 1e6 / f64::from(PACKETS);
    let after = trace.get(50..).unwrap_or_default();
    // Nothing is played in the first turns.
    let reached = trace.windows(25).position(|half| half.iter().all(|delay| *delay > 0.0 && *delay <= DELAY_MS));
    let concealed = (playout.stats().concealed - concealed_before) as f64 / MS / (20.0 * after.len() as f64);
    Outcome {
        delay_ms: after.iter().sum::<f64>() / after.len().max(1) as f64,
        reached_ms: reached.map_or(f64::INFINITY, |turn| turn as f64 * 20.0),
        concealed: concealed * 100.0,
        // A piece is asked for as a whole, so the last of its samples must be there when the first is due.
        floor_ms: known - fastest + 20.0,
        cost_us,
    }
}

/// 400 Hz: eight periods a packet.
fn tone() -> [u8; FRAME as usize] {
    let sample = |n: usize| ((n as f64 * std::f64::consts::TAU / 20.0).sin() * 8_000.0) as i16;
    let mut codes = [0; FRAME as usize];
    Law::A.encode(&std::array::from_fn::<_, { FRAME as usize }, _>(sample), &mut codes);
    codes
}

fn quantile(outcomes: &[Outcome], of: fn(&Outcome) -> f64, share: f64) -> f64 {
    let mut values: Vec<f64> = outcomes.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get((values.len().saturating_sub(1) as f64 * share).ceil() as usize).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
fn report(name: &str, value: f64, unit: &str, target: Option<f64>, floor: Option<(&str, f64)>) {
    let mut line = json!({
        "name": name, "value": value, "unit": unit, "target": target,
        "holds": target.is_none_or(|target| value <= target),
    });
    if let (Some((peer, floor)), Some(line)) = (floor, line.as_object_mut()) {
        line.insert("peer".to_owned(), json!(format!("{peer}, {floor:.0}")));
        line.insert("ratio".to_owned(), json!(value / floor));
    }
    println!("{line}");
}

/// xorshift64*.
struct Random(u64);

impl Random {
    /// 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
