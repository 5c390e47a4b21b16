//! The four bytes of an event (RFC 4733, section 2.3). Nothing here knows of time.

use thiserror::Error;

/// One event's report, at the time of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The event code; 0–15 are digits ([`crate::Digit::from_event`]).
    pub event: u8,
    /// The E bit: the event is over, and `duration` is final.
    pub end: bool,
    /// −dBm0, 0 to 63.
    pub volume: u8,
    /// Ticks of the RTP clock since the packet's timestamp.
    pub duration: u16,
}

impl Payload {
    /// Bytes on the wire.
    pub const LENGTH: usize = 4;

    /// Reads the first event of an RTP payload; what follows is left alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        let [event, flags, high, low, ..] = *bytes else {
            return Err(PayloadError::Short { length: bytes.len() });
        };
        // The R bit is reserved: a receiver ignores it.
        Ok(Self { event, end: flags & 0x80 != 0, volume: flags & 0x3F, duration: u16::from_be_bytes([high, low]) })
    }

    /// The bytes; a volume beyond 63 becomes 63.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | self.volume.min(0x3F), high, low]
    }
}

/// Why a payload is not a telephone event.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PayloadError {
    /// Fewer bytes than one event takes.
    #[error("telephone-event payload of {length} bytes, an event takes 4")]
    Short {
        /// Bytes there are.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bits_lie_where_the_rfc_puts_them() {
        let parsed = Payload::parse(&[11, 0x8A, 0x03, 0x20, 0xFF]);
        assert_eq!(parsed, Ok(Payload { event: 11, end: true, volume: 10, duration: 800 }));
        assert_eq!(Payload::parse(&[1, 0x40, 0, 0]), Ok(Payload { event: 1, end: false, volume: 0, duration: 0 }));
        assert_eq!(Payload::parse(&[1, 2, 3]), Err(PayloadError::Short { length: 3 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(event: u8, end: bool, volume in 0u8..64, duration: u16) {
            let payload = Payload { event, end, volume, duration };
            prop_assert_eq!(Payload::parse(&payload.to_bytes()), Ok(payload));
        }
    }
}
