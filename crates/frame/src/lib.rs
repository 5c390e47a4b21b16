//! Audio as frames over a WebSocket, for networks that let neither UDP nor ICE over TCP pass: one binary message is one frame.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-------------+-------------------------------+---------------+
//! |M|     kind    |        sequence number        |   timestamp   :
//! +-+-------------+-------------------------------+---------------+
//! :              timestamp                        |   payload …   :
//! +-----------------------------------------------+---------------+
//! ```
//!
//! That is bytes 1 to 7 of an RTP header (RFC 3550 section 5.1), with the payload types of RFC 3551 as kinds. Version, padding and CSRC
//! say nothing here, and an SSRC need not tell apart what comes over one socket. The transport loses nothing; what either side leaves out
//! because the network does not keep up shows as a gap of the sequence numbers, and is concealed as a lost packet is.
//!
//! Between signal-server and a gateway on another machine the frames of all calls share a socket: [`write_addressed`] puts the call's id before the frame.
//!
//! Deliberately not here: codecs, jitter, sockets; and keys, which go as messages. `no_std`, for the engine reads and writes frames in the browser.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 7;

/// The longest payload: the largest Opus frame (RFC 6716 section 3.4), which is more than 120 ms of G.711 (960 bytes).
pub const MAX_PAYLOAD_BYTES: usize = 1275;

/// The longest frame.
pub const MAX_FRAME_BYTES: usize = HEADER_BYTES + MAX_PAYLOAD_BYTES;

/// The longest id of a call that stands before a frame; a ULID has 26 characters.
pub const MAX_CALL_BYTES: usize = 64;

/// The longest message between signal-server and gateway: the id's length, the id, the frame.
pub const MAX_ADDRESSED_BYTES: usize = 1 + MAX_CALL_BYTES + MAX_FRAME_BYTES;

const MARKER: u8 = 0x80;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// G.711 μ-law at 8 kHz, a byte a sample.
    Pcmu,
    /// G.711 A-law at 8 kHz, a byte a sample.
    Pcma,
    /// One Opus packet (RFC 6716).
    Opus,
}

impl Kind {
    /// Its number: the static payload type of RFC 3551 table 4, or for Opus the dynamic one that browsers use.
    pub const fn number(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::Opus => 111,
        }
    }

    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            111 => Some(Self::Opus),
            _ => None,
        }
    }

    /// How many ticks of the timestamp make a second, in Hz: 8,000 for G.711, 48,000 for Opus at any rate (RFC 7587 section 4.1).
    pub const fn clock(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::Opus => 48_000,
        }
    }
}

/// One piece of audio, usually of 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// The first frame after silence that was not sent.
    pub marker: bool,
    /// Counts up by one a frame, whatever its kind.
    pub sequence: u16,
    /// Of the first sample, in ticks of [`Kind::clock`].
    pub timestamp: u32,
    /// 1 to [`MAX_PAYLOAD_BYTES`] bytes.
    pub payload: &'a [u8],
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not longer than a header, or longer than [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// The kind is none of this version's. A newer peer may send such: ignore the frame.
    #[error("kind {0} of a frame is unknown")]
    Kind(u8),
    /// The id before the frame is empty, too long, cut off or no UTF-8.
    #[error("no call's id stands before the frame")]
    Call,
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// [`FrameError::Length`] and [`FrameError::Kind`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        if bytes.len() > MAX_FRAME_BYTES {
            return Err(FrameError::Length(bytes.len()));
        }
        let [first, s0, s1, t0, t1, t2, t3, payload @ ..] = bytes else {
            return Err(FrameError::Length(bytes.len()));
        };
        if payload.is_empty() {
            return Err(FrameError::Length(bytes.len()));
        }
        let number = first & !MARKER;
        Ok(Self {
            kind: Kind::from_number(number).ok_or(FrameError::Kind(number))?,
            marker: first & MARKER != 0,
            sequence: u16::from_be_bytes([*s0, *s1]),
            timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
            payload,
        })
    }

    /// Writes the frame to the beginning of `out`; returns its length, 0 when it does not fit or the payload has a length that none may have.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let length = HEADER_BYTES + self.payload.len();
        let (true, Some(out)) = (length > HEADER_BYTES && length <= MAX_FRAME_BYTES, out.get_mut(..length)) else {
            return 0;
        };
        let Some((header, payload)) = out.split_first_chunk_mut::<HEADER_BYTES>() else { return 0 };
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        *header = [self.kind.number() | if self.marker { MARKER } else { 0 }, s0, s1, t0, t1, t2, t3];
        payload.copy_from_slice(self.payload);
        length
    }
}

/// Writes a frame's bytes behind the id of its call, as they pass between signal-server and gateway; returns the length, 0 when an id or
/// a frame has a length that none may have, or does not fit.
pub fn write_addressed(call: &str, frame: &[u8], out: &mut [u8]) -> usize {
    let length = 1 + call.len() + frame.len();
    let is_sound = (1..=MAX_CALL_BYTES).contains(&call.len()) && (1..=MAX_FRAME_BYTES).contains(&frame.len());
    let (true, Some(out)) = (is_sound, out.get_mut(..length)) else { return 0 };
    let Some((first, rest)) = out.split_first_mut() else { return 0 };
    // At most MAX_CALL_BYTES.
    *first = call.len() as u8;
    let (id, body) = rest.split_at_mut(call.len());
    id.copy_from_slice(call.as_bytes());
    body.copy_from_slice(frame);
    length
}

/// Reads what [`write_addressed`] wrote: the call's id and the frame's bytes, which are not looked at.
///
/// # Errors
/// [`FrameError::Call`], and [`FrameError::Length`] where no frame follows or one that is too long.
pub fn read_addressed(bytes: &[u8]) -> Result<(&str, &[u8]), FrameError> {
    let (&length, rest) = bytes.split_first().ok_or(FrameError::Call)?;
    let (id, frame) = rest.split_at_checked(usize::from(length)).ok_or(FrameError::Call)?;
    let id = core::str::from_utf8(id).ok().filter(|id| (1..=MAX_CALL_BYTES).contains(&id.len()));
    let id = id.ok_or(FrameError::Call)?;
    if (1..=MAX_FRAME_BYTES).contains(&frame.len()) { Ok((id, frame)) } else { Err(FrameError::Length(frame.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const KINDS: [Kind; 3] = [Kind::Pcmu, Kind::Pcma, Kind::Opus];

    fn written(frame: &Frame<'_>) -> Vec<u8> {
        let mut out = [0; MAX_FRAME_BYTES];
        let length = frame.write(&mut out);
        out.get(..length).map(<[u8]>::to_vec).unwrap_or_default()
    }

    #[test]
    fn a_frame_is_the_end_of_an_rtp_header_and_the_payload() {
        let frame =
            Frame { kind: Kind::Pcma, marker: true, sequence: 0x1234, timestamp: 0x89AB_CDEF, payload: &[0xD5, 0x55] };
        assert_eq!(written(&frame), [0x88, 0x12, 0x34, 0x89, 0xAB, 0xCD, 0xEF, 0xD5, 0x55]);
        assert_eq!(
            Frame::read(&[111, 0, 1, 0, 0, 0, 2, 9]).map(|frame| (frame.kind, frame.marker)),
            Ok((Kind::Opus, false))
        );
    }

    #[test]
    fn frames_of_other_lengths_and_kinds_are_refused() {
        let of = |length| Frame { kind: Kind::Pcmu, marker: false, sequence: 0, timestamp: 0, payload: length };
        let long = vec![0; MAX_PAYLOAD_BYTES + 1];
        assert_eq!(written(&of(&[])), [0_u8; 0]);
        assert_eq!(written(&of(&long)), [0_u8; 0]);
        assert_eq!(of(&[1, 2]).write(&mut [0; 8]), 0, "no room");
        assert_eq!(Frame::read(&[0; HEADER_BYTES]), Err(FrameError::Length(HEADER_BYTES)));
        assert_eq!(Frame::read(&[0; MAX_FRAME_BYTES + 1]), Err(FrameError::Length(MAX_FRAME_BYTES + 1)));
        assert_eq!(Frame::read(&[0x80 | 9, 0, 0, 0, 0, 0, 0, 1]), Err(FrameError::Kind(9)));
    }

    #[test]
    fn an_address_is_refused_unless_it_names_a_call_and_carries_a_frame() {
        let mut out = [0; MAX_ADDRESSED_BYTES];
        let long = "x".repeat(MAX_CALL_BYTES + 1);
        assert_eq!(write_addressed("", &[1], &mut out), 0);
        assert_eq!(write_addressed(&long, &[1], &mut out), 0);
        assert_eq!(write_addressed("c", &[], &mut out), 0);
        assert_eq!(write_addressed("c", &[1], &mut [0; 2]), 0);
        for (bytes, error) in [
            (&[][..], FrameError::Call),
            (&[0, 1, 2][..], FrameError::Call),
            (&[3, b'a', b'b'][..], FrameError::Call),
            (&[1, 0xFF, 2][..], FrameError::Call),
            (&[1, b'a'][..], FrameError::Length(0)),
        ] {
            assert_eq!(read_addressed(bytes), Err(error), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            kind in prop::sample::select(&KINDS[..]),
            marker: bool,
            sequence: u16,
            timestamp: u32,
            payload in prop::collection::vec(any::<u8>(), 1..=MAX_PAYLOAD_BYTES),
            call in "[0-9A-Z]{1,64}",
        ) {
            let frame = Frame { kind, marker, sequence, timestamp, payload: &payload };
            let bytes = written(&frame);
            prop_assert_eq!(Frame::read(&bytes), Ok(frame));
            let mut out = [0; MAX_ADDRESSED_BYTES];
            let length = write_addressed(&call, &bytes, &mut out);
            prop_assert_eq!(read_addressed(out.get(..length).unwrap_or_default()), Ok((call.as_str(), bytes.as_slice())));
        }

        #[test]
        fn what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..1400)) {
            if let Ok(frame) = Frame::read(&bytes) {
                prop_assert_eq!(written(&frame), bytes);
            }
        }
    }
}
