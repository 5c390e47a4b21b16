//! From event packets, as a network delivers them, to each key once. A key is known by SSRC and timestamp, never by its marker or
//! end bit, for any packet may be lost, doubled, late, or wrong.

use super::{LONGEST_SEGMENT, Payload, PayloadError};
use crate::{Digit, SampleRate, ring::Ring};

/// Keys remembered for late and doubled packets: at ten keys a second, what a network may hold back for two seconds.
const REMEMBERED_KEYS: usize = 20;

/// Events taken from one packet (RFC 4733 lets a sender pack several). More than four keys in one packet is not dialling.
const EVENTS_IN_PACKET: usize = 4;

/// Room for what one packet may cause: an end, a start and an end for each of its events.
const OUTPUTS: usize = 3 * EVENTS_IN_PACKET;

/// Segments of a long key that may be lost whole, one after another, before what follows counts as another key.
const LOST_SEGMENTS: u32 = 4;

/// A key without an end bit is over when nothing was heard of it for this long: four packets at the slowest usual pace of 50 ms.
const SILENCE_MS: u32 = 200;

/// How much later than its duration says an event of another SSRC may come and still be the key that fell silent: the delays of two
/// ways through the network differ.
const SKEW_MS: u32 = 100;

/// A timestamp that lies less than this behind the newest key's is a key that was overtaken; further back, the sender began anew.
const OVERTAKEN_MS: u32 = 1_000;

/// What a receiver needs of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Who sent it.
    pub ssrc: u32,
    /// The RTP timestamp: where the event, or its segment, began.
    pub timestamp: u32,
    /// The marker bit: set on an event's first packet.
    pub marker: bool,
    /// The RTP payload.
    pub payload: &'a [u8],
}

/// What a receiver reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A key went down. Said once for each key.
    Start {
        /// Which.
        digit: Digit,
    },
    /// It came up, or was not heard of any more. Follows its `Start`; a key that was overtaken starts and ends inside another.
    End {
        /// Which.
        digit: Digit,
        /// How long it was down, as far as heard, in ticks of the RTP clock.
        duration: u64,
    },
}

/// Receives the events of one RTP session, whatever SSRCs it goes through.
#[derive(Clone, Debug)]
pub struct Receiver {
    clock: SampleRate,
    keys: [Option<Key>; REMEMBERED_KEYS],
    newest: usize,
    outputs: Ring<Output, OUTPUTS>,
}

impl Receiver {
    /// For events whose RTP clock (the rate in `a=rtpmap:… telephone-event/…`) is `clock`.
    pub fn new(clock: SampleRate) -> Self {
        Self { clock, keys: [None; REMEMBERED_KEYS], newest: 0, outputs: Ring::new() }
    }

    /// Takes a packet in. `now` counts ticks of the same rate and never runs backwards. Events that are no digits are passed over.
    /// Drain [`Self::poll_output`] before the next packet.
    ///
    /// # Errors
    /// When the payload is too short for an event.
    pub fn handle_packet(&mut self, packet: Packet<'_>, now: u64) -> Result<(), PayloadError> {
        Payload::parse(packet.payload)?;
        self.handle_timeout(now);
        let mut timestamp = packet.timestamp;
        for bytes in packet.payload.chunks_exact(Payload::LENGTH).take(EVENTS_IN_PACKET) {
            let event = Payload::parse(bytes)?;
            if let Some(digit) = Digit::from_event(event.event) {
                let report = Report { ssrc: packet.ssrc, timestamp, marker: packet.marker, digit, event, now };
                self.handle_report(report);
            }
            timestamp = timestamp.wrapping_add(u32::from(event.duration));
        }
        Ok(())
    }

    /// Ends a key that was not heard of for 200 ms.
    pub fn handle_timeout(&mut self, now: u64) {
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            self.close_open_key(State::GivenUp);
        }
    }

    /// Events tick at `clock` from now on, and so does `now`. What is known of keys stays.
    pub fn set_clock(&mut self, clock: SampleRate) {
        let (before, after) = (u64::from(self.clock.hz()), u64::from(clock.hz()));
        let scaled = |ticks: u64| ticks.saturating_mul(after) / before;
        for key in self.keys.iter_mut().flatten() {
            (key.before, key.heard) = (scaled(key.before), scaled(key.heard));
            key.duration = u16::try_from(scaled(key.duration.into())).unwrap_or(u16::MAX);
        }
        self.clock = clock;
    }

    /// What happened, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Self::handle_timeout`] wants to be called, on the scale of `now`.
    pub fn poll_timeout(&self) -> Option<u64> {
        let silence = u64::from(self.clock.samples(SILENCE_MS));
        self.newest_key().filter(|key| key.state == State::Open).map(|key| key.heard.saturating_add(silence))
    }

    fn handle_report(&mut self, report: Report) {
        let known =
            |key: &&mut Key| (key.ssrc, key.timestamp, key.digit) == (report.ssrc, report.timestamp, report.digit);
        if let Some(key) = self.keys.iter_mut().flatten().find(known) {
            key.duration = key.duration.max(report.event.duration);
            key.heard = key.heard.max(report.now);
            if key.state != State::Over && report.event.end {
                let output = (key.state == State::Open).then(|| key.ended());
                key.state = State::Over;
                output.into_iter().for_each(|output| self.report(output));
            }
            return;
        }
        if let Some(before) = self.newest_key().and_then(|key| key.carried_into(&report, self.clock)) {
            self.carry_on(report, before);
        } else if self.is_overtaken(&report) {
            self.report(Output::Start { digit: report.digit });
            let key = Key::new(report, State::Over);
            self.report(key.ended());
            self.remember_behind_newest(key);
        } else {
            self.close_open_key(State::Over);
            self.report(Output::Start { digit: report.digit });
            let state = if report.event.end { State::Over } else { State::Open };
            let key = Key::new(report, state);
            if report.event.end {
                self.report(key.ended());
            }
            self.remember(key);
        }
    }

    /// The newest key goes on under another timestamp or SSRC.
    fn carry_on(&mut self, report: Report, before: u64) {
        let Some(key) = self.keys.get_mut(self.newest).and_then(Option::as_mut) else { return };
        let mut next = Key { before, state: key.state, ..Key::new(report, State::Open) };
        key.state = State::Over;
        if report.event.end {
            if next.state == State::Open {
                self.report(next.ended());
            }
            next.state = State::Over;
        }
        self.remember(next);
    }

    fn is_overtaken(&self, report: &Report) -> bool {
        self.newest_key().is_some_and(|key| {
            let behind = key.timestamp.wrapping_sub(report.timestamp);
            key.ssrc == report.ssrc && behind > 0 && behind < self.clock.samples(OVERTAKEN_MS)
        })
    }

    fn close_open_key(&mut self, state: State) {
        let open = self.keys.get_mut(self.newest).and_then(Option::as_mut).filter(|key| key.state == State::Open);
        if let Some(key) = open {
            key.state = state;
            let output = key.ended();
            self.report(output);
        }
    }

    fn newest_key(&self) -> Option<&Key> {
        self.keys.get(self.newest).and_then(Option::as_ref)
    }

    fn remember(&mut self, key: Key) {
        self.newest = (self.newest + 1) % REMEMBERED_KEYS;
        if let Some(slot) = self.keys.get_mut(self.newest) {
            *slot = Some(key);
        }
    }

    fn remember_behind_newest(&mut self, key: Key) {
        let newest = self.keys.get_mut(self.newest).and_then(|slot| slot.replace(key));
        newest.into_iter().for_each(|newest| self.remember(newest));
    }

    fn report(&mut self, output: Output) {
        // Full only when the caller does not drain: then the oldest has been left longest.
        if let Err(output) = self.outputs.push(output) {
            self.outputs.pop();
            let _ = self.outputs.push(output);
        }
    }
}

/// One event of one packet.
#[derive(Clone, Copy)]
struct Report {
    ssrc: u32,
    timestamp: u32,
    marker: bool,
    digit: Digit,
    event: Payload,
    now: u64,
}

/// A key, or one segment of a long one.
#[derive(Clone, Copy, Debug)]
struct Key {
    ssrc: u32,
    timestamp: u32,
    digit: Digit,
    /// The longest duration told for this segment.
    duration: u16,
    /// Ticks in the segments before.
    before: u64,
    state: State,
    heard: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Started, and not ended.
    Open,
    /// Ended by silence: should it be heard of again, it is still the same key.
    GivenUp,
    /// Ended by its end bit, or by what came after it.
    Over,
}

impl Key {
    fn new(report: Report, state: State) -> Self {
        let Report { ssrc, timestamp, digit, event, now, .. } = report;
        Self { ssrc, timestamp, digit, duration: event.duration, before: 0, state, heard: now }
    }

    fn ended(&self) -> Output {
        Output::End { digit: self.digit, duration: self.before + u64::from(self.duration) }
    }

    /// If `report`, of another timestamp or SSRC, is of this very key: the ticks that lie before the report's timestamp.
    fn carried_into(&self, report: &Report, clock: SampleRate) -> Option<u64> {
        if self.state == State::Over || self.digit != report.digit || report.marker {
            return None;
        }
        let segment = u32::from(LONGEST_SEGMENT);
        let ahead = report.timestamp.wrapping_sub(self.timestamp);
        if self.ssrc == report.ssrc {
            // RFC 4733, section 2.5.1.3: the next segment begins where the full one ended.
            let next = ahead > 0 && ahead.is_multiple_of(segment) && ahead / segment <= LOST_SEGMENTS;
            return next.then(|| self.before + u64::from(ahead));
        }
        // A new SSRC in the middle of a key, say from a session border controller: no marker, and no shorter than it was. Behind a
        // silence it has to have been down all the while, or it is another press.
        let silence = report.now.saturating_sub(self.heard).saturating_sub(clock.samples(SKEW_MS).into());
        let least = match self.state {
            State::Open | State::Over => u64::from(self.duration),
            State::GivenUp => u64::from(self.duration).saturating_add(silence),
        };
        (u64::from(report.event.duration) >= least).then_some(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    const CLOCK: SampleRate = SampleRate::HZ_8000;

    /// Packets as `(arrival ms, ssrc, timestamp, marker, key, end, duration)`.
    type Row = (u64, u32, u32, bool, char, bool, u16);

    /// Keys as `(key, duration)`.
    type Keys = &'static [(char, u64)];

    fn receive(clock: SampleRate, rows: &[Row]) -> Vec<Output> {
        let (mut receiver, mut outputs) = (Receiver::new(clock), Vec::new());
        for (ms, ssrc, timestamp, marker, key, end, duration) in rows {
            let event = Digit::from_char(*key).unwrap().event();
            let payload = Payload { event, end: *end, volume: 10, duration: *duration }.to_bytes();
            let packet = Packet { ssrc: *ssrc, timestamp: *timestamp, marker: *marker, payload: &payload };
            receiver.handle_packet(packet, ms * u64::from(clock.hz()) / 1_000).unwrap();
            outputs.extend(std::iter::from_fn(|| receiver.poll_output()));
        }
        if let Some(deadline) = receiver.poll_timeout() {
            receiver.handle_timeout(deadline - 1);
            assert_eq!(receiver.poll_output(), None, "not before its deadline");
            receiver.handle_timeout(deadline);
            outputs.extend(std::iter::from_fn(|| receiver.poll_output()));
        }
        assert_eq!(receiver.poll_timeout(), None);
        outputs
    }

    fn keys(expected: &[(char, u64)]) -> Vec<Output> {
        let digit = |key| Digit::from_char(key).unwrap();
        expected
            .iter()
            .flat_map(|(key, duration)| {
                [Output::Start { digit: digit(*key) }, Output::End { digit: digit(*key), duration: *duration }]
            })
            .collect()
    }

    /// What arrives, and the keys that are reported with their durations. A case ends with the time-out.
    #[rustfmt::skip]
    const TORTURE: &[(&str, &[Row], Keys)] = &[
        ("whole", &[
            (0, 1, 800, true, '5', false, 160),
            (20, 1, 800, false, '5', false, 320),
            (40, 1, 800, false, '5', true, 480),
        ], &[('5', 480)]),
        ("first lost", &[
            (20, 1, 800, false, '5', false, 320),
            (40, 1, 800, false, '5', true, 480),
        ], &[('5', 480)]),
        ("all lost but one end", &[
            (40, 1, 800, false, '#', true, 480),
        ], &[('#', 480)]),
        ("end lost, another follows", &[
            (0, 1, 800, true, '5', false, 160),
            (100, 1, 1600, true, '5', false, 160),
            (120, 1, 1600, false, '5', true, 320),
        ], &[('5', 160), ('5', 320)]),
        ("end lost, nothing follows", &[
            (0, 1, 800, true, '5', false, 160),
        ], &[('5', 160)]),
        ("end tripled", &[
            (0, 1, 800, true, '5', false, 160),
            (20, 1, 800, false, '5', true, 320),
            (20, 1, 800, false, '5', true, 320),
            (20, 1, 800, false, '5', true, 320),
        ], &[('5', 320)]),
        ("every packet doubled", &[
            (0, 1, 8, true, '1', false, 160),
            (0, 1, 8, true, '1', false, 160),
            (20, 1, 8, false, '1', true, 320),
            (20, 1, 8, false, '1', true, 320),
        ], &[('1', 320)]),
        ("end before start", &[
            (0, 1, 8, false, '1', true, 320),
            (1, 1, 8, true, '1', false, 160),
            (2, 1, 8, false, '1', false, 240),
        ], &[('1', 320)]),
        ("late end of the key before", &[
            (0, 1, 8, true, '1', false, 160),
            (50, 1, 800, true, '2', false, 160),
            (55, 1, 8, false, '1', true, 320),
            (70, 1, 800, false, '2', true, 320),
        ], &[('1', 160), ('2', 320)]),
        ("no marker anywhere", &[
            (0, 1, 8, false, '1', false, 160),
            (20, 1, 8, false, '1', true, 320),
            (99, 1, 1600, false, '1', true, 320),
        ], &[('1', 320), ('1', 320)]),
        ("marker on every packet", &[
            (0, 1, 8, true, '1', false, 160),
            (20, 1, 8, true, '1', false, 320),
            (40, 1, 8, true, '1', true, 480),
        ], &[('1', 480)]),
        ("duration 0", &[
            (0, 1, 8, true, '1', false, 0),
            (20, 1, 8, false, '1', false, 0),
            (40, 1, 8, false, '1', true, 0),
        ], &[('1', 0)]),
        ("duration decreasing", &[
            (0, 1, 8, true, '1', false, 480),
            (20, 1, 8, false, '1', false, 320),
            (40, 1, 8, false, '1', true, 160),
        ], &[('1', 480)]),
        ("timestamp wraps", &[
            (0, 1, u32::MAX - 10, true, '1', false, 160),
            (20, 1, u32::MAX - 10, false, '1', true, 320),
            (90, 1, 700, true, '2', true, 320),
        ], &[('1', 320), ('2', 320)]),
        ("timestamps begin anew", &[
            (0, 1, 900_000, true, '1', true, 320),
            (90, 1, 700, true, '2', true, 320),
        ], &[('1', 320), ('2', 320)]),
        ("silence, and then the same key again", &[
            (0, 1, 8, true, '1', false, 160),
            (500, 1, 8, false, '1', false, 4_000),
            (520, 1, 8, false, '1', true, 4_160),
        ], &[('1', 160)]),
        ("a long key in segments", &[
            (0, 1, 8, true, '*', false, 160),
            (8_191, 1, 8, false, '*', false, 65_535),
            (8_200, 1, 65_543, false, '*', false, 100),
            (8_300, 1, 65_543, false, '*', true, 900),
            (8_310, 1, 8, false, '*', false, 65_535),
        ], &[('*', 160)]),
        ("SSRC changes in mid-key", &[
            (0, 1, 8, true, '7', false, 160),
            (20, 2, 99_999, false, '7', false, 320),
            (30, 1, 8, false, '7', false, 160),
            (40, 2, 99_999, false, '7', true, 480),
        ], &[('7', 480)]),
        ("SSRC changes between keys", &[
            (0, 1, 8, true, '7', true, 160),
            (60, 2, 5, true, '7', false, 160),
            (80, 2, 5, false, '7', true, 320),
        ], &[('7', 160), ('7', 320)]),
        ("SSRC changes, end lost", &[
            (0, 1, 8, true, '7', false, 160),
            (60, 2, 5, true, '7', true, 160),
        ], &[('7', 160), ('7', 160)]),
        ("SSRC changes in mid-key behind a hole", &[
            (220, 1, 8, false, '7', false, 1_760),
            (400, 1, 8, false, '7', false, 3_200),
            (690, 2, 99_999, false, '7', false, 5_440),
            (1_000, 2, 99_999, false, '7', true, 8_000),
        ], &[('7', 3_200)]),
        ("SSRC changes behind a lost end and marker", &[
            (20, 1, 8, true, '7', false, 160),
            (40, 1, 8, false, '7', false, 320),
            (400, 2, 99_999, false, '7', false, 1_600),
            (420, 2, 99_999, false, '7', true, 1_760),
        ], &[('7', 320), ('7', 1_760)]),
    ];

    #[test]
    fn each_key_is_reported_once_whatever_the_network_does() {
        for (name, rows, expected) in TORTURE {
            assert_eq!(receive(CLOCK, rows), keys(expected), "{name}");
        }
    }

    #[test]
    fn a_long_key_at_48_khz_is_one_key_even_when_segments_are_lost() {
        let mut rows: Vec<Row> = Vec::new();
        for packet in 1..=500u64 {
            let ticks = packet * 960;
            let segment = (ticks - 1) / 65_535;
            rows.push((
                packet * 20,
                9,
                (segment * 65_535) as u32 + 77,
                packet == 1,
                '0',
                packet == 500,
                (ticks - segment * 65_535) as u16,
            ));
        }
        assert_eq!(receive(SampleRate::HZ_48000, &rows), keys(&[('0', 480_000)]));
        // Gone for less than the time-out, across the end of the first segment.
        rows.drain(66..72);
        assert_eq!(receive(SampleRate::HZ_48000, &rows), keys(&[('0', 480_000)]));
        // Gone for two whole segments: given up, and not reported again.
        rows.drain(40..250);
        assert_eq!(receive(SampleRate::HZ_48000, &rows), keys(&[('0', 40 * 960)]));
    }

    #[test]
    fn a_clock_that_changes_in_mid_key_or_behind_a_lost_end_loses_no_key_and_doubles_none() {
        let slow = SampleRate::HZ_8000;
        for (before, after) in [(SampleRate::HZ_48000, slow), (slow, SampleRate::HZ_48000)] {
            for (timestamp, marker, expected) in [(800, false, "5"), (9_600, true, "55")] {
                let (mut receiver, mut found) = (Receiver::new(before), Vec::new());
                for (ms, clock, timestamp, marker, end) in [
                    (40, before, 800, true, false),
                    (60, after, timestamp, marker, false),
                    (80, after, timestamp, false, true),
                ] {
                    receiver.set_clock(clock);
                    let duration = clock.samples(ms) as u16;
                    let payload = Payload { event: 5, end, volume: 10, duration }.to_bytes();
                    let packet = Packet { ssrc: 1, timestamp, marker, payload: &payload };
                    receiver.handle_packet(packet, u64::from(clock.samples(ms))).unwrap();
                    found.extend(std::iter::from_fn(|| receiver.poll_output()));
                }
                let ended = found.iter().filter_map(|output| match output {
                    Output::End { digit, .. } => Some(digit.as_char()),
                    Output::Start { .. } => None,
                });
                assert_eq!(ended.collect::<std::string::String>(), expected, "{before:?} {found:?}");
                let last = Output::End { digit: Digit::from_char('5').unwrap(), duration: after.samples(80).into() };
                assert_eq!(found.last(), Some(&last));
            }
        }
    }

    #[test]
    fn a_key_that_was_overtaken_is_not_lost() {
        let rows = [
            (0, 1, 1_600, true, '2', false, 160),
            (5, 1, 800, false, '1', true, 400),
            (6, 1, 800, false, '1', true, 400),
            (20, 1, 1_600, false, '2', true, 320),
        ];
        let [one, two] = [keys(&[('1', 400)]), keys(&[('2', 320)])];
        assert_eq!(receive(CLOCK, &rows), [two[0], one[0], one[1], two[1]]);
    }

    #[test]
    fn events_packed_into_one_packet_are_told_apart() {
        let mut receiver = Receiver::new(CLOCK);
        let payload: Vec<u8> = [(1, 400), (1, 400), (16, 80), (2, 240)]
            .into_iter()
            .flat_map(|(event, duration)| Payload { event, end: true, volume: 0, duration }.to_bytes())
            .collect();
        receiver.handle_packet(Packet { ssrc: 1, timestamp: 0, marker: true, payload: &payload }, 0).unwrap();
        let outputs: Vec<Output> = std::iter::from_fn(|| receiver.poll_output()).collect();
        assert_eq!(outputs, keys(&[('1', 400), ('1', 400), ('2', 240)]));
    }

    #[test]
    fn short_payloads_and_other_events_report_nothing() {
        let mut receiver = Receiver::new(CLOCK);
        for (payload, error) in
            [(vec![], true), (vec![1, 2, 3], true), (vec![16, 0, 0, 80], false), (vec![255; 64], false)]
        {
            let packet = Packet { ssrc: 1, timestamp: 0, marker: true, payload: &payload };
            assert_eq!(receiver.handle_packet(packet, 0).is_err(), error, "{payload:?}");
            assert_eq!((receiver.poll_output(), receiver.poll_timeout()), (None, None));
        }
    }
}
