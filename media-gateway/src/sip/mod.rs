//! The SIP leg: rings trunks, answers what they ask in a call, and tells what happens as [`SipEvent`]s.
//!
//! rsipstack carries transports, parsing and transactions (RFC 3261 sections 17 and 18); dialogs, digest, session timers
//! and everything that decides are here. No other module names rsipstack. Audio is none of this module's business: SDP
//! passes through as text, [`sdp`] knows how to read and write it.

mod client;
mod dialog;
mod digest;
mod dtmf;
mod handle;
mod hop;
mod incoming;
mod outgoing;
mod probe;
pub mod sdp;
mod server;
mod session;
mod shared_port;
mod socket;
mod stack;
mod timer;

pub use handle::SipHandle;
pub use hop::HopError;
pub use probe::{OptionsOutcome, ProbeError};
pub use stack::SipStack;
pub(crate) use stack::{Ports, bind};

use crate::config::{Config, Trunk};
use protocol::{CallId, TrunkName};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What the SIP side is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where SIP arrives, over UDP and TCP on the same port. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address that Via and Contact name instead of the local one.
    pub public_ip: Option<IpAddr>,
    /// The peers that can be rung.
    pub trunks: Vec<Trunk>,
    /// Whether INVITEs from outside become [`SipEvent::Incoming`]; otherwise they get 404.
    pub accept_calls: bool,
    /// How many calls may exist at the same time.
    pub max_calls: usize,
    /// RFC 3261's T1; everything else follows from it (timers B and F are 64·T1).
    pub t1: Duration,
}

/// RFC 3261 section 17.1.1.2.
pub const DEFAULT_T1: Duration = Duration::from_millis(500);

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            listen: config.sip_listen,
            public_ip: config.sip_public_ip,
            trunks: config.trunks.clone(),
            accept_calls: false,
            max_calls: config.capacity as usize,
            t1: DEFAULT_T1,
        }
    }
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Its id; new to the stack.
    pub call: CallId,
    /// Over which trunk.
    pub trunk: TrunkName,
    /// The user part or a whole `sip:` URI.
    pub address: String,
    /// The From display name.
    pub caller_name: Option<String>,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// Our offer.
    pub sdp: String,
}

/// How an SDP offer of the far end is met: with an answer, or with a SIP status such as 488.
pub type OfferReply = Result<String, u16>;

/// What happens on the SIP side. [`SipEvent::Closed`] is the last event of every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipEvent {
    /// The far end rings (180 to 183 without SDP); once, and never after [`SipEvent::Progress`] (RFC 3960 section 3).
    Ringing {
        /// The call.
        call: CallId,
    },
    /// The far end sends audio before the answer. Comes again when its SDP changes.
    Progress {
        /// The call.
        call: CallId,
        /// Its answer to our offer.
        sdp: String,
    },
    /// The far end has answered, and our ACK is out. For a call from outside: our answer was acknowledged.
    Answered {
        /// The call.
        call: CallId,
        /// Its answer to our offer; that of the early media when the 2xx has none; empty when there never was one. For a
        /// call from outside: empty, unless the offer was ours.
        sdp: String,
    },
    /// A final failure, 300 to 699.
    Rejected {
        /// The call.
        call: CallId,
        /// The status.
        status: u16,
        /// The reason phrase.
        phrase: String,
    },
    /// The trunk's name has no address, it refused the connection, or nobody answered the INVITE (timer B).
    Unreachable {
        /// The call.
        call: CallId,
        /// For the log.
        detail: String,
    },
    /// The far end hung up, cancelled, or its dialog broke.
    Bye {
        /// The call.
        call: CallId,
    },
    /// The far end offers something new (re-INVITE, UPDATE): wants [`SipHandle::answer_reinvite`] within 5 s.
    ReInvite {
        /// The call.
        call: CallId,
        /// Its offer; `None` when it wants ours (RFC 3261 section 14.2), and then the reply is an offer.
        sdp: Option<String>,
    },
    /// The answer to the offer that we made in reply to a re-INVITE without one.
    LateAnswer {
        /// The call.
        call: CallId,
        /// Its answer.
        sdp: String,
    },
    /// A key, by INFO (`application/dtmf-relay` or `application/dtmf`).
    Info {
        /// The call.
        call: CallId,
        /// One of `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long it was held, in milliseconds; 250 when the message does not say.
        duration_ms: u32,
    },
    /// Somebody calls us. Wants [`SipHandle::ring`], [`SipHandle::answer`] or [`SipHandle::reject`].
    Incoming {
        /// The id that we gave the call.
        call: CallId,
        /// Who calls: the From header's display name, else its URI.
        from: String,
        /// The user part that was dialled.
        to: String,
        /// The caller's offer; `None` when it wants ours.
        sdp: Option<String>,
    },
    /// Nothing of the call is left.
    Closed {
        /// The call.
        call: CallId,
        /// The Call-ID header of its dialog, when an INVITE was sent or came.
        sip_call_id: Option<String>,
    },
}

/// Why a command is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SipError {
    /// No trunk of that name.
    #[error("there is no trunk named {0:?}")]
    NoSuchTrunk(TrunkName),
    /// The address makes no SIP URI.
    #[error("the address makes no SIP URI")]
    BadAddress,
    /// All calls are taken, or the stack is behind.
    #[error("the SIP side is full")]
    Full,
    /// The stack has ended.
    #[error("the SIP side has ended")]
    Ended,
    /// The port cannot be had.
    #[error("cannot listen for SIP on {address}: {detail}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        detail: String,
    },
}

/// What is alive, for gauges and for tests that nothing is left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SipStats {
    /// Calls that have not come to [`SipEvent::Closed`].
    pub calls: usize,
    /// Transactions that somebody still waits for. Finished ones, which RFC 3261 keeps for 32 s to absorb
    /// retransmissions, do not count.
    pub transactions: usize,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is a failed test")]
#[expect(clippy::wildcard_enum_match_arm, reason = "any other event fails the test")]
mod tests;
