//! What becomes of a call whose gateway is gone, where the merchant wants it placed again.

use super::Model;
use crate::again::MAX_AGAIN;
use protocol::CallId;
use protocol::rest::GatewayLoss;
use protocol::visitor::EndReason;
use std::time::Instant;

impl Model {
    /// The call's gateway knows it no more.
    pub(super) fn close(&mut self, call: &CallId, now: Instant) {
        if self.place_again(call, now) {
            return;
        }
        if let Some(facts) = self.calls.get_mut(call) {
            // What is closed cannot be released any more.
            (facts.gateway, facts.over) = (None, true);
        }
        self.end(call, vec![EndReason::GatewayGone], None, now);
    }

    /// Whether the call begins anew, because its gateway is gone and another has room.
    pub(super) fn place_again(&mut self, call: &CallId, now: Instant) -> bool {
        let gateway = self.calls.get_mut(call).and_then(|facts| facts.gateway.take());
        let has_room = !self.usable(call).is_empty();
        let Some(facts) = self.calls.get_mut(call) else { return false };
        let is_wanted = facts.on_gateway_loss == GatewayLoss::CallAgain && facts.again < MAX_AGAIN;
        if !is_wanted || !has_room || facts.ended.is_some() {
            facts.gateway = gateway;
            return false;
        }
        facts.again += 1;
        // A later page's microphone is asked for anew.
        facts.ready = facts.keyed.page_ready;
        (facts.arrived, facts.placed) = (now, Some(now));
        (facts.dialed, facts.rang, facts.early, facts.answered) = (None, None, false, None);
        (facts.heard, facts.unheard, facts.broken, facts.judged) = (false, None, None, false);
        (facts.offered, facts.page_offered, facts.unanswered, facts.frames) = (false, false, 0, None);
        facts.keyed.end();
        facts.unreached = facts.unreached.map(|_| (now, self.config.visitor_grace));
        if facts.unreached.is_some() && facts.contender.is_some() {
            self.leave(call, now);
        }
        true
    }
}
