//! Bodies of the fuzz targets: ordinary functions over bytes that panic when an invariant breaks. libFuzzer calls them, and so does
//! `cargo test`, over the committed corpus.

use dsp::{
    SampleRate,
    dtmf::{Detector, Event},
    telephone_event::{Output, Packet, Receiver},
};
use protocol::rfc4571::{Deframer, FrameTooLong, HEADER, MAX_FRAME, header};

/// Twelve bytes a packet: SSRC, marker, time passed, timestamp, payload. Keys start and end in balance, whatever comes.
pub fn telephone_event(data: &[u8]) {
    let (mut receiver, mut now, mut open) = (Receiver::new(SampleRate::HZ_8000), 0u64, 0i32);
    for bytes in data.chunks(12) {
        let [flags, passed_high, passed_low, t0, t1, t2, t3, payload @ ..] = bytes else { break };
        now += u64::from(u16::from_be_bytes([*passed_high, *passed_low]));
        let packet = Packet {
            ssrc: u32::from(flags & 3),
            timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
            marker: flags & 0x80 != 0,
            payload,
        };
        assert_eq!(receiver.handle_packet(packet, now).is_err(), payload.len() < 4);
        balance(&mut receiver, &mut open);
        assert!((0..=1).contains(&open), "{open} keys are down");
        assert_eq!(receiver.poll_timeout().is_some(), open == 1);
    }
    receiver.handle_timeout(u64::MAX);
    balance(&mut receiver, &mut open);
    assert_eq!(open, 0, "a key stays down for ever");
}

fn balance(receiver: &mut Receiver, open: &mut i32) {
    while let Some(output) = receiver.poll_output() {
        *open += match output {
            Output::Start { .. } => 1,
            Output::End { .. } => -1,
        };
    }
}

/// Raw 32-bit floats at a rate of the first byte's choice: any bit pattern, in two cuts that must agree; after silence and a while, no
/// digit may hang.
pub fn dtmf(data: &[u8]) {
    let [choice, data @ ..] = data else { return };
    let rate = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_44100, SampleRate::HZ_48000]
        [usize::from(choice & 3)];
    let mut samples: Vec<f32> =
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    samples.resize(samples.len() + rate.samples(100) as usize, 0.0);
    let cut = |length: usize| {
        let (mut events, mut detector) = (Vec::new(), Detector::new(rate));
        samples.chunks(length).for_each(|block| detector.process(block, |event| events.push(event)));
        assert_eq!(detector.current(), None, "a digit hangs");
        events
    };
    let events = cut(128);
    assert_eq!(events, cut(1 + usize::from(choice >> 2)));
    for pair in events.chunks(2) {
        assert!(
            matches!(pair, [Event::Start { digit, .. }, Event::End { digit: ended, .. }] if digit == ended),
            "{pair:?}"
        );
    }
}

/// What is read of a message between signal-server and gateway, and of the frame inside, is written the same.
pub fn frame(data: &[u8]) {
    let mut out = [0; frame::MAX_ADDRESSED_BYTES];
    if let Ok(frame) = frame::Frame::read(data) {
        let length = frame.write(&mut out);
        assert_eq!(&out[..length], data);
    }
    if let Ok((call, bytes)) = frame::read_addressed(data) {
        let length = frame::write_addressed(call, bytes, &mut out);
        assert_eq!(&out[..length], data);
    }
}

/// A stream of frames, in pieces whose length the first byte chooses and in one: both must be cut alike, print back to what was read,
/// and stop at the same frame that is too long.
pub fn rfc4571(data: &[u8]) {
    let [choice, stream @ ..] = data else { return };
    let cut = |piece: usize| {
        let (mut deframer, mut rest, mut frames) = (Deframer::default(), stream, Vec::new());
        while !rest.is_empty() {
            let room = deframer.room();
            assert!(!room.is_empty(), "no room, and no frame");
            let (now, later) = rest.split_at(piece.min(room.len()).min(rest.len()));
            room[..now.len()].copy_from_slice(now);
            deframer.filled(now.len());
            rest = later;
            loop {
                match deframer.next_frame() {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(too_long) => return (frames, Some(too_long)),
                }
            }
        }
        (frames, None)
    };
    let (frames, error) = cut(usize::MAX);
    assert_eq!((&frames, &error), (&cut(1 + usize::from(*choice)).0, &cut(1 + usize::from(*choice)).1));
    assert!(error.is_none_or(|FrameTooLong(length)| length > MAX_FRAME));
    let printed: Vec<u8> =
        frames.iter().flat_map(|frame| [&header(frame.len()).expect("it was read")[..], frame].concat()).collect();
    // Frames without content are skipped.
    let mut read = stream;
    let mut expected = Vec::new();
    while let Some((length, rest)) = read.split_first_chunk::<HEADER>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(frame) = rest.get(..length).filter(|_| length <= MAX_FRAME) else { break };
        if length > 0 {
            expected.extend_from_slice(&read[..HEADER + frame.len()]);
        }
        read = &rest[length..];
    }
    assert_eq!(printed, expected);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    fn over_corpus(target: &str, body: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut files = 0;
        for entry in fs::read_dir(&folder).expect("the corpus is committed") {
            let bytes = fs::read(entry.expect("a readable folder").path()).expect("a readable file");
            // Every cut of a file is one more input.
            (0..=bytes.len()).step_by(1 + bytes.len() / 64).for_each(|end| body(&bytes[..end]));
            body(&bytes);
            files += 1;
        }
        assert!(files > 0, "{} is empty", folder.display());
    }

    #[test]
    fn telephone_event_holds_over_its_corpus() {
        over_corpus("telephone_event", super::telephone_event);
    }

    #[test]
    fn rfc4571_holds_over_its_corpus() {
        over_corpus("rfc4571", super::rfc4571);
    }

    #[test]
    fn dtmf_holds_over_its_corpus() {
        over_corpus("dtmf", super::dtmf);
    }

    #[test]
    fn frame_holds_over_its_corpus() {
        over_corpus("frame", super::frame);
    }
}
