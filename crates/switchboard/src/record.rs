//! What a call's record is told. The shell writes it to the store; nothing here knows how.

use crate::{Epoch, Plan};
use protocol::GatewayId;
use protocol::error::ErrorCode;
use protocol::gateway::{CallStats, Transport};
use protocol::visitor::EndReason;

/// One change of a call's record, in the order in which they can come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The visitor arrived. Always first, also for a call that is refused at once.
    Started {
        /// The call's plan.
        plan: Box<Plan>,
    },
    /// A gateway carries the call: when its page has made an offer, and under another name when another process has taken over.
    Carried {
        /// Which.
        gateway: GatewayId,
    },
    /// The gateway was told to ring the far end. At most once.
    Dialed,
    /// The far end rings or sends early media: the first sign of it. At most once.
    Ringing,
    /// Somebody answered. At most once.
    Answered,
    /// The call is over and nothing of it is left. Always last.
    Ended(Ending),
    /// The call has `resume` tokens: a server that is restarted goes on counting from here.
    Tokens {
        /// The newest.
        epoch: Epoch,
        /// The oldest that counts.
        oldest: Epoch,
    },
    /// The call's pages have these certificates and no others: a server that is restarted gives it to nobody else.
    Certificates {
        /// Their fingerprints, as in SDP (RFC 8122 section 5), the newest last.
        known: Vec<String>,
    },
    /// What carries the audio to and from the browser: when the path is first up, and whenever the audio has moved.
    Transport {
        /// Another than before.
        transport: Transport,
    },
}

/// Why and how a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// The error that the shopper was shown; the visitor's own where the browser gave up.
    pub code: Option<ErrorCode>,
    /// The final SIP status, when the far end sent one (300 to 699).
    pub sip_status: Option<u16>,
    /// For support: the reason phrase, the gateway's or the browser's words. At most
    /// [`MAX_DETAIL_CHARS`](crate::MAX_DETAIL_CHARS).
    pub detail: Option<String>,
    /// What the gateway counted; `None` when none carried the call or it never confirmed the release.
    pub stats: Option<CallStats>,
}

impl Ending {
    /// One of which no more is known than why.
    pub(crate) fn of(reason: EndReason) -> Self {
        Self { reason, code: reason.code(), sip_status: None, detail: None, stats: None }
    }
}
