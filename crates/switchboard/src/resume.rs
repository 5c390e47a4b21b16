//! How a call that somebody has answered goes from one page of the shop to the next: who has it, who may have it, and what becomes of
//! it while nobody has it. Not here: the signature and the origin of a token, which the shell has checked.
//!
//! A token is spent when a page that came with it says `ready`. Until then it counts beside the new one: the page may be left
//! before it could keep that. A page that was told the call is elsewhere may move it to itself with the token that it has, once.

use crate::call::{Call, Effects, Stage};
use crate::session::Word;
use crate::timers::Timer;
use crate::{Change, MAX_HELD_REQUESTS, Output};
use protocol::CallId;
use protocol::error::ErrorCode;
use protocol::gateway::Command;
use protocol::visitor::{CallState, EndReason, VisitorEvent, VisitorRequest};
use std::collections::VecDeque;

/// A page of the shop, by its socket. The shell gives each socket another number; which of them are one page's is told by
/// [`Session`](crate::Session).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Page(pub u64);

/// Which of a call's `resume` tokens: they are counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// Pages of one call that were told it is elsewhere and may still move it to themselves. A shopper with more tabs than that
/// finds the call in one of the last.
pub(crate) const MAX_ASIDE: usize = 4;

/// Where the visitor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// At this page.
    Here(Page),
    /// At a page whose socket broke. It has the call as if it had not, and is expected over another.
    Unreached,
    /// Gone, or neither seen nor heard for some time. A call that somebody has answered waits for a while.
    Away,
}

/// A page that asks for a call which another page has.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) page: Page,
    epoch: Epoch,
    /// That of its certificate, as it says.
    fingerprint: Option<String>,
    /// What it has said meanwhile, at most [`MAX_HELD_REQUESTS`].
    held: Vec<VisitorRequest>,
}

impl Call {
    /// A page asks for the call.
    pub(crate) fn handle_resume(
        &mut self,
        page: Page,
        epoch: Epoch,
        takeover: bool,
        fingerprint: Option<String>,
        fx: &mut Effects<'_>,
    ) {
        let is_ours = self.certificates.admit(fingerprint.as_deref(), fx.now);
        let contender = Contender { page, epoch, fingerprint, held: Vec::new() };
        let outlives = self.outlives_pages();
        match self.stage {
            Stage::Live(_) if outlives && is_ours && self.admits(epoch, takeover) => {}
            Stage::Live(_) if outlives && is_ours && self.aside.contains(&epoch) => {
                return refuse_as_elsewhere(&self.id, page, fx.outputs);
            }
            // The server before this one may have known of an answer; if so, the gateway does.
            Stage::Live(_) if self.is_adrift && !outlives && epoch > Epoch::default() => {
                self.refuse_contender(fx);
                self.contender = Some(contender);
                return;
            }
            Stage::Live(_) | Stage::Releasing { .. } | Stage::Over => {
                return refuse_as_over(&self.id, page, fx.outputs);
            }
        }
        if takeover {
            self.aside.retain(|spent| *spent != epoch);
        }
        self.contend(contender, takeover, fx);
    }

    /// The gateway has told how far the call is: what becomes of the page that asked before.
    pub(crate) fn settle_contest(&mut self, fx: &mut Effects<'_>) {
        let Some(contender) = self.contender.take() else { return };
        if self.answered_at.is_none() {
            return refuse_as_over(&self.id, contender.page, fx.outputs);
        }
        // We have signed it, and forgotten.
        self.epoch = self.epoch.max(contender.epoch);
        self.contend(contender, false, fx);
    }

    fn contend(&mut self, contender: Contender, takeover: bool, fx: &mut Effects<'_>) {
        match self.visitor {
            // Who is heard is there: the far end must cease to hear the old page, or the new one is a duplicated tab.
            Visitor::Unreached if !takeover && self.media_up && self.said.frames.is_none() => {
                self.refuse_contender(fx);
                self.contender = Some(contender);
                self.arm(Timer::Contest, fx.config.contest_heard, fx);
            }
            Visitor::Away | Visitor::Unreached => {
                self.refuse_contender(fx);
                self.seat(contender, fx);
            }
            Visitor::Here(old) if takeover => {
                refuse_as_elsewhere(&self.id, old, fx.outputs);
                self.refuse_contender(fx);
                self.set_aside(self.epoch);
                self.seat(contender, fx);
            }
            Visitor::Here(old) => {
                self.refuse_contender(fx);
                self.contender = Some(contender);
                fx.outputs.push_back(Output::ProbeVisitor { call: self.id.clone(), page: old });
                self.arm(Timer::Contest, fx.config.contest, fx);
            }
        }
    }

    /// A page said something.
    pub(crate) fn handle_page_request(&mut self, page: Page, request: VisitorRequest, fx: &mut Effects<'_>) {
        if let VisitorRequest::Ping { seen } = request {
            if self.visitor == Visitor::Here(page) && matches!(self.stage, Stage::Live(_)) {
                self.handle_ping(page, seen, fx);
            }
            return;
        }
        if self.visitor == Visitor::Here(page) {
            self.conversation.received = self.conversation.received.saturating_add(1);
            return self.handle_request(request, fx);
        }
        let contender = self.contender.as_mut().filter(|it| it.page == page && it.held.len() < MAX_HELD_REQUESTS);
        if let Some(contender) = contender {
            contender.held.push(request);
        }
    }

    /// A page's socket closed.
    pub(crate) fn handle_page_lost(&mut self, page: Page, fx: &mut Effects<'_>) {
        if self.contender.as_ref().is_some_and(|contender| contender.page == page) {
            self.contender = None;
            self.timers.disarm(Timer::Contest);
        }
        if self.visitor != Visitor::Here(page) {
            return;
        }
        self.handle_page_gone(fx);
        let outlives = self.outlives_pages();
        match (&self.stage, self.contender.take()) {
            (Stage::Live(_), Some(contender)) if outlives => self.seat(contender, fx),
            (Stage::Live(_), None) if outlives => self.leave(fx),
            (Stage::Live(_), _) => {
                self.visitor = Visitor::Away;
                // Nobody shall be rung for a shopper who has left.
                self.end(EndReason::VisitorGone, fx);
            }
            (Stage::Releasing { .. } | Stage::Over, _) => self.visitor = Visitor::Away,
        }
    }

    /// Sends the page that has the call the token for the next one.
    pub(crate) fn send_token(&mut self, fx: &mut Effects<'_>) {
        if !fx.config.resume.is_zero() {
            self.epoch = Epoch(self.epoch.0.saturating_add(1));
            self.repeat_token(fx);
        }
    }

    /// Sends the newest token again, if there is one.
    pub(crate) fn repeat_token(&mut self, fx: &mut Effects<'_>) {
        if self.epoch > Epoch::default() {
            self.say(Word::Token(self.epoch), fx);
        }
    }

    /// Of all tokens that were sent only the newest counts from now on.
    pub(crate) fn spend_tokens(&mut self, fx: &mut Effects<'_>) {
        if self.oldest != self.epoch {
            self.oldest = self.epoch;
            self.record_tokens(fx);
        }
    }

    fn record_tokens(&self, fx: &mut Effects<'_>) {
        self.record(Change::Tokens { epoch: self.epoch, oldest: self.oldest }, fx.now, fx);
    }

    /// Turns the page away that asks for the call, if one does.
    pub(crate) fn refuse_contender(&mut self, fx: &mut Effects<'_>) {
        self.timers.disarm(Timer::Contest);
        if let Some(contender) = self.contender.take() {
            self.set_aside(contender.epoch);
            refuse_as_elsewhere(&self.id, contender.page, fx.outputs);
        }
    }

    fn admits(&self, epoch: Epoch, takeover: bool) -> bool {
        epoch > Epoch::default()
            && ((self.oldest..=self.epoch).contains(&epoch) || takeover && self.aside.contains(&epoch))
    }

    /// Lets the page that has this token move the call to itself later.
    fn set_aside(&mut self, epoch: Epoch) {
        self.aside.retain(|other| *other != epoch);
        if self.aside.len() == MAX_ASIDE {
            self.aside.remove(0);
        }
        self.aside.push(epoch);
    }

    /// Gives the page the call: it makes a leg of its own, for which the set-up's deadline of audio counts anew.
    fn seat(&mut self, contender: Contender, fx: &mut Effects<'_>) {
        if std::mem::take(&mut self.said).frames.is_some() {
            // They went over the earlier page's socket.
            self.carry_frames(None, fx);
        }
        self.end_test(fx);
        self.visitor = Visitor::Here(contender.page);
        self.certificates.seat(contender.fingerprint);
        self.conversation = self.conversation.next();
        self.timers.disarm(Timer::Visitor);
        self.timers.disarm(Timer::Contest);
        self.await_path(fx);
        self.welcome(fx);
        self.tell_again(fx);
        self.tell_resumed(fx);
        self.send_token(fx);
        self.record_tokens(fx);
        for request in contender.held {
            self.handle_page_request(contender.page, request, fx);
        }
    }

    /// The deadlines of a page count anew: that of audio, and before anybody is rung that of its microphone.
    pub(crate) fn await_path(&mut self, fx: &Effects<'_>) {
        self.media_up = false;
        if !self.is_adrift {
            self.arm(Timer::Media, fx.config.media_setup, fx);
        }
        self.await_ready(fx);
    }

    /// Before anybody is rung, the page's microphone is waited for.
    pub(crate) fn await_ready(&mut self, fx: &Effects<'_>) {
        if let Stage::Live(CallState::Connecting) = self.stage {
            self.arm(Timer::Setup, fx.config.setup, fx);
        }
    }

    /// Asks the page for a new offer.
    pub(crate) fn tell_resumed(&mut self, fx: &mut Effects<'_>) {
        let Stage::Live(state) = self.stage else { return };
        let answered = self.answered_at.map_or_else(Default::default, |at| fx.now.saturating_duration_since(at));
        let answered_ms = u32::try_from(answered.as_millis()).unwrap_or(u32::MAX);
        self.tell(VisitorEvent::Resumed { state, answered_ms }, fx);
    }

    /// The page neither answers nor is heard: the far end learns it, and waits; one that is being rung goes on ringing.
    pub(crate) fn leave(&mut self, fx: &mut Effects<'_>) {
        if let Some(contender) = self.contender.take() {
            return self.seat(contender, fx);
        }
        self.await_return(fx);
        if !fx.config.resume.is_zero() {
            self.command(Command::VisitorAway { call: self.id.clone() }, fx);
        }
    }

    /// The visitor is away, which the gateway knows.
    pub(crate) fn await_return(&mut self, fx: &mut Effects<'_>) {
        self.visitor = Visitor::Away;
        self.media_up = false;
        // An offer that no gateway has got is of no use to the next page.
        self.said.waiting = None;
        self.timers.disarm(Timer::Media);
        self.timers.disarm(Timer::Setup);
        let window = if fx.config.resume.is_zero() { fx.config.visitor_grace } else { fx.config.resume };
        self.arm(Timer::Visitor, window, fx);
    }
}

/// Tells a page that there is no such call any more.
pub(crate) fn refuse_as_over(call: &CallId, page: Page, outputs: &mut VecDeque<Output>) {
    let (reason, code) = (EndReason::VisitorGone, ErrorCode::CallOver);
    let event = VisitorEvent::Ended { reason, code: Some(code), message: code.shopper().to_owned() };
    turn_away(call, page, event, outputs);
}

/// Tells a page that another has the call.
pub(crate) fn refuse_as_elsewhere(call: &CallId, page: Page, outputs: &mut VecDeque<Output>) {
    let code = ErrorCode::CallElsewhere;
    turn_away(call, page, VisitorEvent::Error { code, message: code.shopper().to_owned() }, outputs);
}

fn turn_away(call: &CallId, page: Page, event: VisitorEvent, outputs: &mut VecDeque<Output>) {
    outputs.push_back(Output::Visitor { call: call.clone(), page, event });
    outputs.push_back(Output::CloseVisitor { call: call.clone(), page });
}
