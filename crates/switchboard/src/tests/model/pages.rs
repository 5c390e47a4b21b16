//! Which page has a call, and which asks for it.

use super::{Facts, Model};
use crate::{Epoch, Page};
use protocol::CallId;
use protocol::visitor::{EndReason, VisitorRequest};
use std::time::{Duration, Instant};

impl Model {
    /// A page is turned away unless the call waits for pages, the token counts, and nobody else has it.
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
        let admits = |call: &&mut Facts| call.ended.is_none() && call.outlives_pages() && counts(call) && knows(call);
        let Some(facts) = self.calls.get_mut(call).filter(admits) else {
            self.closed.insert(page);
            return;
        };
        self.closed.extend(facts.dismiss());
        facts.aside.retain(|token| *token != epoch.0 || !takeover);
        let is_heard = facts.unreached.is_some() && facts.heard && facts.frames.is_none();
        if is_heard && !takeover {
            facts.contender = Some((page, now + self.config.contest_heard, Vec::new()));
            facts.contender_token = epoch.0;
        } else if !facts.is_here() {
            self.seat(call, page, Vec::new(), now);
        } else if takeover {
            facts.set_aside(facts.pages);
            self.closed.insert(facts.page);
            self.seat(call, page, Vec::new(), now);
        } else {
            facts.contender = Some((page, now + self.config.contest, Vec::new()));
            facts.contender_token = epoch.0;
        }
    }

    /// Nobody has the call, unless somebody waits for it.
    pub(super) fn leave(&mut self, call: &CallId, now: Instant) {
        let Some(facts) = self.calls.get_mut(call) else { return };
        match facts.contender.take() {
            Some((page, _, held)) => self.seat(call, page, held, now),
            None => facts.leave(now),
        }
    }

    fn seat(&mut self, call: &CallId, page: Page, held: Vec<VisitorRequest>, now: Instant) {
        let Some(facts) = self.calls.get_mut(call) else { return };
        (facts.page, facts.frames) = (page, None);
        facts.pages += 1;
        facts.tokens.push(facts.pages);
        (facts.away, facts.unreached, facts.judged) = (None, None, false);
        facts.await_microphone(now);
        facts.ready = false;
        (facts.received, facts.digits) = (0, 0);
        facts.page_is_new();
        (facts.page_offered, facts.heard, facts.page_transport) = (false, false, None);
        (facts.unheard, facts.broken) = (Some(now), None);
        for request in held {
            self.request(call, &request, now);
        }
    }

    pub(super) fn lose_page(&mut self, call: &CallId, page: Page, now: Instant) {
        let Some(facts) = self.calls.get_mut(call).filter(|call| call.ended.is_none()) else { return };
        facts.contender.take_if(|(contender, ..)| *contender == page);
        if facts.page != page || !facts.is_here() {
            return;
        }
        facts.page_goes();
        if let Some((page, _, held)) = facts.contender.take() {
            return self.seat(call, page, held, now);
        }
        facts.leave(now);
        if !facts.outlives_pages() {
            self.end(call, vec![EndReason::VisitorGone], None, now);
        }
    }

    pub(super) fn break_page(&mut self, call: &CallId, page: Page, now: Instant) {
        let Some(facts) = self.calls.get_mut(call).filter(|call| call.ended.is_none()) else { return };
        if facts.page != page || !facts.is_here() || facts.contender.is_some() {
            return self.lose_page(call, page, now);
        }
        let patience = if facts.answered.is_some() { self.config.away_after } else { self.config.visitor_grace };
        (facts.unreached, facts.judged) = (Some((now, patience)), false);
    }

    /// Another socket of a page that has the call; others are turned away.
    pub(super) fn reconnect(&mut self, call: &CallId, page: Page, session: u32, now: Instant) {
        let own = |call: &&mut Facts| call.ended.is_none() && call.pages == session;
        let Some(facts) = self.calls.get_mut(call).filter(own) else {
            self.closed.insert(page);
            return;
        };
        self.closed.extend(facts.dismiss());
        self.closed.extend(facts.is_here().then_some(facts.page));
        if facts.away.is_some() {
            (facts.heard, facts.unheard, facts.broken) = (false, Some(now), None);
            facts.await_microphone(now);
        }
        (facts.page, facts.away, facts.unreached) = (page, None, None);
        facts.frames = facts.frames.map(|_| page);
        facts.do_kept(now);
    }
}
