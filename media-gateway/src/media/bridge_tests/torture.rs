//! Telephone events of peers and networks that do what they should not (RFC 4733): no key lost, none doubled. The far end's, and the
//! browser's at either clock.

use super::*;
use dsp::playout::Stats;

/// Who sends events, and how fast they tick.
#[derive(Clone, Copy, Debug)]
struct Peer(Side, SampleRate);

const FAR: Peer = Peer(Side::Agent, SampleRate::HZ_8000);

/// A far end's events tick as its audio does; browsers have either clock.
const PEERS: [Peer; 3] = [FAR, Peer(Side::Visitor, SampleRate::HZ_8000), Peer(Side::Visitor, SampleRate::HZ_48000)];

impl Peer {
    fn ticks(self, ms: u64) -> u64 {
        u64::from(self.1.samples(ms as u32))
    }

    /// Two keys of one SSRC, three packets and three ends each, 20 ms apart.
    fn two_keys(self) -> Vec<Row> {
        let key = |key, first: u16, timestamp, began: u64| {
            (0..6_u16).map(move |n| {
                let duration = self.ticks(u64::from(n.min(3) + 1) * 20) as u16;
                let ms = began + u64::from(n) * 20;
                let sequence = first.wrapping_add(n);
                let (marker, is_end, payload_type) = (n == 0, n >= 3, EVENT_PT);
                Row { ms, ssrc: 7, sequence, timestamp, payload_type, marker, key, is_end, duration }
            })
        };
        let second = 8_000 + self.ticks(200) as u32;
        // Sequence numbers wrap within the second key.
        key('5', 65_526, 8_000, 0).chain(key('5', 65_532, second, 200)).collect()
    }

    /// The keys that are reported of these packets, by a bridge whose session changes to another payload type at `change`.
    fn keys(self, rows: &[Row], change: Option<(u64, u8)>) -> TestResult<String> {
        let mut bench = Bench::new(20)?;
        let (mut at, mut change) = (0, change);
        for row in rows {
            if let Some((_, event_pt)) = change.take_if(|(when, _)| *when <= row.ms) {
                bench.bridge.connect(Remote { telephone_event: Some(event_pt), ..remote(20)? }, bench.now);
            }
            bench.wait(row.ms.saturating_sub(at) as u32 * MS)?;
            at = row.ms.max(at);
            bench.key(self, *row)?;
        }
        bench.wait(Duration::from_secs(2))?;
        Ok(bench.keys_of(self.0))
    }
}

/// A packet of an event.
#[derive(Clone, Copy)]
struct Row {
    ms: u64,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload_type: u8,
    marker: bool,
    key: char,
    is_end: bool,
    duration: u16,
}

impl Bench {
    fn key(&mut self, Peer(side, clock): Peer, row: Row) -> TestResult {
        let Row { ssrc, sequence, timestamp, payload_type, marker, key, is_end, duration, .. } = row;
        let payload = event(key, is_end, duration)?;
        match side {
            Side::Agent => {
                let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
                    .payload_type(payload_type)
                    .marker_bit(marker)
                    .sequence_number(sequence)
                    .timestamp(timestamp)
                    .ssrc(ssrc)
                    .payload(&payload);
                self.bridge.handle_agent(FAR_END.parse()?, &packet.write_vec()?, self.now);
            }
            Side::Visitor => {
                let (kind, payload) = (VisitorPayload::Event(clock), Arc::from(payload));
                let sequence = u64::from(sequence);
                let packet = VisitorPacket { kind, sequence, timestamp, marker, ssrc, payload };
                self.bridge.handle_visitor(&packet, self.now);
            }
        }
        self.drain()
    }

    fn keys_of(&self, side: Side) -> String {
        self.digits.iter().filter(|(from, ..)| *from == side).map(|(_, digit, _)| *digit).collect()
    }
}

#[test]
fn what_a_network_does_to_events_loses_no_key_and_doubles_none() -> TestResult {
    for peer in PEERS {
        let without = |left_out: &[usize]| {
            let rows = peer.two_keys().into_iter().enumerate();
            rows.filter(|(n, _)| !left_out.contains(n)).map(|(_, row)| row).collect::<Vec<_>>()
        };
        let each = |change: fn(Row) -> Row| peer.two_keys().into_iter().map(change).collect::<Vec<_>>();
        let mut swapped = peer.two_keys();
        for pair in swapped.chunks_exact_mut(2) {
            // The contents; they arrive when they did.
            if let [a, b] = pair {
                std::mem::swap(a, b);
                (a.ms, b.ms) = (b.ms, a.ms);
            }
        }
        let shrinking = peer.two_keys().into_iter().map(|row| {
            let duration = (peer.ticks(125) as u16).saturating_sub(row.duration);
            Row { duration, ..row }
        });
        let mut reversed = peer.two_keys();
        reversed.reverse();
        for (name, rows) in [
            ("whole", peer.two_keys()),
            ("first lost", without(&[0, 6])),
            ("all but an end lost", without(&[0, 1, 2, 3, 4, 6, 7, 8, 10, 11])),
            ("ends lost", without(&[3, 4, 5, 9, 10, 11])),
            ("one end of three", without(&[3, 4, 9, 11])),
            ("every packet doubled", peer.two_keys().into_iter().flat_map(|row| [row, row]).collect()),
            ("pairs swapped", swapped),
            ("everything backwards at once", reversed),
            ("no marker", each(|row| Row { marker: false, ..row })),
            ("nothing but markers", each(|row| Row { marker: true, ..row })),
            ("duration 0", each(|row| Row { duration: 0, ..row })),
            ("duration decreasing", shrinking.collect()),
        ] {
            assert_eq!(peer.keys(&rows, None)?, "55", "{name}, {peer:?}");
        }
    }
    Ok(())
}

#[test]
fn a_payload_type_that_a_re_invite_changes_loses_no_key_and_doubles_none() -> TestResult {
    // Before the first key, in its middle, between the keys, in the second; from then on, and with what was sent before it was known.
    for (when, first_new) in [(0, 0), (30, 2), (150, 6), (250, 9), (0, 2), (0, 4), (0, 7), (0, 12)] {
        let rows = |former: u8| -> Vec<Row> {
            let rows = FAR.two_keys().into_iter().enumerate();
            rows.map(|(n, row)| Row { payload_type: if n >= first_new { 96 } else { former }, ..row }).collect()
        };
        assert_eq!(FAR.keys(&rows(EVENT_PT), Some((when, 96)))?, "55", "after {when} ms, from {first_new} on");
    }
    Ok(())
}

#[test]
fn events_come_under_the_number_that_we_offered_or_the_one_before_unless_audio_has_it() -> TestResult {
    for (former, now, codec_pt, comes, expected) in [
        (None, Some(96), 0, 96, "55"),
        (None, Some(96), 0, EVENT_PT, "55"),
        (Some(97), Some(96), 0, 97, "55"),
        (Some(97), None, 0, 97, "55"),
        (None, Some(96), 0, 98, ""),
        (None, Some(96), EVENT_PT, EVENT_PT, ""),
        (Some(97), Some(96), 97, 97, ""),
    ] {
        let mut bench = Bench::new(20)?;
        bench.bridge = Bridge::new(SEED, Ringback::Europe, AwayTone::Soft, bench.now)?;
        for telephone_event in [former, now] {
            bench.bridge.connect(Remote { telephone_event, payload_type: codec_pt, ..remote(20)? }, bench.now);
        }
        for row in FAR.two_keys() {
            bench.wait(20 * MS)?;
            bench.key(FAR, Row { payload_type: comes, ..row })?;
        }
        bench.wait(Duration::from_secs(2))?;
        assert_eq!(bench.keys_of(Side::Agent), expected, "{former:?} {now:?} {codec_pt}: {comes}");
    }
    Ok(())
}

#[test]
fn a_key_across_a_change_of_ssrc_is_one_and_another_behind_it_is_another() -> TestResult {
    for (peer, first_new) in PEERS.into_iter().flat_map(|peer| [2, 3, 6].map(|first| (peer, first))) {
        let rows: Vec<Row> = peer
            .two_keys()
            .into_iter()
            .enumerate()
            .map(|(n, row)| if n >= first_new { Row { ssrc: 8, sequence: 40_000 + n as u16, ..row } } else { row })
            .collect();
        assert_eq!(peer.keys(&rows, None)?, "55", "from packet {first_new} on, {peer:?}");
    }
    Ok(())
}

#[test]
fn a_very_long_key_that_fills_segments_is_one() -> TestResult {
    for peer in PEERS {
        let rows: Vec<Row> = (1..=600_u64)
            .map(|n| {
                let ticks = peer.ticks(n * 20);
                let segment = (ticks - 1) / 65_535;
                let duration = (ticks - segment * 65_535) as u16;
                let (ms, sequence, timestamp) = (n * 20, n as u16, 8_000 + segment as u32 * 65_535);
                let (marker, is_end, payload_type) = (n == 1, n == 600, EVENT_PT);
                Row { ms, ssrc: 7, sequence, timestamp, payload_type, marker, key: '#', is_end, duration }
            })
            .collect();
        assert_eq!(peer.keys(&rows, None)?, "#", "{peer:?}");
    }
    Ok(())
}

#[test]
fn a_clock_that_changes_while_a_key_is_down_loses_no_key_and_doubles_none() -> TestResult {
    let [_, slow, fast] = PEERS;
    for (before, after) in [(slow, fast), (fast, slow)] {
        // In the first key, between the keys, in the second; with the ends, and where all of the first key's are lost.
        for (first_new, left_out) in [(2, 0..0), (6, 0..0), (9, 0..0), (6, 3..6), (2, 3..6)] {
            let mut bench = Bench::new(20)?;
            let mut at = 0;
            for (n, (old, new)) in before.two_keys().into_iter().zip(after.two_keys()).enumerate() {
                bench.wait((new.ms - at) as u32 * MS)?;
                at = new.ms;
                // The key's own timestamp stays.
                let new = Row { timestamp: old.timestamp, ..new };
                let (peer, row) = if n >= first_new { (after, new) } else { (before, old) };
                if !left_out.contains(&n) {
                    bench.key(peer, row)?;
                }
            }
            bench.wait(Duration::from_secs(2))?;
            assert_eq!(bench.keys_of(Side::Visitor), "55", "from packet {first_new} on, {before:?}, {left_out:?}");
        }
    }
    Ok(())
}

/// Audio, a key in its place, audio: what is left of the key, and where in the stream it arrives. Returns the keys and how the audio fared.
fn between_audio(peer: Peer, order: &[usize], is_audio: impl Fn(usize) -> bool) -> TestResult<(String, Stats)> {
    let mut bench = Bench::new(20)?;
    let began = order.iter().position(|n| !is_audio(*n)).ok_or("no key")?;
    for (place, n) in order.iter().copied().enumerate() {
        let sequence = 65_530_u16.wrapping_add(n as u16);
        if is_audio(n) {
            match peer.0 {
                Side::Agent => bench.hear(FAR_END, sequence, n as u32 * 160, 0, &[0x55; 160])?,
                Side::Visitor => {
                    let VisitorPacket { payload, .. } = bench.opus(n as u32)?;
                    let (kind, sequence, timestamp) = (VisitorPayload::Opus, u64::from(sequence), n as u32 * 960);
                    let packet = VisitorPacket { kind, sequence, timestamp, marker: false, ssrc: 4711, payload };
                    bench.bridge.handle_visitor(&packet, bench.now);
                }
            }
        } else {
            let (ms, ssrc, duration) = (0, 4711, peer.ticks(20) as u16);
            let timestamp = peer.ticks(began as u64 * 20) as u32;
            let (payload_type, marker, key, is_end) = (EVENT_PT, false, '7', true);
            bench.key(peer, Row { ms, ssrc, sequence, timestamp, payload_type, marker, key, is_end, duration })?;
        }
        // What was overtaken comes directly behind what overtook it.
        let is_overtaken = order.get(place + 1).is_some_and(|next| *next < n);
        bench.wait(if is_overtaken { MS } else { 20 * MS })?;
    }
    bench.wait(Duration::from_secs(1))?;
    let [visitor, agent] = bench.bridge.playout();
    Ok((bench.keys_of(peer.0), if peer.0 == Side::Agent { agent } else { visitor }))
}

#[test]
fn a_key_of_which_one_packet_is_left_that_audio_overtakes_is_not_lost_and_neither_is_audio_that_it_overtakes()
-> TestResult {
    for peer in PEERS {
        for (name, order) in [
            ("in order", vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ("the key behind audio", vec![0, 1, 2, 3, 5, 4, 6, 7, 8, 9]),
            ("audio behind the key", vec![0, 1, 2, 4, 3, 5, 6, 7, 8, 9]),
        ] {
            let (keys, audio) = between_audio(peer, &order, |n| n != 4)?;
            assert_eq!(keys, "7", "{name}, {peer:?}");
            let dropped = (audio.duplicate, audio.late, audio.malformed, audio.overflowed);
            assert_eq!((audio.received, dropped), (9, (0, 0, 0, 0)), "{name}, {peer:?}: {audio:?}");
        }
    }
    Ok(())
}
