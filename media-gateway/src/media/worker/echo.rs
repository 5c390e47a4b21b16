//! Checks' legs: an ordinary leg of a visitor, told to send back what comes.

use std::time::Instant;

use protocol::CallId;
use protocol::visitor::Quality;
use tracing::warn;

use super::Worker;

impl Worker {
    /// Makes the leg from the browser's offer.
    pub(super) fn echo(&mut self, id: &CallId, sdp: &str, now: Instant) {
        if self.by_id.contains_key(id) {
            return warn!(call = %id, "a check under the name of a call is ignored");
        }
        self.offer(id, sdp, Quality::Standard, now);
        // Before anything can have come: ICE and DTLS have yet to begin.
        if let Some(call) = self.by_id.get(id).and_then(|slot| self.calls.get_mut(slot)) {
            call.reflect();
        }
    }
}
