//! The pages' side of the random schedules: each keeps what it was told over all its sockets, and compares what it is told
//! again with what it knows. A message that is lost, doubled or out of order fails the schedule.

use super::model::Facts;
use crate::{MAX_REPLAY, Page};
use protocol::CallId;
use protocol::visitor::{CallState, Transport, VisitorEvent};
use std::collections::BTreeMap;

/// The pages of all calls.
#[derive(Default)]
pub(super) struct Phones(BTreeMap<(CallId, u32), Phone>);

/// One page.
#[derive(Default)]
struct Phone {
    log: Vec<String>,
    /// The event that comes next.
    next: usize,
    /// What it said to have seen when it came back.
    claimed: usize,
    /// It knows that it has missed something.
    has_gap: bool,
    digits: usize,
    state: Option<CallState>,
    transport: Option<Transport>,
}

impl Phones {
    /// How many events the page that has the call says to have seen when it comes back, if the last so many are lost.
    pub(super) fn come_back(&mut self, call: &CallId, session: u32, lost: usize) -> u32 {
        let phone = self.0.entry((call.clone(), session)).or_default();
        // What it has once seen stays seen.
        phone.claimed = phone.claimed.max(phone.log.len().saturating_sub(lost.min(MAX_REPLAY)));
        phone.claimed as u32
    }

    /// The page that has the call is told something.
    pub(super) fn hear(&mut self, call: &CallId, page: Page, facts: &Facts, event: &VisitorEvent) {
        if facts.page != page {
            return;
        }
        let phone = self.0.entry((call.clone(), facts.pages)).or_default();
        match event {
            VisitorEvent::Pong { received } => assert_eq!(*received, facts.received, "{call}"),
            VisitorEvent::Reconnected { received, sent } => {
                assert_eq!(*received, Some(facts.received), "{call}");
                phone.next = *sent as usize;
                phone.has_gap |= phone.next != phone.claimed;
                assert!(!phone.has_gap || phone.next >= phone.log.len(), "{call} tells less than it did");
                // Of these nothing is known but that there were as many.
                let known = phone.log.len().max(phone.next);
                phone.log.resize(known, "missed".to_owned());
            }
            VisitorEvent::State { state } | VisitorEvent::Resumed { state, .. } => {
                phone.take(format!("{event:?}"));
                phone.state = Some(*state);
            }
            VisitorEvent::Transport { transport } => {
                phone.take(format!("{event:?}"));
                phone.transport = Some(*transport);
            }
            VisitorEvent::Digit { .. } => phone.digits += usize::from(phone.take(format!("{event:?}"))),
            VisitorEvent::Welcome { .. }
            | VisitorEvent::Answer { .. }
            | VisitorEvent::Resume { .. }
            | VisitorEvent::Error { .. }
            | VisitorEvent::Session { .. }
            | VisitorEvent::Page { .. }
            | VisitorEvent::Prepared { .. }
            | VisitorEvent::Set { .. }
            | VisitorEvent::Ended { .. } => drop(phone.take(format!("{event:?}"))),
        }
    }

    /// The page is told something that the shell has yet to sign.
    pub(super) fn hear_token(&mut self, call: &CallId, page: Page, facts: &Facts, token: String) {
        if facts.page == page {
            self.0.entry((call.clone(), facts.pages)).or_default().take(token);
        }
    }

    /// What the page that has the call shows; it has missed no key.
    pub(super) fn judge(&self, call: &CallId, facts: &Facts) {
        let Some(phone) = self.0.get(&(call.clone(), facts.pages)) else { return };
        assert_eq!(phone.next, phone.log.len(), "{call} has not told all");
        assert!(phone.has_gap || phone.digits == facts.digits, "{call}: {} of {} keys", phone.digits, facts.digits);
        if !phone.has_gap {
            assert_eq!(phone.transport, facts.page_transport, "the transport that {call} is shown");
        }
        assert_eq!(phone.state.unwrap_or(CallState::Connecting), facts.state(), "the state of {call}");
    }
}

impl Phone {
    /// Whether it is new.
    fn take(&mut self, event: String) -> bool {
        let is_new = self.next == self.log.len();
        if is_new {
            self.log.push(event);
        } else {
            assert_eq!(self.log.get(self.next), Some(&event), "event {} is another than before", self.next);
        }
        self.next += 1;
        is_new
    }
}
