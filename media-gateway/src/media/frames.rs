//! The visitor's audio as [`frame`]s over a WebSocket, while WebRTC does not pass: what comes is made packets of the visitor, what goes is
//! numbered and written. The WebRTC leg is kept beside it and goes on trying.
//!
//! Deliberately not here: the WebSocket, which is the signal-server's, and jitter.

use dsp::g711::Law;
use frame::{Frame, FrameError, Kind, MAX_FRAME_BYTES};
use protocol::visitor::FrameCodec;

use super::transcode::{Coded, Coding};
use super::webrtc::{VisitorPacket, VisitorPayload};
use crate::sip::sdp::Codec;

/// Frames have no SSRC. Were a browser's the same, its WebRTC stream would be taken for one with the frames, and for the length of a packet.
const SSRC: u32 = u32::from_be_bytes(*b"RLFR");

/// The state of a call whose audio goes as frames.
#[derive(Debug)]
pub(crate) struct FramePath {
    /// The next sequence number of the WebRTC leg, for the time when that is used again.
    pub webrtc_sequence: u64,
}

/// Makes a packet of the visitor of a frame's bytes.
///
/// # Errors
/// [`FrameError`] when they are no frame.
pub(crate) fn read(bytes: &[u8]) -> Result<VisitorPacket, FrameError> {
    let frame = Frame::read(bytes)?;
    let kind = match frame.kind {
        Kind::Pcmu => VisitorPayload::G711(Law::Mu),
        Kind::Pcma => VisitorPayload::G711(Law::A),
        Kind::Opus => VisitorPayload::Opus,
    };
    Ok(VisitorPacket {
        kind,
        sequence: u64::from(frame.sequence),
        timestamp: frame.timestamp,
        marker: frame.marker,
        ssrc: SSRC,
        payload: frame.payload.into(),
    })
}

/// Makes a frame of what the bridge has coded; `None` for what is too long to be one.
pub(crate) fn write(coded: &Coded<'_>) -> Option<Vec<u8>> {
    let kind = match coded.coding {
        Coding::Opus => Kind::Opus,
        Coding::G711(Law::Mu) => Kind::Pcmu,
        Coding::G711(Law::A) => Kind::Pcma,
    };
    // Its low bits: a number that is left out is a loss here as it is in RTP.
    let sequence = coded.sequence as u16;
    let Coded { marker, timestamp, payload, .. } = *coded;
    let mut bytes = vec![0; MAX_FRAME_BYTES];
    let length = Frame { kind, marker, sequence, timestamp, payload }.write(&mut bytes);
    bytes.truncate(length);
    (length > 0).then_some(bytes)
}

/// What the browser's wish means for a far end that talks `law`: G.711 is not transcoded.
pub(crate) fn coding(codec: FrameCodec, law: Option<Codec>) -> Coding {
    match (codec, law) {
        (FrameCodec::Opus, _) => Coding::Opus,
        (FrameCodec::G711, Some(Codec::Pcma)) => Coding::G711(Law::A),
        (FrameCodec::G711, Some(Codec::Pcmu) | None) => Coding::G711(Law::Mu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_frame_is_read_as_the_visitors_packet() {
        let coded =
            Coded { coding: Coding::G711(Law::A), sequence: 0x2_0001, timestamp: 7, marker: true, payload: &[1, 2] };
        let packet = write(&coded).and_then(|bytes| read(&bytes).ok());
        let seen = packet.map(|it| (it.kind, it.sequence, it.timestamp, it.marker, it.payload.to_vec()));
        assert_eq!(seen, Some((VisitorPayload::G711(Law::A), 1, 7, true, vec![1, 2])));
    }

    #[test]
    fn g711_follows_the_far_ends_law() {
        assert_eq!(coding(FrameCodec::G711, Some(Codec::Pcma)), Coding::G711(Law::A));
        assert_eq!(coding(FrameCodec::G711, None), Coding::G711(Law::Mu));
        assert_eq!(coding(FrameCodec::Opus, Some(Codec::Pcma)), Coding::Opus);
    }
}
