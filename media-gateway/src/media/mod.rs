//! The media plane: one thread that owns every media socket ([`worker`]), one WebRTC leg ([`webrtc`]) and one bridge
//! ([`bridge`]) for each call, and the values through which [`crate::control`] speaks with it.
//!
//! Deliberately not here: SIP, and anything that the signal-server decides.

mod away;
mod bridge;
#[cfg(test)]
mod bridge_tests;
mod budget;
mod call;
mod clock;
mod dtmf;
mod frames;
mod incoming;
mod latch;
mod notice;
mod numbering;
mod outbox;
#[cfg(test)]
pub(crate) mod own_ports;
pub(crate) mod ports;
mod quality;
mod relay;
mod ringback;
mod rtcp;
mod rtp;
mod sequence;
mod silence;
mod tcp;
#[cfg(test)]
mod tests;
mod tones;
mod transcode;
mod webrtc;
mod worker;

#[cfg(test)]
pub(crate) use webrtc::browser;

use protocol::CallId;
use protocol::gateway::{CallStats, Side, Tone, Transport};
use protocol::visitor::{FrameCodec, Quality};

use crate::config::Dtmf;
use crate::once::Way;
use crate::sip::sdp::Remote;

use ports::RtpSockets;
pub(crate) use worker::{FrameSink, MediaHandle, MediaSettings, start};

/// What the media thread is told.
#[derive(Debug)]
pub(crate) enum MediaCommand {
    /// Make the visitor's leg; one that the call has already is replaced. Answered by [`MediaEvent::Answer`] or
    /// [`MediaEvent::OfferUnusable`].
    Offer {
        /// The call.
        call: CallId,
        /// The browser's offer.
        sdp: String,
        /// What the audio may cost the visitor.
        quality: Quality,
    },
    /// Make a leg ahead for the page that will have the certificate with this fingerprint. Answered by [`MediaEvent::Prepared`], if that
    /// is possible.
    Prepare {
        /// The call.
        call: CallId,
        /// As in SDP (RFC 8122 section 5).
        fingerprint: String,
    },
    /// Make a leg whose audio goes back as it comes. Answered like an offer.
    Echo {
        /// The leg, named like a call; new.
        call: CallId,
        /// The browser's offer.
        sdp: String,
    },
    /// The sockets for the far end.
    Attach {
        /// The call.
        call: CallId,
        /// Closed with the call.
        sockets: RtpSockets,
        /// How keys travel on its trunk.
        dtmf: Dtmf,
    },
    /// Something for a call that exists.
    Call {
        /// The call.
        call: CallId,
        /// What.
        order: CallOrder,
    },
    /// End it. Answered by [`MediaEvent::Closed`] if the call is known.
    Close {
        /// The call.
        call: CallId,
    },
    /// A connection that begins like ICE over TCP, which somebody else has accepted and not read from; non-blocking.
    Adopt {
        /// The connection.
        socket: std::net::TcpStream,
    },
    /// Another process is to take this one's place: what it passes on comes this way.
    Strays {
        /// Non-blocking; messages of [`crate::strays`].
        inlet: std::os::unix::net::UnixDatagram,
    },
    /// It has the WebRTC socket and the listener: read them no more.
    LetGo,
    /// End everything, and the thread.
    Shutdown,
}

/// What a call in the media thread is told.
#[derive(Debug)]
pub(crate) enum CallOrder {
    /// A trickled candidate of the browser, as the attribute's value.
    Candidate(String),
    /// The far end rings: play ringback until it is heard.
    Ring,
    /// What offer and answer agreed on with the far end: its side of it.
    Connect(Remote),
    /// The far end has answered: no more ringback.
    Answered,
    /// The visitor's audio goes as frames from now on, or over WebRTC again. Answered by [`MediaEvent::Up`] or
    /// [`MediaEvent::Down`] when that changes anything.
    Frames(Option<FrameCodec>),
    /// The visitor pressed keys.
    Press(String),
    /// The visitor's page is gone: the far end hears a tone, then silence, until another leg's audio comes.
    Away,
    /// Play the tone to the far end, over what it hears.
    Tone(Tone),
    /// Nobody has come back: the far end hears that. Answered by [`MediaEvent::FarewellSaid`].
    Farewell,
}

/// What the media thread reports.
#[derive(Debug)]
pub(crate) enum MediaEvent {
    /// The visitor's leg exists.
    Answer {
        /// The call.
        call: CallId,
        /// Our SDP answer.
        sdp: String,
    },
    /// The leg of [`MediaCommand::Prepare`] exists.
    Prepared {
        /// The call.
        call: CallId,
        /// Of which certificate.
        fingerprint: String,
        /// Our SDP answer to the offer to come.
        sdp: String,
    },
    /// The far end has heard [`CallOrder::Farewell`].
    FarewellSaid {
        /// The call.
        call: CallId,
    },
    /// There is no visitor's leg; the call is unknown to the media thread.
    OfferUnusable {
        /// The call.
        call: CallId,
        /// For the log.
        detail: String,
    },
    /// Audio can flow to and from the browser.
    Up {
        /// The call.
        call: CallId,
    },
    /// What carries the audio to and from the browser: said after [`MediaEvent::Up`], and when it has moved.
    Transport {
        /// The call.
        call: CallId,
        /// What carries it now.
        transport: Transport,
    },
    /// The path to the browser is gone for good.
    Down {
        /// The call.
        call: CallId,
        /// For the log.
        detail: String,
    },
    /// The far end has answered, and since then or since its last packet been silent for too long.
    FarEndSilent {
        /// The call.
        call: CallId,
        /// For how long.
        silence: std::time::Duration,
    },
    /// A key was pressed.
    Digit {
        /// The call.
        call: CallId,
        /// By whom.
        from: Side,
        /// How it came.
        way: Way,
        /// Which.
        digit: char,
        /// For how long, in milliseconds.
        duration_ms: u32,
    },
    /// A key of the far end that was told is up again.
    KeyUp {
        /// The call.
        call: CallId,
        /// How it came.
        way: Way,
        /// Which.
        digit: char,
        /// For how long it was down, in milliseconds.
        duration_ms: u32,
    },
    /// Nothing of the call is left in the media thread; its sockets are closed.
    Closed {
        /// The call.
        call: CallId,
        /// What was counted.
        stats: CallStats,
    },
}
