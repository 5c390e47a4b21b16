//! The bridge under a virtual clock: what comes out for every way in which packets come in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dsp::g711::Law;
use dsp::telephone_event::Payload;
use dsp::tone::Sine;
use dsp::{Dbm0, Digit, Hertz, SampleRate, spectrum, units};
use protocol::gateway::Side;
use rtcp_types::Compound;
use rtp_types::{RtpPacket, RtpPacketBuilder};

use super::bridge::{Bridge, Seed};
use super::outbox::BridgeOutput;
use super::transcode::Coding;
use super::webrtc::browser::TestResult;
use super::webrtc::{VisitorPacket, VisitorPayload};
use crate::config::{AwayTone, Ringback};
use crate::sip::sdp::{Codec, Direction, Remote};

mod away;
mod frames;
mod playout;
mod tones;
mod torture;

const EVENT_PT: u8 = 101;
const MS: Duration = Duration::from_millis(1);
const SEED: Seed = Seed {
    ssrc: 99,
    agent_sequence: 65_530,
    agent_timestamp: u32::MAX - 800,
    ntp: 0,
    visitor_sequence: 200,
    visitor_timestamp: 5,
};

/// A packet for the far end.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    payload: Vec<u8>,
    at: Duration,
}

/// A packet for the visitor.
#[derive(Debug, PartialEq, Eq)]
struct Played {
    coding: Coding,
    sequence: u64,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    at: Duration,
}

struct Bench {
    bridge: Bridge,
    start: Instant,
    now: Instant,
    sent: Vec<Sent>,
    played: Vec<Played>,
    digits: Vec<(Side, char, u32)>,
    released: Vec<(char, u32)>,
    opus: opus::Encoder,
    sine: Sine,
    speaks_syllables: bool,
    destination: Option<SocketAddr>,
    reports: usize,
}

impl Bench {
    fn new(ptime_ms: u64) -> TestResult<Self> {
        let now = Instant::now();
        let mut bridge = Bridge::new(SEED, Ringback::Europe, AwayTone::Soft, now)?;
        bridge.connect(remote(ptime_ms)?, now);
        let mut opus = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?;
        // As browsers do when they are told so; only speech-like coding has redundancy.
        opus.set_max_bandwidth(opus::Bandwidth::Narrowband)?;
        opus.set_bitrate(opus::Bitrate::Bits(32_000))?;
        opus.set_inband_fec(true)?;
        opus.set_packet_loss_perc(20)?;
        Ok(Self {
            bridge,
            start: now,
            now,
            sent: Vec::new(),
            played: Vec::new(),
            digits: Vec::new(),
            released: Vec::new(),
            opus,
            sine: Sine::new(SampleRate::HZ_48000, Hertz(440.0), Dbm0(-10.0)),
            speaks_syllables: false,
            destination: None,
            reports: 0,
        })
    }

    /// Moves the clock, timer by timer; fails if the bridge never comes to rest.
    fn wait(&mut self, time: Duration) -> TestResult {
        let end = self.now + time;
        for _ in 0..1000 {
            self.drain()?;
            match self.bridge.poll_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.bridge.handle_timeout(self.now);
                }
                None => {
                    self.now = end;
                    return Ok(());
                }
            }
        }
        Err("the bridge never comes to rest".into())
    }

    fn drain(&mut self) -> TestResult {
        while let Some(output) = self.bridge.poll_output() {
            match output {
                BridgeOutput::ToVisitor(coded) => self.played.push(Played {
                    coding: coded.coding,
                    sequence: coded.sequence,
                    timestamp: coded.timestamp,
                    marker: coded.marker,
                    payload: coded.payload.to_vec(),
                    at: self.now.duration_since(self.start),
                }),
                BridgeOutput::ToAgent { destination, datagram } => {
                    self.destination = Some(destination);
                    let packet = RtpPacket::parse(datagram)?;
                    assert_eq!(packet.ssrc(), SEED.ssrc);
                    self.sent.push(Sent {
                        sequence: packet.sequence_number(),
                        timestamp: packet.timestamp(),
                        marker: packet.marker_bit(),
                        payload_type: packet.payload_type(),
                        payload: packet.payload().to_vec(),
                        at: self.now.duration_since(self.start),
                    });
                }
                BridgeOutput::Report { destination, datagram } => {
                    assert_eq!(destination.port() % 2, 1);
                    Compound::parse(datagram)?;
                    self.reports += 1;
                }
                BridgeOutput::Digit { from, digit, duration_ms, .. } => self.digits.push((from, digit, duration_ms)),
                BridgeOutput::Up { digit, duration_ms, .. } => self.released.push((digit, duration_ms)),
            }
        }
        Ok(())
    }

    /// The visitor's `index`-th packet of 20 ms.
    fn opus(&mut self, index: u32) -> TestResult<VisitorPacket> {
        // Syllables, where asked for: to the encoder an even tone is noise that needs no redundancy.
        let level = if self.speaks_syllables { (1 + index % 12) as f32 / 12.0 } else { 1.0 };
        let pcm: [i16; 960] = std::array::from_fn(|_| units::to_i16(level * self.sine.next_sample()));
        let payload = self.opus.encode_vec(&pcm, 1275)?;
        Ok(visitor_packet(VisitorPayload::Opus, index, index * 960, Arc::from(payload)))
    }

    fn speak(&mut self, packets: impl IntoIterator<Item = u32>) -> TestResult {
        for index in packets {
            let packet = self.opus(index)?;
            self.bridge.handle_visitor(&packet, self.now);
            self.wait(20 * MS)?;
        }
        self.drain()
    }

    /// The same, but the clock goes on through those that are lost.
    fn speak_all_but(&mut self, packets: u32, is_lost: impl Fn(u32) -> bool) -> TestResult {
        for index in 0..packets {
            let packet = self.opus(index)?;
            if !is_lost(index) {
                self.bridge.handle_visitor(&packet, self.now);
            }
            self.wait(20 * MS)?;
        }
        Ok(())
    }

    /// Packets of the far end, 20 ms each, of a tone.
    fn listen(&mut self, packets: std::ops::Range<u16>, is_lost: impl Fn(u16) -> bool) -> TestResult {
        let mut sine = Sine::new(SampleRate::HZ_8000, Hertz(300.0), Dbm0(-10.0));
        for index in packets {
            let pcm: [i16; 160] = std::array::from_fn(|_| units::to_i16(sine.next_sample()));
            let mut codes = [0; 160];
            Law::Mu.encode(&pcm, &mut codes);
            if !is_lost(index) {
                self.hear(FAR_END, index, u32::from(index) * 160, 0, &codes)?;
            }
            self.wait(20 * MS)?;
        }
        Ok(())
    }

    /// What the visitor hears.
    fn decoded(&self) -> TestResult<Vec<f32>> {
        let mut decoder = opus::Decoder::new(8_000, opus::Channels::Mono)?;
        let mut pcm = Vec::new();
        for played in &self.played {
            let mut frame = [0.0; 480];
            let length = decoder.decode_float(&played.payload, &mut frame, false)?;
            pcm.extend(frame.into_iter().take(length));
        }
        Ok(pcm)
    }

    /// Numbers count up by one, timestamps are those of the clock, and what comes after a pause is marked.
    fn visitors_timeline_is_even(&self) -> bool {
        self.played.windows(2).all(|pair| match pair {
            [a, b] => {
                let ticks = (b.at - a.at).as_millis() as u32 * 48;
                b.sequence == a.sequence + 1
                    && b.timestamp.wrapping_sub(a.timestamp) == ticks
                    && b.marker == (ticks != 960)
            }
            _ => false,
        })
    }

    fn hear(&mut self, source: &str, sequence: u16, timestamp: u32, payload_type: u8, payload: &[u8]) -> TestResult {
        let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(payload_type)
            .sequence_number(sequence)
            .timestamp(timestamp)
            .ssrc(4711)
            .payload(payload);
        self.bridge.handle_agent(source.parse()?, &packet.write_vec()?, self.now);
        self.drain()
    }

    fn pcm(&self) -> Vec<f32> {
        let coded: Vec<u8> =
            self.sent.iter().filter(|sent| sent.payload_type == 0).flat_map(|sent| sent.payload.clone()).collect();
        let mut pcm = vec![0; coded.len()];
        Law::Mu.decode(&coded, &mut pcm);
        pcm.into_iter().map(units::from_i16).collect()
    }
}

const FAR_END: &str = "192.0.2.1:4000";

fn remote(ptime_ms: u64) -> TestResult<Remote> {
    Ok(Remote {
        rtp: Some(FAR_END.parse()?),
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: Some(EVENT_PT),
        ptime: Duration::from_millis(ptime_ms),
        direction: Direction::SendRecv,
        trunk: None,
    })
}

fn visitor_packet(kind: VisitorPayload, sequence: u32, timestamp: u32, payload: Arc<[u8]>) -> VisitorPacket {
    VisitorPacket { kind, sequence: u64::from(sequence) + 65_500, timestamp, marker: false, ssrc: 1, payload }
}

fn event(digit: char, is_end: bool, duration: u16) -> TestResult<[u8; 4]> {
    let event = Digit::from_char(digit).ok_or("no key")?.event();
    Ok(Payload { event, end: is_end, volume: 10, duration }.to_bytes())
}

fn is_contiguous(sent: &[Sent], ptime: u32) -> bool {
    sent.windows(2).all(|pair| match pair {
        [a, b] => b.sequence == a.sequence.wrapping_add(1) && b.timestamp == a.timestamp.wrapping_add(ptime),
        _ => false,
    })
}

#[test]
fn audio_is_cut_to_the_ptime_of_the_far_end_over_wraps_of_both_sides() -> TestResult {
    for (ptime, packets) in [(10, 200), (20, 100), (30, 66), (40, 50), (60, 33)] {
        let mut bench = Bench::new(ptime)?;
        bench.speak(0..100)?;
        let missing = packets - bench.sent.len();
        assert!(missing * ptime as usize <= 60, "{missing} missing at {ptime} ms");
        assert!(is_contiguous(&bench.sent, ptime as u32 * 8), "at {ptime} ms");
        assert!(bench.sent.iter().all(|sent| sent.payload.len() == ptime as usize * 8));
        let first = bench.sent.first().ok_or("nothing")?;
        assert_eq!((first.sequence, first.marker), (SEED.agent_sequence, true));
        let held = first.timestamp.wrapping_sub(SEED.agent_timestamp);
        assert!(held.is_multiple_of(160) && held <= 3 * 160, "{held}");
        assert_eq!(bench.sent.iter().filter(|sent| sent.marker).count(), 1);
        let pcm = bench.pcm();
        let level = spectrum::tone_level(pcm.get(4000..12_000).unwrap_or_default(), SampleRate::HZ_8000, Hertz(440.0));
        assert!((level.0 - Dbm0(-10.0).to_dbov().0).abs() < 1.0, "{level:?} at {ptime} ms");
    }
    Ok(())
}

#[test]
fn the_far_ends_audio_comes_in_packets_of_20_ms_whatever_its_ptime() -> TestResult {
    for ptime in [10_u16, 20, 30, 60] {
        let mut bench = Bench::new(20)?;
        let samples = ptime * 8;
        let count = 1200 / ptime;
        for index in 0..count {
            let sequence = 65_500_u16.wrapping_add(index);
            let timestamp = (u32::MAX - 500).wrapping_add(u32::from(index * samples));
            bench.hear(FAR_END, sequence, timestamp, 0, &vec![0x55; usize::from(samples)])?;
            bench.wait(u32::from(ptime) * MS)?;
        }
        assert!(bench.played.len() >= 56, "{} at {ptime} ms", bench.played.len());
        let first = bench.played.first().ok_or("nothing")?;
        assert_eq!((first.sequence, first.timestamp % 960, first.marker), (100, 30, true));
        assert!(bench.visitors_timeline_is_even(), "at {ptime} ms");
    }
    Ok(())
}

#[test]
fn keys_of_the_visitor_are_sent_on_once_and_in_order_whatever_is_lost() -> TestResult {
    for lost in [vec![], vec![0], vec![0, 1, 2, 3], vec![5, 6], vec![5, 6, 7]] {
        let mut bench = Bench::new(20)?;
        bench.speak(0..5)?;
        let mut number = 5;
        for (key, began) in ['1', '1', '#', 'D'].into_iter().zip([10_000_u32, 20_000, 30_000, 40_000]) {
            for step in 0..8_u32 {
                let payload = event(key, step >= 5, ((step + 1).min(5) * 960) as u16)?;
                let kind = VisitorPayload::Event(SampleRate::HZ_48000);
                if !lost.contains(&step) {
                    bench.bridge.handle_visitor(&visitor_packet(kind, number, began, Arc::from(payload)), bench.now);
                }
                number += 1;
                bench.wait(20 * MS)?;
            }
            bench.wait(40 * MS)?;
        }
        bench.wait(Duration::from_secs(2))?;
        let keys: Vec<_> = bench.digits.iter().map(|(from, digit, _)| (*from, *digit)).collect();
        assert_eq!(keys, ['1', '1', '#', 'D'].map(|digit| (Side::Visitor, digit)), "without packets {lost:?}");
        let mut events: Vec<_> = bench.sent.iter().filter(|sent| sent.payload_type == EVENT_PT).collect();
        assert_eq!(events.iter().filter(|sent| sent.marker).count(), 4);
        assert!(bench.sent.windows(2).all(|pair| matches!(pair, [a, b] if b.sequence == a.sequence.wrapping_add(1))));
        events.dedup_by_key(|sent| (sent.timestamp, sent.payload.first().copied()));
        let codes: Vec<_> = events.iter().filter_map(|sent| sent.payload.first().copied()).collect();
        assert_eq!(codes, [1, 1, 11, 15], "without packets {lost:?}");
    }
    Ok(())
}

#[test]
fn a_key_of_the_far_end_is_reported_once_and_not_played() -> TestResult {
    let mut bench = Bench::new(20)?;
    for (sequence, is_end, duration) in
        [(1, false, 160), (2, false, 320), (3, true, 480), (4, true, 480), (5, true, 480)]
    {
        bench.hear(FAR_END, sequence, 8000, EVENT_PT, &event('7', is_end, duration)?)?;
        bench.wait(20 * MS)?;
    }
    bench.wait(Duration::from_secs(2))?;
    assert_eq!(bench.digits, [(Side::Agent, '7', 60)]);
    assert!(bench.played.is_empty());
    Ok(())
}

#[test]
fn a_key_that_is_held_is_reported_after_its_first_second() -> TestResult {
    let mut bench = Bench::new(20)?;
    for step in 1..=100_u16 {
        bench.hear(FAR_END, step, 8000, EVENT_PT, &event('5', step == 100, step * 160)?)?;
        assert_eq!(bench.digits.len(), usize::from(step > 50), "after {} ms", step * 20);
        bench.wait(20 * MS)?;
    }
    bench.wait(Duration::from_secs(2))?;
    assert_eq!((&*bench.digits, &*bench.released), (&[(Side::Agent, '5', 1000)][..], &[('5', 2000)][..]));
    Ok(())
}

#[test]
fn an_attacker_who_finds_the_port_neither_hears_nor_is_heard() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.hear(FAR_END, 1, 160, 0, &[0x55; 160])?;
    bench.wait(200 * MS)?;
    let before = bench.played.len();
    for sequence in 0..500 {
        bench.hear("203.0.113.66:9", sequence, u32::from(sequence) * 160, 0, &[0x2A; 160])?;
        bench.wait(20 * MS)?;
    }
    assert_eq!(bench.played.len(), before);
    bench.speak(0..5)?;
    assert_eq!(bench.destination, Some(FAR_END.parse()?));
    assert_eq!(bench.bridge.rejected(), 500);
    Ok(())
}

#[test]
fn ringback_comes_every_20_ms_until_the_far_end_is_heard() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.bridge.ring(bench.now);
    bench.wait(999 * MS)?;
    assert_eq!(bench.played.len(), 50);
    bench.hear(FAR_END, 1, 160, 0, &[0x55; 160])?;
    bench.wait(Duration::from_secs(1))?;
    let more = bench.played.len() - 50;
    assert!((1..=8).contains(&more), "{more}: it rings on until the far end's packet is due, which then fades");
    assert!(bench.visitors_timeline_is_even());
    Ok(())
}

#[test]
fn a_far_end_on_hold_is_sent_nothing_and_gets_audio_again_afterwards() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..10)?;
    let before = bench.sent.len();
    bench.bridge.connect(Remote { direction: Direction::SendOnly, ..remote(20)? }, bench.now);
    bench.speak(10..20)?;
    assert_eq!(bench.sent.len(), before);
    bench.bridge.connect(remote(20)?, bench.now);
    bench.speak(20..30)?;
    let (Some(last), Some(next)) = (bench.sent.get(before - 1), bench.sent.get(before)) else {
        return Err("nothing afterwards".into());
    };
    assert_eq!(next.sequence, last.sequence.wrapping_add(1));
    assert!(next.timestamp.wrapping_sub(last.timestamp) == 11 * 160 && next.marker, "{last:?} {next:?}");
    Ok(())
}

#[test]
fn the_far_end_gets_a_report_every_few_seconds() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..500)?;
    // With this seed every 2.6 s.
    assert_eq!(bench.reports, 3);
    Ok(())
}

#[test]
fn a_far_end_whose_visitor_is_away_hears_one_soft_tone_then_silence_without_a_hole() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..60)?;
    let before = bench.sent.len();
    bench.bridge.away(bench.now);
    // What the old leg still brings is not taken.
    bench.speak(60..110)?;
    assert!(is_contiguous(&bench.sent, 160) && bench.sent.len() >= 50 + before, "{}", bench.sent.len());
    let pcm = bench.pcm();
    let pcm = pcm.get(before * 160 - 8_000..).ok_or("too little")?;
    let level = |range: std::ops::Range<usize>, pitch| {
        spectrum::tone_level(pcm.get(range).unwrap_or_default(), SampleRate::HZ_8000, Hertz(pitch)).0
    };
    // 300 ms go by unremarked.
    assert!(level(8_200..10_400, 660.0) < -60.0, "{}", level(8_200..10_400, 660.0));
    assert!((-35.0..-25.0).contains(&level(10_500..11_700, 660.0)), "{}", level(10_500..11_700, 660.0));
    assert!(level(12_400..16_000, 660.0) < -80.0 && level(8_400..16_000, 440.0) < -60.0);
    Ok(())
}

#[test]
fn a_path_that_is_lost_leaves_no_hole_before_anybody_says_what_became_of_the_visitor() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..50)?;
    bench.bridge.path_lost(bench.now);
    bench.wait(400 * MS)?;
    bench.bridge.away(bench.now);
    bench.wait(1_000 * MS)?;
    assert!(bench.sent.len() >= 118, "{} packets in 2.4 s", bench.sent.len());
    let gaps = bench.sent.windows(2).map(|pair| match pair {
        [a, b] => b.at.saturating_sub(a.at),
        _ => Duration::MAX,
    });
    assert!(gaps.into_iter().all(|gap| gap <= 40 * MS), "a hole towards the far end");
    Ok(())
}

#[test]
fn a_page_that_turns_fast_is_not_remarked_upon() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..50)?;
    bench.bridge.away(bench.now);
    bench.wait(260 * MS)?;
    bench.bridge.replace_visitor(40_001, bench.now);
    bench.wait(260 * MS)?;
    bench.speak(1_000..1_050)?;
    let pcm = bench.pcm();
    let away = pcm.get(8_200..12_000).ok_or("too little")?;
    assert!(spectrum::tone_level(away, SampleRate::HZ_8000, Hertz(660.0)).0 < -60.0);
    Ok(())
}

#[test]
fn a_page_that_brings_no_audio_is_remarked_upon_all_the_same() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..50)?;
    bench.bridge.away(bench.now);
    bench.wait(260 * MS)?;
    bench.bridge.replace_visitor(40_001, bench.now);
    bench.wait(500 * MS)?;
    let pcm = bench.pcm();
    let tone = pcm.get(12_600..13_800).ok_or("too little")?;
    let level = spectrum::tone_level(tone, SampleRate::HZ_8000, Hertz(660.0)).0;
    assert!((-35.0..-25.0).contains(&level), "{level}");
    Ok(())
}

#[test]
fn the_next_page_is_heard_in_the_place_of_silence_and_its_packets_are_numbered_anew() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..50)?;
    bench.hear(FAR_END, 1, 0, 0, &[0x55; 160])?;
    bench.bridge.away(bench.now);
    bench.wait(500 * MS)?;
    bench.bridge.replace_visitor(40_001, bench.now);
    bench.wait(100 * MS)?;
    let heard = bench.played.len();
    bench.hear(FAR_END, 2, 4_800, 0, &[0x55; 160])?;
    bench.wait(200 * MS)?;
    assert_eq!(bench.played.get(heard).map(|played| (played.sequence, played.marker)), Some((20_000, true)));
    bench.speak(1_000..1_050)?;
    assert!(bench.sent.windows(2).all(|pair| match pair {
        [a, b] => b.sequence == a.sequence.wrapping_add(1) && b.timestamp.wrapping_sub(a.timestamp) < 480,
        _ => false,
    }));
    let gaps = bench.sent.windows(2).map(|pair| match pair {
        [a, b] => b.at.saturating_sub(a.at),
        _ => Duration::MAX,
    });
    assert!(gaps.into_iter().all(|gap| gap <= 40 * MS), "a hole towards the far end");
    let pcm = bench.pcm();
    let tail = pcm.len().checked_sub(4_000).and_then(|start| pcm.get(start..)).ok_or("too little")?;
    assert!(spectrum::tone_level(tail, SampleRate::HZ_8000, Hertz(440.0)).0 > -20.0);
    let stats = bench.bridge.stats();
    assert_eq!((stats.visitor_packets, stats.visitor_lost), (100, 0));
    Ok(())
}

#[test]
fn the_farewell_is_two_low_tones_and_its_end_is_told_once() -> TestResult {
    let mut bench = Bench::new(20)?;
    bench.speak(0..10)?;
    let before = bench.sent.len();
    bench.bridge.away(bench.now);
    bench.wait(1_000 * MS)?;
    bench.bridge.say_farewell(bench.now);
    bench.wait(600 * MS)?;
    assert!(!bench.bridge.poll_farewell());
    bench.wait(120 * MS)?;
    assert!(bench.bridge.poll_farewell() && !bench.bridge.poll_farewell());
    let said = bench.sent.len();
    bench.wait(100 * MS)?;
    assert_eq!(bench.sent.len(), said, "nothing more to play");
    let pcm = bench.pcm();
    let start = before * 160 + 50 * 160;
    let level = |at: usize| {
        let piece = pcm.get(start + at..start + at + 800).unwrap_or_default();
        spectrum::tone_level(piece, SampleRate::HZ_8000, Hertz(330.0)).0
    };
    assert!(
        [level(300), level(3_100)].iter().all(|level| (-32.0..-22.0).contains(level)),
        "{} {}",
        level(300),
        level(3_100)
    );
    assert!(level(1_800) < -80.0, "{}", level(1_800));
    Ok(())
}

#[test]
fn audio_and_reports_each_keep_a_far_end_from_counting_as_silent_and_one_that_holds_is_never() -> TestResult {
    let limit = Duration::from_secs(10);
    let mut bench = Bench::new(20)?;
    bench.bridge.limit_silence(Some(limit));
    bench.bridge.answered(bench.now);
    bench.wait(limit - Duration::from_secs(1))?;
    let rtcp = remote(20)?.rtp.map(|rtp| SocketAddr::new(rtp.ip(), rtp.port() + 1)).ok_or("no address")?;
    bench.bridge.handle_agent_report(rtcp, &[0x80, 201, 0, 1, 0, 0, 0, 7], bench.now);
    bench.wait(limit - Duration::from_secs(1))?;
    assert_eq!(bench.bridge.poll_silence(bench.now), None);
    let source = remote(20)?.rtp.ok_or("no address")?.to_string();
    bench.hear(&source, 1, 160, 0, &[0xff; 160])?;
    bench.wait(limit - Duration::from_secs(1))?;
    assert_eq!(bench.bridge.poll_silence(bench.now), None);
    assert_eq!(bench.bridge.poll_silence(bench.now + limit).map(|it| it > limit), Some(true));

    let mut holding = Bench::new(20)?;
    holding.bridge.limit_silence(Some(limit));
    holding.bridge.answered(holding.now);
    holding.bridge.connect(Remote { direction: Direction::SendOnly, ..remote(20)? }, holding.now);
    assert_eq!(holding.bridge.poll_silence(holding.now + limit * 10), None);
    Ok(())
}
