//! From keys to the schedule of their event packets (RFC 4733, section 2.5.1): an update every packet time, the last one three times.
//! The caller adds RTP's header; it numbers the packets in the stream's own sequence.

use super::{LONGEST_SEGMENT, Payload};
use crate::{Digit, SampleRate, ring::Ring};
use thiserror::Error;

/// Keys that wait for their turn: more than anybody dials ahead, a number with its prefix included.
const QUEUED_KEYS: usize = 32;

/// Packets between two drains; more are made at the next [`Sender::handle_timeout`].
const OUTPUTS: usize = 8;

/// How often the last packet is sent (RFC 4733, section 2.5.1.4).
const FINAL_PACKETS: u8 = 3;

/// The shortest key: ITU-T Q.24's shortest tone, for those who turn events back into tones.
const SHORTEST_MS: u32 = 40;

/// The longest key: beyond ten seconds something hangs.
const LONGEST_MS: u32 = 10_000;

/// The least silence between keys, for those who turn events back into tones. [`Sender`] keeps three packet times if they are longer,
/// so that the repetitions of one key's end lie before the next key.
const PAUSE_MS: u32 = 50;

/// Level of the tones that the events stand for, −dBm0.
const VOLUME: u8 = 10;

/// One packet to send at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// The RTP timestamp: where the key, or its segment, began.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The RTP payload.
    pub payload: [u8; Payload::LENGTH],
}

/// No room for another key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{QUEUED_KEYS} keys are waiting to be sent")]
pub struct QueueFull;

/// Sends keys, one after another, into one RTP stream.
///
/// `now` is always the stream's RTP timestamp, extended to 64 bits: packets take their timestamps from it.
#[derive(Clone, Debug)]
pub struct Sender {
    clock: SampleRate,
    interval: u64,
    queue: Ring<Pending, QUEUED_KEYS>,
    playing: Option<Playing>,
    free_at: u64,
    outputs: Ring<EventPacket, OUTPUTS>,
}

impl Sender {
    /// A packet every `interval_ms` (held to 10–100 ms; 20 or 50 are usual) in a stream of RTP clock `clock`.
    pub fn new(clock: SampleRate, interval_ms: u32) -> Self {
        Self {
            clock,
            interval: u64::from(clock.samples(interval_ms.clamp(10, 100))),
            queue: Ring::new(),
            playing: None,
            free_at: 0,
            outputs: Ring::new(),
        }
    }

    /// Sends `digit` for `duration` ticks (held to 40 ms … 10 s) once the keys before it are through.
    ///
    /// # Errors
    /// When 32 keys wait already.
    pub fn press(&mut self, digit: Digit, duration: u64, now: u64) -> Result<(), QueueFull> {
        let ticks = |ms| u64::from(self.clock.samples(ms));
        let duration = duration.clamp(ticks(SHORTEST_MS), ticks(LONGEST_MS));
        self.queue.push(Pending { digit, duration, earliest: now }).map_err(|_| QueueFull)?;
        self.handle_timeout(now);
        Ok(())
    }

    /// Makes the packets that are due.
    pub fn handle_timeout(&mut self, now: u64) {
        while !self.outputs.is_full() {
            if self.playing.is_none() {
                let Some(next) = self.queue.pop() else { return };
                self.playing = Some(Playing::new(next, self.free_at));
            }
            let pause = u64::from(self.clock.samples(PAUSE_MS)).max(u64::from(FINAL_PACKETS) * self.interval);
            let Some(playing) = self.playing.as_mut().filter(|playing| playing.due <= now) else { return };
            let packet = playing.step(self.interval);
            if playing.finals == 0 {
                self.free_at = playing.stop + pause;
                self.playing = None;
            }
            // There is room: the loop asked.
            let _ = self.outputs.push(packet);
        }
    }

    /// The packets to send, in order.
    pub fn poll_output(&mut self) -> Option<EventPacket> {
        self.outputs.pop()
    }

    /// When [`Self::handle_timeout`] wants to be called, on the scale of `now`.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.playing.as_ref().map(|playing| playing.due)
    }

    /// Whether nothing is being sent or waits. While it is not, a caller may leave audio out of the stream.
    pub fn is_idle(&self) -> bool {
        self.playing.is_none() && self.queue.is_empty() && self.outputs.is_empty()
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    digit: Digit,
    duration: u64,
    earliest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Playing {
    digit: Digit,
    /// Where the current segment began.
    segment: u64,
    stop: u64,
    due: u64,
    marker: bool,
    finals: u8,
}

impl Playing {
    fn new(key: Pending, free_at: u64) -> Self {
        let start = key.earliest.max(free_at);
        Self {
            digit: key.digit,
            segment: start,
            stop: start + key.duration,
            due: start,
            marker: true,
            finals: FINAL_PACKETS,
        }
    }

    /// The packet that is due, and on to the next.
    fn step(&mut self, interval: u64) -> EventPacket {
        let end = self.due >= self.stop;
        // An update covers the packet time that it opens: the key is known to last that long.
        let covered = (self.due + interval).min(self.stop) - self.segment;
        let timestamp = self.segment as u32;
        let duration = match u16::try_from(covered) {
            Ok(duration) => {
                self.finals -= u8::from(end);
                self.due = if end { self.due + interval } else { (self.due + interval).min(self.stop) };
                duration
            }
            Err(_) => {
                // RFC 4733, section 2.5.1.3: the segment is full, the next one follows at once.
                self.segment += u64::from(LONGEST_SEGMENT);
                let payload =
                    Payload { event: self.digit.event(), end: false, volume: VOLUME, duration: LONGEST_SEGMENT };
                return EventPacket {
                    timestamp,
                    marker: core::mem::take(&mut self.marker),
                    payload: payload.to_bytes(),
                };
            }
        };
        let payload = Payload { event: self.digit.event(), end, volume: VOLUME, duration };
        EventPacket { timestamp, marker: core::mem::take(&mut self.marker), payload: payload.to_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telephone_event::{Output, Packet, Receiver};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Runs a sender until it is idle; packets with the time they were sent.
    fn run(sender: &mut Sender) -> Vec<(u64, EventPacket)> {
        let (mut sent, mut now) = (Vec::new(), 0);
        for _ in 0..100_000 {
            while let Some(packet) = sender.poll_output() {
                sent.push((now, packet));
            }
            let Some(due) = sender.poll_timeout() else { return sent };
            now = now.max(due);
            sender.handle_timeout(now);
        }
        panic!("never idle");
    }

    fn digit(key: char) -> Digit {
        Digit::from_char(key).unwrap()
    }

    #[test]
    fn a_key_is_updated_every_packet_time_and_ended_three_times() {
        for (clock, scale) in [(SampleRate::HZ_8000, 1), (SampleRate::HZ_48000, 6)] {
            let mut sender = Sender::new(clock, 20);
            sender.press(digit('5'), 800 * scale, 0).unwrap();
            let sent = run(&mut sender);
            let rows: Vec<_> = sent
                .iter()
                .map(|(at, packet)| (*at / scale, packet.marker, Payload::parse(&packet.payload).unwrap()))
                .map(|(at, marker, payload)| (at, marker, payload.end, u64::from(payload.duration) / scale))
                .collect();
            let expected = [
                (0, true, false, 160),
                (160, false, false, 320),
                (320, false, false, 480),
                (480, false, false, 640),
                (640, false, false, 800),
                (800, false, true, 800),
                (960, false, true, 800),
                (1_120, false, true, 800),
            ];
            assert_eq!(rows, expected);
            assert!(sent.iter().all(|(_, packet)| packet.timestamp == 0 && packet.payload[..1] == [5]));
            assert!(sender.is_idle());
        }
    }

    #[test]
    fn keys_wait_for_each_other_and_32_may_wait() {
        let mut sender = Sender::new(SampleRate::HZ_8000, 50);
        for count in 0..34 {
            assert_eq!(sender.press(digit('1'), 800, 0), if count < 33 { Ok(()) } else { Err(QueueFull) }, "{count}");
        }
        let sent = run(&mut sender);
        let starts: Vec<u64> = sent.iter().filter(|(_, packet)| packet.marker).map(|(at, _)| *at).collect();
        assert_eq!(starts.len(), 33);
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 800 + 1_200), "{starts:?}");
    }

    #[test]
    fn durations_are_held_to_what_makes_sense() {
        for (asked, expected) in [(0, 320), (u64::MAX, 80_000)] {
            let mut sender = Sender::new(SampleRate::HZ_8000, 20);
            sender.press(digit('D'), asked, 0).unwrap();
            let ends = run(&mut sender).into_iter().filter(|(_, packet)| packet.payload[1] & 0x80 != 0);
            assert_eq!(ends.map(|(at, _)| at).min(), Some(expected));
        }
    }

    /// What a network does to packets: which are lost, doubled, and how late each comes (in packet times).
    fn network() -> impl Strategy<Value = Vec<(bool, bool, u64)>> {
        prop::collection::vec((prop::bool::weighted(0.25), prop::bool::weighted(0.2), 0u64..3), 1_200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_key_of_which_a_packet_arrives_is_received_once_and_in_order(
            keys in prop::collection::vec((0u8..16, 40u64..3_000), 1..8),
            network in network(),
            wide: bool,
            fifty: bool,
            start in prop::option::of(0u64..u64::from(u32::MAX)),
        ) {
            let clock = if wide { SampleRate::HZ_48000 } else { SampleRate::HZ_8000 };
            let interval = u64::from(clock.samples(if fifty { 50 } else { 20 }));
            let mut sender = Sender::new(clock, if fifty { 50 } else { 20 });
            // Some streams wrap their timestamps on the way.
            let start = start.unwrap_or(u64::from(u32::MAX) - 5_000);
            for (event, ms) in &keys {
                sender.press(Digit::from_event(*event).unwrap(), ms * u64::from(clock.hz()) / 1_000, start).unwrap();
            }
            let sent = run(&mut sender);

            let (mut key, mut heard, mut arrivals) = (0, Vec::new(), Vec::new());
            for ((at, packet), (lost, doubled, late)) in sent.iter().zip(network.into_iter().cycle()) {
                key += usize::from(packet.marker);
                // The end always comes through: without it a second of the same key may be the first one's lost rest.
                let end = packet.payload[1] & 0x80 != 0;
                if !lost || end {
                    heard.push(key - 1);
                    arrivals.extend(std::iter::repeat_n((at + late * interval / 2, *packet), 1 + usize::from(doubled)));
                }
            }
            heard.dedup();
            arrivals.sort_by_key(|(at, _)| *at);

            let (mut receiver, mut outputs) = (Receiver::new(clock), Vec::new());
            for (at, packet) in &arrivals {
                let packet = Packet { ssrc: 7, timestamp: packet.timestamp, marker: packet.marker, payload: &packet.payload };
                receiver.handle_packet(packet, *at).unwrap();
                outputs.extend(std::iter::from_fn(|| receiver.poll_output()));
            }
            let mut started = Vec::new();
            let mut open = None;
            for output in outputs {
                match output {
                    Output::Start { digit } => {
                        prop_assert_eq!(open.replace(digit), None);
                        started.push(digit.event());
                    }
                    Output::End { digit, .. } => prop_assert_eq!(open.take(), Some(digit)),
                }
            }
            prop_assert_eq!(open, None);
            let expected: Vec<u8> = heard.into_iter().map(|key| keys[key].0).collect();
            prop_assert_eq!(started, expected);
        }

        #[test]
        fn any_bytes_leave_the_receiver_bounded_and_balanced(
            packets in prop::collection::vec((0u32..3, 0u32..4, any::<bool>(), prop::collection::vec(any::<u8>(), 0..20), 0u64..3_000), 0..200),
        ) {
            let (mut receiver, mut now, mut open) = (Receiver::new(SampleRate::HZ_8000), 0, 0i32);
            for (ssrc, step, marker, payload, passed) in packets {
                now += passed;
                let packet = Packet { ssrc, timestamp: (now as u32).wrapping_add(step * 65_535), marker, payload: &payload };
                let _ = receiver.handle_packet(packet, now);
                while let Some(output) = receiver.poll_output() {
                    open += match output { Output::Start { .. } => 1, Output::End { .. } => -1 };
                    prop_assert!((0..=2).contains(&open));
                }
            }
            receiver.handle_timeout(u64::MAX);
            while let Some(output) = receiver.poll_output() {
                open += match output { Output::Start { .. } => 1, Output::End { .. } => -1 };
            }
            prop_assert_eq!(open, 0);
        }
    }
}
