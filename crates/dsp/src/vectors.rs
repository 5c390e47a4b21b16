//! One number over the bits of everything that this crate computes. A native and a WASM build that both give [`EXPECTED`] agree bit
//! for bit. For tests; no product calls it.

use crate::{
    Dbm0, Digit, Hertz, SampleRate,
    dtmf::{Blanker, Detector, Event, Generator, Shape},
    g711::Law,
    gain::Gain,
    level::{Ballistics, Meter},
    playout::{Codec, Config, Content, G711, Packet, Playout, SampleTime, Stats},
    resample::{Decimator, Interpolator, Kernel},
    spectrum,
    suppress::Suppressor,
    tone::{Cadence, Signal, Sine},
    units,
};

/// What [`checksum`] gives on every target. It changes when a module's arithmetic does: then so does what people hear, and this line
/// says that it was meant.
pub const EXPECTED: u32 = 1_767_098_632;

/// Computes the checksum: some 500 ms of work.
pub fn checksum() -> u32 {
    let mut hash = Hash(0x811C_9DC5);
    for rate in RATES {
        let (mut gain, mut meter, mut detector) =
            (Gain::new(rate), Meter::new(rate, Ballistics::BAR), Detector::new(rate));
        let mut louder = Gain::new(rate);
        for digit in Digit::ALL {
            gain.set(0.5 + f32::from(digit.event()) / 16.0);
            louder.set(1.0 + f32::from(digit.event()));
            for sample in Generator::new(rate, digit, Shape { on_ms: 45, off_ms: 45, ..Shape::default() }) {
                hash.float(louder.apply_limited(sample));
                let sample = gain.apply(sample);
                hash.float(sample);
                meter.process(&[sample]);
                detector.process(&[sample], |event| hash.event(event));
            }
            hash.float(meter.rms().0);
            hash.float(meter.peak().0);
        }
        blanked(rate, &mut hash);
        suppressed(rate, &mut hash);
        played(rate, G711(Law::A), &mut hash);
        played(rate, Helpful(G711(Law::A)), &mut hash);
        for signal in [Signal::RINGBACK_ETSI, Signal::RINGBACK_US] {
            let mut cadence = Cadence::new(rate, signal);
            (0..4_000).for_each(|_| hash.float(cadence.next_sample()));
        }
        let kernel = Kernel::new();
        let (mut down, mut up) = (Decimator::new(rate), Interpolator::new(rate));
        let mut sine = Sine::new(rate, Hertz(1_004.5), Dbm0(-6.5));
        for _ in 0..2_000 {
            if let Some(sample) = down.push(sine.next_sample(), &kernel) {
                hash.float(sample);
            }
            hash.float(up.next(&kernel, || sine.next_sample()));
        }
        let mut sine = Sine::new(rate, Hertz(1_004.5), Dbm0(-6.5));
        let mut block = [0.0; 1_000];
        block.fill_with(|| sine.next_sample());
        hash.float(spectrum::tone_level(&block, rate, Hertz(1_000.0)).0);
        hash.float(spectrum::strongest_frequency(&block, rate, Hertz(900.0), Hertz(1_100.0)).0);
        for law in [Law::Mu, Law::A] {
            for sample in block {
                let (mut code, mut back) = ([0], [0]);
                law.encode(&[units::to_i16(sample)], &mut code);
                law.decode(&code, &mut back);
                hash.word(u32::from(code[0]) << 16 | u32::from(back[0] as u16));
            }
        }
    }
    hash.0
}

const RATES: [SampleRate; 4] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_44100, SampleRate::HZ_48000];

/// Digits over a voice, and what is left when they are taken out, at the first suspicion and once they are sure. Returns how many samples
/// were.
fn blanked(rate: SampleRate, hash: &mut Hash) -> usize {
    let mut taken = 0;
    for is_wary in [true, false] {
        let (mut blanker, mut voice) = (Blanker::new(rate), Sine::new(rate, Hertz(197.0), Dbm0(-40.0)));
        blanker.set_wary(is_wary);
        let mut block = [0.0; 960];
        let block = block.get_mut(..rate.samples(20) as usize).unwrap_or_default();
        for digit in Digit::ALL {
            let mut tones = Generator::new(rate, digit, Shape { on_ms: 70, off_ms: 70, ..Shape::default() });
            for _ in 0..7 {
                block.fill_with(|| tones.next().unwrap_or_default() + voice.next_sample());
                blanker.process(block, |event| hash.event(event));
                block.iter().for_each(|sample| hash.float(*sample));
                taken += block.iter().filter(|sample| **sample == 0.0).count();
            }
        }
    }
    taken
}

/// Five seconds of a microphone with hum, echo and a voice, through the suppressor: so long that it finds the echo's delay, which it
/// returns.
fn suppressed(rate: SampleRate, hash: &mut Hash) -> Option<u32> {
    const SECONDS: u32 = 5;
    /// The way of the echo: 50 ms at 48 kHz.
    const LONGEST: usize = 2_400;
    let (mut way, length) = ([0.0; LONGEST], rate.samples(50) as usize);
    let mut suppressor = Suppressor::new(rate);
    let tone = |hz, dbm0| Sine::new(rate, Hertz(hz), Dbm0(dbm0));
    let (mut hum, mut far, mut voice) = (tone(100.0, -50.0), tone(700.0, -12.0), tone(330.0, -20.0));
    for at in 0..SECONDS * rate.hz() {
        // Syllables that do not repeat themselves, and a voice from the third second on.
        let (slot, second) = (u64::from(at) * 16 / u64::from(rate.hz()), at / rate.hz());
        let (speaks, talks) = (slot * slot % 7 % 3 != 0, second >= 3 && slot % 11 > 6);
        let far = if speaks { far.next_sample() } else { 0.0 };
        let voice = if talks { voice.next_sample() } else { 0.0 };
        let echo = way.get_mut(at as usize % length).map_or(0.0, |slot| core::mem::replace(slot, 0.2 * far));
        let sent = suppressor.process(hum.next_sample() + echo + voice, far);
        hash.float(sent);
    }
    hash.float(suppressor.gain());
    hash.word(suppressor.delay_ms().unwrap_or_default());
    suppressor.delay_ms()
}

/// A codec that conceals, and whose packets are redundant now and then.
struct Helpful(G711);

impl Codec for Helpful {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        self.0.decode(payload, pcm)
    }

    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        if !self.has_redundancy(next) {
            return 0;
        }
        let length = self.0.decode(next, pcm);
        pcm.iter_mut().take(length).for_each(|sample| *sample *= 0.7);
        length
    }

    fn has_redundancy(&self, next: &[u8]) -> bool {
        next.first().is_some_and(|code| code & 1 == 0)
    }

    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        let length = pcm.len() as f32;
        (0..).zip(pcm.iter_mut()).for_each(|(at, sample): (u16, _)| *sample = 0.01 * f32::from(at) / length);
        pcm.len()
    }
}

/// Four seconds of a voice over a network that delays, reorders, doubles, loses and drifts, played out: jitter that comes and goes, time
/// scaling both ways, concealment and the way back from it, a restart of the sender.
fn played(rate: SampleRate, mut codec: impl Codec, hash: &mut Hash) -> Option<Stats> {
    /// 20 ms at 48 kHz.
    const LONGEST: usize = 960;
    /// A packet is less than so many packets late.
    const WINDOW: u32 = 8;
    let mut playout = Playout::<LONGEST>::new(rate, rate, Config::default())?;
    let (frame, block) = (rate.samples(20), rate.samples(10));
    let mut voice = [Sine::new(rate, Hertz(197.0), Dbm0(-14.0)), Sine::new(rate, Hertz(591.0), Dbm0(-20.0))];
    // The codes of the packets that may still be on their way, and when each arrives.
    let mut under_way = [(u64::MAX, [0; LONGEST]); WINDOW as usize];
    let mut random = 1_u32;
    for turn in 0..400_u64 {
        let now = turn * u64::from(block);
        if turn.is_multiple_of(2) {
            let number = turn / 2;
            let speaks = number % 50 < 35;
            let mut pcm = [0; LONGEST];
            for sample in pcm.iter_mut().take(frame as usize) {
                *sample = units::to_i16(if speaks { voice.iter_mut().map(Sine::next_sample).sum() } else { 0.0 });
            }
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let jitter_ms = if (60..130).contains(&number) { 60 } else { 5 };
            // Now and then one is far too late.
            let spike_ms = if number % 40 == 20 { 90 } else { 0 };
            let late = u64::from(rate.samples(random >> 16)) % u64::from(rate.samples(jitter_ms));
            let late = late + u64::from(rate.samples(spike_ms));
            // 1,000 ppm slow, and one in fifteen lost.
            let arrival = if random % 15 == 3 { u64::MAX } else { now + late + now / 1_000 };
            if let Some(slot) = under_way.get_mut(number as usize % WINDOW as usize) {
                slot.0 = arrival;
                Law::A.encode(&pcm, &mut slot.1);
            }
        }
        for (slot, (arrival, codes)) in (0..).zip(&mut under_way) {
            if *arrival > now {
                continue;
            }
            let newest = turn / 2;
            let number = newest - (newest + u64::from(WINDOW) - slot) % u64::from(WINDOW);
            // From the 150th on another sender, in the same numbers.
            let (ssrc, sequence, timestamp) = (1 + u32::from(number >= 150), number as u16, number as u32 * frame);
            let payload = codes.get(..frame as usize).unwrap_or_default();
            for _ in 0..1 + number % 2 {
                playout.push(&Packet { ssrc, sequence, timestamp, payload }, SampleTime(*arrival));
            }
            *arrival = u64::MAX;
        }
        let mut heard = [0.0; LONGEST];
        let heard = heard.get_mut(..block as usize).unwrap_or_default();
        let content = playout.pull(&mut codec, heard, SampleTime(now));
        hash.word(u32::from(content == Content::Sound));
        heard.iter().for_each(|sample| hash.float(*sample));
    }
    let stats = playout.stats();
    let samples = [stats.recovered, stats.concealed, stats.inserted, stats.removed];
    for count in [stats.late, stats.duplicate, stats.restarts].into_iter().chain(samples) {
        hash.word(count as u32);
    }
    hash.word(stats.delay_ms << 16 | stats.target_ms);
    Some(stats)
}

/// FNV-1a over 32-bit words.
struct Hash(u32);

impl Hash {
    fn word(&mut self, word: u32) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0193);
    }

    fn float(&mut self, value: f32) {
        self.word(value.to_bits());
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Start { digit, at } => self.word(u32::from(digit.event()) << 24 ^ at as u32),
            Event::End { digit, duration } => self.word(!(u32::from(digit.event()) << 24 ^ duration as u32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_playout_reach_each_of_its_policies() {
        for rate in RATES {
            let stats = played(rate, G711(Law::A), &mut Hash(0)).unwrap();
            let reached = [stats.late, stats.duplicate, stats.restarts, stats.concealed, stats.inserted, stats.removed];
            assert!(reached.iter().all(|count| *count > 0), "{rate:?}: {stats:?}");
            let stats = played(rate, Helpful(G711(Law::A)), &mut Hash(0)).unwrap();
            assert!(stats.recovered > 0 && stats.concealed > 0, "{rate:?}: {stats:?}");
        }
    }

    #[test]
    fn the_vectors_of_the_suppressor_and_of_the_blanker_reach_what_they_decide() {
        for rate in RATES {
            let delay = suppressed(rate, &mut Hash(0));
            assert!(delay.is_some_and(|ms| (45..=65).contains(&ms)), "{delay:?} at {rate:?}");
            let taken = blanked(rate, &mut Hash(0)) * 1_000 / rate.hz() as usize;
            // Of each of two times sixteen digits, 70 ms.
            assert!((1_500..2_700).contains(&taken), "{taken} ms at {rate:?}");
        }
    }

    #[test]
    fn the_native_build_computes_the_expected_bits() {
        assert_eq!(super::checksum(), super::EXPECTED, "see EXPECTED before you change it");
    }
}
