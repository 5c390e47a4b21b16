//! Telephone events of far ends and networks that do what they should not (RFC 4733): no key lost, none doubled.

use super::*;

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

/// The keys that are reported of these packets, by a bridge whose session changes to another payload type at `change`.
fn keys(rows: &[Row], change: Option<(u64, u8)>) -> TestResult<String> {
    let mut bench = Bench::new(20)?;
    let mut at = 0;
    let mut change = change;
    for row in rows {
        let Row { ms, ssrc, sequence, timestamp, payload_type, marker, key, is_end, duration } = *row;
        if let Some((_, event_pt)) = change.take_if(|(when, _)| *when <= ms) {
            bench.bridge.connect(Remote { telephone_event: Some(event_pt), ..remote(20)? }, bench.now);
        }
        bench.wait((ms - at) as u32 * MS)?;
        at = ms;
        let payload = event(key, is_end, duration)?;
        let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(payload_type)
            .marker_bit(marker)
            .sequence_number(sequence)
            .timestamp(timestamp)
            .ssrc(ssrc)
            .payload(&payload);
        bench.bridge.handle_agent(FAR_END.parse()?, &packet.write_vec()?, bench.now);
    }
    bench.wait(Duration::from_secs(2))?;
    Ok(bench.digits.iter().filter(|(from, ..)| *from == Side::Agent).map(|(_, digit, _)| *digit).collect())
}

/// Two keys of one SSRC, three packets and three ends each, 20 ms apart.
fn two_keys() -> Vec<Row> {
    let key = |key, first: u16, timestamp, began: u64| {
        (0..6_u16).map(move |n| {
            let duration = (n.min(3) + 1) * 160;
            let ms = began + u64::from(n) * 20;
            let sequence = first.wrapping_add(n);
            let (marker, is_end, payload_type) = (n == 0, n >= 3, EVENT_PT);
            Row { ms, ssrc: 7, sequence, timestamp, payload_type, marker, key, is_end, duration }
        })
    };
    // Sequence numbers wrap within the second key.
    key('5', 65_526, 8_000, 0).chain(key('5', 65_532, 9_600, 200)).collect()
}

#[test]
fn what_a_network_does_to_events_loses_no_key_and_doubles_none() -> TestResult {
    let without = |left_out: &[usize]| {
        let rows = two_keys().into_iter().enumerate();
        rows.filter(|(n, _)| !left_out.contains(n)).map(|(_, row)| row).collect::<Vec<_>>()
    };
    let doubled: Vec<Row> = two_keys().into_iter().flat_map(|row| [row, row]).collect();
    let mut swapped = two_keys();
    for pair in swapped.chunks_exact_mut(2) {
        // The contents; they arrive when they did.
        if let [a, b] = pair {
            std::mem::swap(a, b);
            (a.ms, b.ms) = (b.ms, a.ms);
        }
    }
    let unmarked: Vec<Row> = two_keys().into_iter().map(|row| Row { marker: false, ..row }).collect();
    let marked: Vec<Row> = two_keys().into_iter().map(|row| Row { marker: true, ..row }).collect();
    let empty: Vec<Row> = two_keys().into_iter().map(|row| Row { duration: 0, ..row }).collect();
    let shrinking: Vec<Row> = two_keys().into_iter().map(|row| Row { duration: 1_000 - row.duration, ..row }).collect();
    for (name, rows) in [
        ("whole", two_keys()),
        ("first lost", without(&[0, 6])),
        ("all but an end lost", without(&[0, 1, 2, 3, 4, 6, 7, 8, 10, 11])),
        ("ends lost", without(&[3, 4, 5, 9, 10, 11])),
        ("one end of three", without(&[3, 4, 9, 11])),
        ("every packet doubled", doubled),
        ("pairs swapped", swapped),
        ("no marker", unmarked),
        ("nothing but markers", marked),
        ("duration 0", empty),
        ("duration decreasing", shrinking),
    ] {
        assert_eq!(keys(&rows, None)?, "55", "{name}");
    }
    Ok(())
}

#[test]
fn a_payload_type_that_a_re_invite_changes_loses_no_key_and_doubles_none() -> TestResult {
    // Before the first key, in its middle, between the keys, in the second.
    for (when, first_new) in [(0, 0), (30, 2), (150, 6), (250, 9)] {
        let rows: Vec<Row> = two_keys()
            .into_iter()
            .enumerate()
            .map(|(n, row)| Row { payload_type: if n >= first_new { 96 } else { EVENT_PT }, ..row })
            .collect();
        assert_eq!(keys(&rows, Some((when, 96)))?, "55", "after {when} ms");
    }
    Ok(())
}

#[test]
fn a_key_across_a_change_of_ssrc_is_one_and_another_behind_it_is_another() -> TestResult {
    for first_new in [2, 3, 6] {
        let rows: Vec<Row> = two_keys()
            .into_iter()
            .enumerate()
            .map(|(n, row)| if n >= first_new { Row { ssrc: 8, sequence: 40_000 + n as u16, ..row } } else { row })
            .collect();
        assert_eq!(keys(&rows, None)?, "55", "from packet {first_new} on");
    }
    Ok(())
}

#[test]
fn a_very_long_key_that_fills_segments_is_one() -> TestResult {
    let rows: Vec<Row> = (1..=600_u32)
        .map(|n| {
            let (ticks, segment) = (n * 160, (n * 160 - 1) / 65_535);
            let duration = (ticks - segment * 65_535) as u16;
            let (ms, sequence, timestamp) = (u64::from(n) * 20, n as u16, 8_000 + segment * 65_535);
            let (marker, is_end, payload_type) = (n == 1, n == 600, EVENT_PT);
            Row { ms, ssrc: 7, sequence, timestamp, payload_type, marker, key: '#', is_end, duration }
        })
        .collect();
    assert_eq!(keys(&rows, None)?, "#");
    Ok(())
}
