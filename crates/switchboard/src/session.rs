//! How a page keeps its call when its socket breaks: both sides count what they said, and what did not arrive is said again
//! over the next socket. Not here: how a call goes to another page (`resume.rs`).
//!
//! A socket that broke is no page that went: as long as audio flows the shopper is there, and the far end notices nothing.

use crate::call::{Call, Effects, Stage};
use crate::resume::{Epoch, Page, Visitor, refuse_as_elsewhere, refuse_as_over};
use crate::timers::Timer;
use crate::{MAX_REPLAY, Output};
use protocol::CallId;
use protocol::settings::By;
use protocol::visitor::{CallState, VisitorEvent};
use std::collections::VecDeque;

/// Which of a call's pages, over all its sockets: they are counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u32);

/// What was said to the page that has the call, and what it said.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) session: Session,
    /// How many requests have come.
    pub(crate) received: u32,
    /// How many events were said.
    sent: u32,
    /// All this was said to a server before this one, and [`session`](Self::session) is the newest that it has written down.
    is_forgotten: bool,
    /// The last of them, as far as the page has not acknowledged them; at most [`MAX_REPLAY`].
    unseen: VecDeque<Word>,
}

/// An event for a page, or one that the shell has to sign.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Event(VisitorEvent),
    Session,
    Token(Epoch),
}

impl Conversation {
    /// That of a call's first page.
    pub(crate) fn first() -> Self {
        Self { session: Session(1), received: 0, sent: 0, is_forgotten: false, unseen: VecDeque::new() }
    }

    /// That of the page after this one.
    pub(crate) fn next(&self) -> Self {
        Self { session: Session(self.session.0.saturating_add(1)), ..Self::first() }
    }

    /// That of a server before this one, whose newest page known is this.
    pub(crate) fn forget(&mut self, session: Session) {
        *self = Self { session, is_forgotten: true, ..Self::first() };
    }

    /// Takes the word of a page whose token we have signed for which it is, where we have forgotten.
    fn recall(&mut self, session: Session) {
        if self.is_forgotten && session > self.session {
            self.session = session;
        }
    }

    fn say(&mut self, word: Word) {
        if self.unseen.len() == MAX_REPLAY {
            self.unseen.pop_front();
        }
        self.unseen.push_back(word);
        self.sent = self.sent.saturating_add(1);
    }

    /// Takes back what commands have asked of a page that has no socket: what the far end was told is refused must not be
    /// done later. The count stays.
    pub(crate) fn withdraw_commands(&mut self, state: CallState) {
        for word in &mut self.unseen {
            if matches!(
                word,
                Word::Event(VisitorEvent::Page { by: By::Agent, .. } | VisitorEvent::Set { by: By::Agent, .. })
            ) {
                *word = Word::Event(VisitorEvent::State { state });
            }
        }
    }

    /// How many events were said before those that the page may not have seen.
    fn before_unseen(&self) -> u32 {
        self.sent.saturating_sub(u32::try_from(self.unseen.len()).unwrap_or(u32::MAX))
    }

    /// Forgets what the page has seen. `false` if that is no number that it could have come to.
    fn acknowledge(&mut self, seen: u32) -> bool {
        let missing = self.sent.checked_sub(seen).and_then(|missing| usize::try_from(missing).ok());
        let Some(surplus) = missing.and_then(|missing| self.unseen.len().checked_sub(missing)) else { return false };
        self.unseen.drain(..surplus);
        true
    }
}

impl Call {
    /// Says something to the page that has the call: at once, or when it has a socket again.
    pub(crate) fn say(&mut self, word: Word, fx: &mut Effects<'_>) {
        if let Visitor::Here(page) = self.visitor {
            fx.outputs.push_back(self.spoken(&word, page));
        }
        self.conversation.say(word);
    }

    /// The page that has the call asks whether anybody is there.
    pub(crate) fn handle_ping(&mut self, page: Page, seen: u32, fx: &mut Effects<'_>) {
        self.conversation.acknowledge(seen);
        let event = VisitorEvent::Pong { received: self.conversation.received };
        fx.outputs.push_back(Output::Visitor { call: self.id.clone(), page, event });
    }

    /// A page's socket broke without a goodbye.
    pub(crate) fn handle_page_broken(&mut self, page: Page, fx: &mut Effects<'_>) {
        let has_call = self.visitor == Visitor::Here(page) && matches!(self.stage, Stage::Live(_));
        if !has_call || self.contender.is_some() {
            return self.handle_page_lost(page, fx);
        }
        self.visitor = Visitor::Unreached;
        let answered = matches!(self.stage, Stage::Live(CallState::Answered));
        let patience = if answered { fx.config.away_after } else { fx.config.visitor_grace };
        self.arm(Timer::Visitor, patience, fx);
    }

    /// The page that has the call has another socket.
    pub(crate) fn handle_reconnect(&mut self, page: Page, session: Session, seen: u32, fx: &mut Effects<'_>) {
        self.conversation.recall(session);
        match &self.stage {
            Stage::Live(_) if session < self.conversation.session && session > Session::default() => {
                return refuse_as_elsewhere(&self.id, page, fx.outputs);
            }
            Stage::Live(_) | Stage::Releasing { .. } if session == self.conversation.session => {}
            Stage::Live(_) | Stage::Releasing { .. } | Stage::Over => {
                return refuse_as_over(&self.id, page, fx.outputs);
            }
        }
        let call = self.id.clone();
        let close = |page| Output::CloseVisitor { call, page };
        let before = std::mem::replace(&mut self.visitor, Visitor::Here(page));
        let Stage::Live(_) = self.stage else {
            self.repeat(page, seen, fx);
            return fx.outputs.push_back(close(page));
        };
        if let Visitor::Here(old) = before {
            // That nobody hears there is not known yet.
            fx.outputs.push_back(close(old));
        }
        self.refuse_contender(fx);
        self.ears.cover(fx.now);
        self.repeat(page, seen, fx);
        self.timers.disarm(Timer::Visitor);
        if self.said.frames.is_some() {
            // They went over the socket before.
            self.carry_frames(self.said.frames, fx);
        }
        if before == Visitor::Away {
            // The gateway has let go of the path.
            self.await_path(fx);
            self.tell_resumed(fx);
        }
        self.carry_out_kept(fx);
    }

    /// Says again what the page has not seen, or else how the call stands.
    fn repeat(&mut self, page: Page, seen: u32, fx: &mut Effects<'_>) {
        let is_known = !std::mem::take(&mut self.conversation.is_forgotten);
        let is_whole = is_known && self.conversation.acknowledge(seen);
        // All that a server has said which does not know the page it has said to nobody.
        let is_repeated = is_whole || !is_known;
        let sent = if is_repeated { self.conversation.before_unseen() } else { self.conversation.sent };
        let received = is_known.then_some(self.conversation.received);
        let event = VisitorEvent::Reconnected { received, sent };
        fx.outputs.push_back(Output::Visitor { call: self.id.clone(), page, event });
        if is_repeated {
            let words = self.conversation.unseen.iter().map(|word| self.spoken(word, page));
            fx.outputs.extend(words);
        }
        match self.stage {
            _ if is_whole => {}
            Stage::Live(state) => {
                self.tell(VisitorEvent::State { state }, fx);
                self.repeat_token(fx);
            }
            Stage::Releasing { .. } | Stage::Over => self.tell_end(fx),
        }
    }

    fn spoken(&self, word: &Word, page: Page) -> Output {
        let (call, origin): (CallId, _) = (self.id.clone(), || self.plan.origin.clone());
        match word {
            Word::Event(event) => Output::Visitor { call, page, event: event.clone() },
            Word::Session => Output::SessionToken { call, page, session: self.conversation.session, origin: origin() },
            Word::Token(epoch) => Output::ResumeToken { call, page, epoch: *epoch, origin: origin() },
        }
    }
}
