//! Digits as RTP events (RFC 4733): the payload, who receives it and who sends it. Sans-IO, told the time in ticks of the RTP
//! clock (`telephone-event/8000`, `/48000`). RTP headers, payload types and sockets are the caller's.

mod payload;
mod receiver;
mod sender;

pub use payload::{Payload, PayloadError};
pub use receiver::{Output, Packet, Receiver};
pub use sender::{EventPacket, QueueFull, Sender};

/// The longest duration one packet can tell; longer events go on in segments (RFC 4733, section 2.5.1.3).
pub const LONGEST_SEGMENT: u16 = u16::MAX;
