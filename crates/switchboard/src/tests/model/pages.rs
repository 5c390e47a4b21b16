//! Which page has the call, as the model sees it.

use super::{Facts, Model};
use crate::{Epoch, Page};
use protocol::CallId;
use protocol::visitor::VisitorRequest;
use std::time::{Duration, Instant};

impl Model {
    pub(super) fn resume(
        &mut self,
        call: &CallId,
        page: Page,
        epoch: Epoch,
        takeover: bool,
        certified: bool,
        now: Instant,
    ) {
        let counts = |call: &Facts| call.tokens.contains(&epoch.0) || takeover && call.aside.contains(&epoch.0);
        // There is one browser with a certificate.
        let knows = |call: &Facts| certified || call.bound.is_none_or(|at| now - at <= Duration::from_secs(5));
        let admits = |call: &&mut Facts| call.ended.is_none() && call.answered.is_some() && counts(call) && knows(call);
        let Some(facts) = self.calls.get_mut(call).filter(admits) else {
            self.closed.insert(page);
            return;
        };
        self.closed.extend(facts.dismiss());
        facts.aside.retain(|token| *token != epoch.0 || !takeover);
        if !facts.is_here() {
            self.seat(call, page, Vec::new(), now);
        } else if takeover {
            facts.set_aside(facts.pages);
            self.closed.insert(facts.page);
            self.seat(call, page, Vec::new(), now);
        } else {
            facts.contender = Some((page, now, Vec::new()));
            facts.contender_token = epoch.0;
        }
    }

    pub(super) fn seat(&mut self, call: &CallId, page: Page, held: Vec<VisitorRequest>, now: Instant) {
        let Some(facts) = self.calls.get_mut(call) else { return };
        (facts.page, facts.frames) = (page, None);
        facts.pages += 1;
        facts.tokens.push(facts.pages);
        (facts.away, facts.unreached, facts.judged) = (None, None, false);
        (facts.received, facts.digits) = (0, 0);
        (facts.page_offered, facts.heard, facts.page_transport) = (false, false, None);
        (facts.unheard, facts.broken) = (Some(now), None);
        for request in held {
            self.request(call, &request, now);
        }
    }
}
