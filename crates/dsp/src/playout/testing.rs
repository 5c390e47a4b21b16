//! A sender, a network and a listener on a virtual clock, for the tests: each packet's payload is its own number in the sender's count,
//! so that what is decoded can be followed.

use super::{Codec, Config, Content, Packet, Playout, SampleTime, Stats};
use crate::{Dbm0, Hertz, SampleRate, tone::Sine};
use std::vec::Vec;

/// One packet of the sender: what it carries, and when it arrives, in ms of the listener's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) arrival_ms: f64,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) number: u32,
}

/// Even packets of 20 ms at 8 kHz, `count` of them, each delayed by what `delay_ms` says of its number; `None` is lost.
pub(crate) fn send(count: u32, mut delay_ms: impl FnMut(u32) -> Option<f64>) -> Vec<Sent> {
    let sent = |number: u32| {
        let arrival_ms = f64::from(number) * 20.0 + delay_ms(number)?;
        // Near their ends, so that every test goes across both wraps.
        let sequence = (number as u16).wrapping_add(u16::MAX - 20);
        let timestamp = number.wrapping_mul(160).wrapping_add(u32::MAX - 8_000);
        Some(Sent { arrival_ms, ssrc: 1, sequence, timestamp, number })
    };
    (0..count).filter_map(sent).collect()
}

/// What a packet sounds like, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sound {
    Tone(f32),
    Noise,
    Silence,
}

/// A codec of numbered packets that keeps a record of what it was asked.
pub(crate) struct Numbered {
    pub(crate) sound: fn(u32) -> Sound,
    pub(crate) has_fec: bool,
    pub(crate) has_plc: bool,
    pub(crate) concealed: usize,
    pub(crate) decoded: Vec<u32>,
    /// When each of those was decoded: at the beginning of which block, ms.
    pub(crate) decoded_at: Vec<u64>,
    now: u64,
    pub(crate) recovered: Vec<u32>,
    /// Both, in the order in which they are heard.
    pub(crate) played: Vec<u32>,
    pub(crate) resets: usize,
}

impl Numbered {
    pub(crate) fn new(sound: fn(u32) -> Sound) -> Self {
        Self {
            sound,
            has_fec: false,
            has_plc: false,
            concealed: 0,
            decoded: Vec::new(),
            decoded_at: Vec::new(),
            now: 0,
            recovered: Vec::new(),
            played: Vec::new(),
            resets: 0,
        }
    }

    fn render(&self, number: u32, pcm: &mut [f32]) -> usize {
        let pcm = &mut pcm[..160];
        match (self.sound)(number) {
            Sound::Silence => pcm.fill(0.0),
            Sound::Noise => {
                let mut random = crate::testing::Random::new(u64::from(number) + 1);
                pcm.fill_with(|| random.between(-0.2, 0.2));
            }
            Sound::Tone(hz) => {
                let mut sine = Sine::new(SampleRate::HZ_8000, Hertz(hz), Dbm0(-10.0));
                // The phase goes on from packet to packet: all tones used here fit into a second.
                (0..(number % 50) * 160).for_each(|_| {
                    sine.next_sample();
                });
                pcm.fill_with(|| sine.next_sample());
            }
        }
        160
    }
}

impl Codec for Numbered {
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize {
        let number = u32::from_be_bytes(payload.try_into().unwrap());
        self.decoded.push(number);
        self.played.push(number);
        self.decoded_at.push(self.now);
        self.render(number, pcm)
    }

    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        let number = u32::from_be_bytes(next.try_into().unwrap()) - 1;
        if !self.has_fec {
            return 0;
        }
        self.recovered.push(number);
        self.played.push(number);
        self.render(number, pcm)
    }

    fn has_redundancy(&self, _: &[u8]) -> bool {
        self.has_fec
    }

    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        if !self.has_plc {
            return 0;
        }
        // What libopus can: multiples of 2.5 ms.
        assert!(!pcm.is_empty() && pcm.len().is_multiple_of(20) && pcm.len() <= 80, "{}", pcm.len());
        pcm.fill(0.1);
        self.concealed += pcm.len();
        pcm.len()
    }

    fn reset(&mut self) {
        self.resets += 1;
    }
}

/// What the listener has, one entry a pull.
pub(crate) struct Heard {
    pub(crate) audio: Vec<f32>,
    pub(crate) trace: Vec<(u64, Stats, Content)>,
    pub(crate) codec: Numbered,
}

impl Heard {
    /// One line per `every_ms`, only of numbers that a reader can judge.
    pub(crate) fn table(&self, every_ms: u64) -> std::string::String {
        let head = "    ms  delay target  late recovered concealed inserted removed overflowed restarts\n";
        let lines = self.trace.iter().filter(|(at, ..)| at % every_ms == 0).map(|(at, s, _)| {
            let ms = |samples: u64| samples / 8;
            std::format!(
                "{at:6} {:6} {:6} {:5} {:9} {:9} {:8} {:7} {:10} {:8}\n",
                s.delay_ms,
                s.target_ms,
                s.late,
                ms(s.recovered),
                ms(s.concealed),
                ms(s.inserted),
                ms(s.removed),
                s.overflowed,
                s.restarts
            )
        });
        core::iter::once(std::string::String::from(head)).chain(lines).collect()
    }
}

/// Plays `sent` for `ms` in blocks of `block_ms`.
pub(crate) fn listen(mut sent: Vec<Sent>, mut codec: Numbered, ms: u64, block_ms: u64, config: Config) -> Heard {
    sent.sort_by(|a, b| a.arrival_ms.total_cmp(&b.arrival_ms));
    let mut playout = Playout::<4>::new(SampleRate::HZ_8000, SampleRate::HZ_8000, config).unwrap();
    let mut sent = sent.into_iter().peekable();
    let (mut audio, mut trace) = (Vec::new(), Vec::new());
    for now in (0..ms).step_by(block_ms as usize) {
        while let Some(sent) = sent.next_if(|sent| sent.arrival_ms <= now as f64) {
            let payload = sent.number.to_be_bytes();
            let Sent { ssrc, sequence, timestamp, .. } = sent;
            let packet = Packet { ssrc, sequence, timestamp, payload: &payload };
            playout.push(&packet, SampleTime((sent.arrival_ms * 8.0) as u64));
        }
        codec.now = now;
        let from = audio.len();
        audio.resize(from + block_ms as usize * 8, 0.0);
        let content = playout.pull(&mut codec, &mut audio[from..], SampleTime(now * 8));
        trace.push((now, playout.stats(), content));
    }
    Heard { audio, trace, codec }
}
