//! What the page that has the call has said so far. Not here: what follows from it.

use protocol::visitor::{FrameCodec, Quality};

/// What a page has said. The next page of the same call begins anew.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The shopper has allowed the microphone.
    pub(crate) ready: bool,
    /// Offers that have gone to the gateway: the first, and one for each other network (RFC 8839 section 4.4.1).
    pub(crate) offers: usize,
    /// Audio goes as frames over the page's socket.
    pub(crate) frames: Option<FrameCodec>,
    /// How many candidates have come for the latest.
    pub(crate) candidates: usize,
    /// Those that came before the offer, or while no gateway could be told.
    pub(crate) early_candidates: Vec<String>,
    /// Keys for the far end, while no gateway can be told; at most [`MAX_KEYS`](protocol::visitor::MAX_KEYS).
    pub(crate) waiting_keys: String,
    /// The latest offer, while no gateway can be told.
    pub(crate) waiting: Option<(String, Quality)>,
}

impl Said {
    /// What the page must have said of a call that a gateway carries.
    pub(crate) fn of_a_page_that_called(&mut self, dialed: bool) {
        (self.ready, self.offers) = (dialed, 1);
    }
}
