//! What the signal-server and a media gateway say to each other: JSON texts over one WebSocket, or values over a channel
//! when both live in one process. The signal-server commands, the gateway reports; neither waits for a reply in line.
//!
//! A call on a gateway has at most two legs: the visitor's (WebRTC) and the far end's (SIP). Where no WebRTC passes, the
//! visitor's audio goes as [`frame`]s: binary messages with the call's id before each ([`frame::write_addressed`]), or
//! values over a channel.
//!
//! Either side may lose the other for a while and calls go on. When the connection is back, `registered` tells how each call
//! stands, and the events follow that came about meanwhile, oldest first: what `registered` says already, they repeat.

use crate::visitor::{FrameCodec, Quality};
use crate::{CallId, GatewayId, TrunkName};
use serde::{Deserialize, Serialize};

pub use crate::visitor::Transport;

/// The version in [`Event::Registered`].
pub const VERSION: u32 = 2;

/// What the signal-server tells a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Make the visitor's leg from the browser's offer. Answered by [`Event::Answer`] or [`Event::Failed`]. If the call
    /// has such a leg, the new one takes its place; the far end's leg is not touched.
    Offer {
        /// The call.
        call: CallId,
        /// The browser's SDP offer.
        sdp: String,
        /// What the audio may cost the visitor.
        #[serde(default = "standard")]
        quality: Quality,
    },
    /// Make a leg of a check ([`check`](crate::check)) from the browser's offer: its audio goes back as it comes, nobody is
    /// ever rung. Answered by [`Event::Answer`] or [`Event::Failed`]. It ends with [`Command::Release`], at the latest by itself
    /// after three times [`MAX_SECONDS`](crate::check::MAX_SECONDS).
    Echo {
        /// The leg, named like a call.
        call: CallId,
        /// The browser's SDP offer.
        sdp: String,
    },
    /// A trickled ICE candidate of the browser. Unusable ones are ignored.
    Candidate {
        /// The call.
        call: CallId,
        /// The candidate attribute's value; empty at the end of candidates.
        candidate: String,
    },
    /// Ring the far end.
    Dial {
        /// The call.
        call: CallId,
        /// Over which trunk.
        trunk: TrunkName,
        /// The user part (`1001`, `+43123456`) or a whole SIP URI; the trunk's host completes a bare user part.
        address: String,
        /// What the far end's display shall show as the caller.
        caller_name: Option<String>,
        /// Extra SIP headers (`X-Ringlet-…`), as the merchant configured them.
        headers: Vec<(String, String)>,
    },
    /// The visitor's page is gone and may come back with a new [`Command::Offer`]: the far end hears a tone, then silence.
    /// A far end that is being rung is told so when it answers.
    VisitorAway {
        /// The call.
        call: CallId,
    },
    /// Make a leg ahead of the page that will need it: the visitor's next, whose certificate has this fingerprint. Answered by
    /// [`Event::Prepared`]; takes the place of one that was prepared before. While the visitor is away, it is heard as soon as the
    /// page has connected, and an offer under that certificate is answered with it. Without a visitor's leg, nothing happens.
    Prepare {
        /// The call.
        call: CallId,
        /// As in SDP (RFC 8122 section 5).
        fingerprint: String,
    },
    /// The visitor's audio goes as [`frame`]s from now on, or over WebRTC again. Answered by [`Event::MediaUp`], or by
    /// [`Event::MediaDown`] when the WebRTC path does not work. Without a visitor's leg, nothing happens.
    Frames {
        /// The call.
        call: CallId,
        /// What the browser wants to hear; `None`: WebRTC.
        codec: Option<FrameCodec>,
    },
    /// The visitor pressed keys, which are sent on as if they had come with the audio.
    Press {
        /// The call.
        call: CallId,
        /// Each of `0`–`9`, `*`, `#`, `A`–`D`. Others are ignored.
        digits: String,
    },
    /// End both legs, whatever their state: CANCEL, BYE or nothing. Answered by [`Event::Closed`]; unknown calls too.
    /// While the visitor is away, the far end hears that nobody will come before its BYE.
    Release {
        /// The call.
        call: CallId,
        /// Goes into the SIP Reason header (RFC 3326).
        why: String,
    },
    /// Play a short tone to the far end, over what it hears. Unknown calls are ignored.
    Tone {
        /// The call.
        call: CallId,
        /// Which.
        tone: Tone,
    },
}

/// What the far end is told by a tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// What was keyed is done.
    Done,
    /// It cannot be done.
    Refused,
    /// The shopper's connection is tested: what is done, and as many short beeps as it scores, 1 to [`MAX_SCORE`](crate::settings::MAX_SCORE).
    Scored(u32),
}

/// What a signal-server means that knows no [`Quality`].
const fn standard() -> Quality {
    Quality::Standard
}

/// What a gateway reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first message after the connection was made.
    Registered {
        /// [`VERSION`].
        version: u32,
        /// The gateway's name.
        gateway: GatewayId,
        /// How many calls it takes at the same time.
        capacity: u32,
        /// The trunks it has.
        trunks: Vec<TrunkName>,
        /// The calls it carries, for a signal-server that has just started or was out of reach.
        calls: Vec<Carried>,
    },
    /// The visitor's leg exists.
    Answer {
        /// The call.
        call: CallId,
        /// The gateway's SDP answer, its candidates inside.
        sdp: String,
    },
    /// The leg of [`Command::Prepare`] exists.
    Prepared {
        /// The call.
        call: CallId,
        /// Of which certificate.
        fingerprint: String,
        /// The SDP answer to an offer that the page has not made yet.
        sdp: String,
    },
    /// ICE and DTLS are done: audio can flow to and from the browser.
    MediaUp {
        /// The call.
        call: CallId,
    },
    /// The path to the browser broke, or never came about.
    MediaDown {
        /// The call.
        call: CallId,
        /// For the log.
        detail: String,
    },
    /// The far end rings (180); the visitor hears a local ringback.
    Ringing {
        /// The call.
        call: CallId,
    },
    /// The far end sends audio before the answer (183 with SDP); the visitor hears it.
    EarlyMedia {
        /// The call.
        call: CallId,
    },
    /// The far end has answered (2xx), the legs are bridged.
    Answered {
        /// The call.
        call: CallId,
    },
    /// The far end answered with a final failure.
    Rejected {
        /// The call.
        call: CallId,
        /// The SIP status, 300 to 699.
        status: u16,
        /// Its reason phrase.
        phrase: String,
    },
    /// The trunk could not be reached: transport error or RFC 3261 timer B.
    TrunkUnreachable {
        /// The call.
        call: CallId,
        /// For the log.
        detail: String,
    },
    /// The far end hung up (BYE), or its dialog broke.
    FarEndHungUp {
        /// The call.
        call: CallId,
    },
    /// Somebody pressed a key. Each key is reported once, when it ends or after its first second.
    Digit {
        /// The call.
        call: CallId,
        /// Who pressed it.
        from: Side,
        /// One of `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long it was held, in milliseconds.
        duration_ms: u32,
    },
    /// A command could not be carried out; the call has no further use and waits for [`Command::Release`].
    Failed {
        /// The call.
        call: CallId,
        /// What is the matter.
        failure: Failure,
        /// For the log.
        detail: String,
    },
    /// Nothing of the call is left: no leg, port or timer. The last event of a call.
    Closed {
        /// The call.
        call: CallId,
        /// What was counted.
        stats: CallStats,
    },
    /// What carries the audio to and from the browser: said after [`Event::MediaUp`], and again whenever it has moved.
    Transport {
        /// The call.
        call: CallId,
        /// What carries it now.
        transport: Transport,
    },
}

/// A [`frame`] with the call whose visitor's audio it is, on its way between signal-server and gateway in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFrame {
    /// The call.
    pub call: CallId,
    /// What [`Frame::read`](crate::frame::Frame::read) reads.
    pub bytes: Vec<u8>,
}

/// How a call stands that a gateway carries when it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The call.
    pub call: CallId,
    /// Its leg on the trunk.
    pub far_end: TrunkLeg,
    /// Audio can flow to and from the browser.
    pub media_up: bool,
    /// It was told [`Command::VisitorAway`] and has had no offer since.
    pub away: bool,
}

/// How far the leg on the trunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkLeg {
    /// Never dialled.
    Idle,
    /// The INVITE has no answer but perhaps 100.
    Dialing,
    /// 180.
    Ringing,
    /// 183 with SDP.
    EarlyMedia,
    /// 2xx.
    Answered,
    /// It was there and is gone; the event that tells why follows.
    Gone,
}

/// The two ends of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The shopper's browser.
    Visitor,
    /// The far end on the trunk.
    Agent,
}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The offer is no SDP, or has no audio that we can talk.
    OfferUnusable,
    /// The far end's SDP has no codec that we can talk, or no usable address.
    AnswerUnusable,
    /// No leg or port is free.
    Full,
    /// No such trunk, or the address makes no SIP URI.
    Undialable,
    /// The far end had answered, and then sent neither RTP nor RTCP for too long.
    FarEndSilent,
}

/// Counted over a call's life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallStats {
    /// RTP packets from the browser.
    pub visitor_packets: u64,
    /// RTP packets from the far end.
    pub agent_packets: u64,
    /// RTP packets of the browser that never came, by sequence numbers.
    pub visitor_lost: u64,
    /// RTP packets of the far end that never came, by sequence numbers.
    pub agent_lost: u64,
    /// The Call-ID of the SIP dialog, when there was one.
    pub sip_call_id: Option<String>,
}

impl Event {
    /// The call that the event is about; `None` for [`Event::Registered`].
    pub fn call(&self) -> Option<&CallId> {
        match self {
            Self::Registered { .. } => None,
            Self::Answer { call, .. }
            | Self::Prepared { call, .. }
            | Self::MediaUp { call }
            | Self::MediaDown { call, .. }
            | Self::Ringing { call }
            | Self::EarlyMedia { call }
            | Self::Answered { call }
            | Self::Rejected { call, .. }
            | Self::TrunkUnreachable { call, .. }
            | Self::FarEndHungUp { call }
            | Self::Digit { call, .. }
            | Self::Failed { call, .. }
            | Self::Closed { call, .. }
            | Self::Transport { call, .. } => Some(call),
        }
    }
}

impl Command {
    /// The call that the command is about.
    pub fn call(&self) -> &CallId {
        match self {
            Self::Offer { call, .. }
            | Self::Echo { call, .. }
            | Self::Candidate { call, .. }
            | Self::Dial { call, .. }
            | Self::VisitorAway { call }
            | Self::Prepare { call, .. }
            | Self::Frames { call, .. }
            | Self::Press { call, .. }
            | Self::Release { call, .. }
            | Self::Tone { call, .. } => call,
        }
    }
}
