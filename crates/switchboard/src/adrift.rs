//! Calls whose gateway is out of reach, or whose server was restarted: the audio goes on without us. They wait a while for a
//! gateway that says it carries them, and are joined with what it tells. Not here: how a page finds its call again.
//!
//! Nothing is sent to a gateway that is not there. What it must know it is told when it is back: from the call's state, not
//! from a queue.

use crate::call::{Call, Effects, Stage, Written};
use crate::certificates::Certificates;
use crate::resume::{Epoch, Page, Visitor};
use crate::session::Session;
use crate::timers::Timer;
use crate::{Change, Output, Plan};
use protocol::gateway::{Carried, Command, Event, TrunkLeg};
use protocol::visitor::{CallState, EndReason};
use protocol::{CallId, GatewayId};
use std::time::Instant;

/// Tokens that a server may have sent before it was killed and had not yet written: a shopper who turns so many pages within the
/// writer's delay is none.
pub(crate) const UNWRITTEN_TOKENS: u32 = 16;

/// A call that an earlier server has left open, as its record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The call's plan.
    pub plan: Box<Plan>,
    /// Who carries it. `None`: its page had made no offer.
    pub gateway: Option<GatewayId>,
    /// The far end was rung.
    pub dialed: bool,
    /// The far end has rung or sent early media.
    pub rang: bool,
    /// When somebody answered.
    pub answered: Option<Instant>,
    /// The newest `resume` token.
    pub epoch: Epoch,
    /// The oldest that counts.
    pub oldest: Epoch,
    /// The fingerprints of its pages' certificates, the newest last; none before a page has announced one.
    pub certificates: Vec<String>,
}

impl Call {
    /// A call of an earlier server. Its record is begun, its page is gone, its gateway has yet to say that it carries it.
    pub(crate) fn restored(id: CallId, restored: Restored) -> Self {
        let Restored { plan, gateway, dialed, rang, answered, epoch, oldest, certificates } = restored;
        let mut call = Self::new(id, Page::default(), plan);
        let state = match (answered, rang, dialed) {
            (Some(_), ..) => CallState::Answered,
            (None, true, _) => CallState::Ringing,
            (None, false, true) => CallState::Dialing,
            (None, false, false) => CallState::Connecting,
        };
        call.stage = Stage::Live(state);
        call.visitor = Visitor::Unreached;
        call.conversation.forget(Session(epoch.0.max(1)));
        if gateway.is_some() {
            // Audio that went as frames went through the server.
            call.waiting_frames = Some(None);
            call.is_adrift = true;
            call.said.of_a_page_that_called(dialed);
        }
        call.set_gateway(gateway);
        call.written = Written { dialed, rang, answered: answered.is_some() };
        call.rang = rang;
        call.answered_at = answered;
        call.epoch = answered.map_or(epoch, |_| Epoch(epoch.0.saturating_add(UNWRITTEN_TOKENS)));
        call.oldest = oldest;
        call.certificates = Certificates::restored(certificates);
        call
    }

    /// Starts the deadlines of a restored call. Who is heard is there, which the gateway will say; before the answer the page
    /// itself has to come. What the far end has been given to answer is given anew.
    pub(crate) fn go_on(&mut self, fx: &mut Effects<'_>) {
        if self.is_adrift {
            self.arm(Timer::Gateway, fx.config.gateway, fx);
        }
        let Stage::Live(state) = self.stage else { return };
        match (state, self.answered_at) {
            (_, Some(answered)) => return self.timers.arm(Timer::Duration, answered + fx.config.max_duration),
            (CallState::Connecting, _) => self.arm(Timer::Setup, fx.config.setup, fx),
            (CallState::Dialing, _) => self.arm(Timer::TrunkResponse, fx.config.trunk_response, fx),
            (CallState::Ringing | CallState::EarlyMedia | CallState::Answered, _) => self.await_answer(fx),
        }
        self.arm(Timer::Visitor, fx.config.visitor_grace, fx);
    }

    /// The connection to the gateway is gone, perhaps for a while. The gateway goes on with its calls.
    pub(crate) fn handle_gateway_lost(&mut self, fx: &mut Effects<'_>) {
        if fx.config.gateway.is_zero() {
            return self.handle_gateway_gone(fx);
        }
        self.is_adrift = true;
        if let Stage::Live(_) = self.stage {
            self.timers.disarm(Timer::Media);
            self.arm(Timer::Gateway, fx.config.gateway, fx);
        }
    }

    /// The gateway is gone for good, and with it every leg of the call.
    pub(crate) fn handle_gateway_gone(&mut self, fx: &mut Effects<'_>) {
        if self.call_again(fx) {
            return;
        }
        self.set_gateway(None);
        match self.stage {
            Stage::Live(_) => self.end(EndReason::GatewayGone, fx),
            Stage::Releasing { .. } => self.finish(None, fx),
            Stage::Over => {}
        }
    }

    /// Whether a gateway that says that it carries the call is believed.
    pub(crate) fn is_claimable(&self) -> bool {
        self.is_adrift && self.gateway().is_some()
    }

    /// A gateway is there that carries the call: perhaps under another name than before.
    pub(crate) fn handle_claimed(&mut self, gateway: &GatewayId, carried: &Carried, fx: &mut Effects<'_>) {
        self.set_gateway(Some(gateway.clone()));
        self.is_adrift = false;
        self.timers.disarm(Timer::Gateway);
        fx.gateways.adopt(&self.id, gateway);
        match self.stage {
            Stage::Live(state) => {
                let (outlives, state) = (self.outlives_pages(), self.recall_again(state, carried.far_end, fx));
                self.say_what_waited(fx);
                self.catch_up(state, carried, fx);
                if !outlives {
                    self.settle_contest(fx);
                }
                self.settle_path(carried, fx);
            }
            Stage::Releasing { .. } => self.release(fx),
            Stage::Over => {}
        }
    }

    /// The gateway is there and does not name the call. What it has kept for us may tell why; if not, its answer to this
    /// will, and else the deadline that runs.
    pub(crate) fn handle_unclaimed(&mut self, fx: &mut Effects<'_>) {
        if let Some(gateway) = self.gateway().cloned() {
            let command = Command::Release { call: self.id.clone(), why: EndReason::GatewayGone.word().to_owned() };
            fx.outputs.push_back(Output::Gateway { gateway, command });
        }
    }

    /// The process ends, and another goes on with the call if its gateway does: under which name, if so.
    pub(crate) fn leave_to_successor(&mut self, heir: Option<&GatewayId>, all: bool, fx: &mut Effects<'_>) {
        let Stage::Live(state) = self.stage else { return };
        let outlives = self.is_adrift || heir.is_some() || self.gateway().is_none();
        if !outlives || !all && state != CallState::Answered {
            return;
        }
        let contender = self.contender.take().map(|contender| contender.page);
        let here = if let Visitor::Here(page) = self.visitor { Some(page) } else { None };
        let close = |page| Output::CloseVisitor { call: self.id.clone(), page };
        fx.outputs.extend(here.into_iter().chain(contender).map(close));
        if let Some(gateway) = self.gateway() {
            fx.gateways.unassign(&self.id, gateway);
        }
        if let Some(heir) = heir.filter(|heir| self.gateway() != Some(heir)) {
            self.record(Change::Carried { gateway: heir.clone() }, fx.now, fx);
        }
        self.stage = Stage::Over;
        self.timers.clear();
    }

    /// The process ends. Nobody waits for a gateway that is out of reach.
    pub(crate) fn stop(&mut self, fx: &mut Effects<'_>) {
        if self.is_adrift {
            self.set_gateway(None);
            if let Stage::Releasing { .. } = self.stage {
                return self.finish(None, fx);
            }
        }
        self.end(EndReason::ServerStopping, fx);
    }

    /// What the gateway knows and we do not, as if it told it now. An event that was kept says it once more.
    fn catch_up(&mut self, state: CallState, carried: &Carried, fx: &mut Effects<'_>) {
        let call = self.id.clone();
        // The server before this one had it rung, and not yet written that down.
        let is_news = state == CallState::Connecting && carried.far_end > TrunkLeg::Idle;
        let state = if is_news { self.dialed(fx) } else { state };
        let event = match carried.far_end {
            TrunkLeg::Idle if state == CallState::Dialing && self.visitor == Visitor::Away => return self.undial(),
            TrunkLeg::Idle if state == CallState::Dialing => return self.dial(fx),
            TrunkLeg::Ringing => Event::Ringing { call },
            TrunkLeg::EarlyMedia => Event::EarlyMedia { call },
            TrunkLeg::Answered => Event::Answered { call },
            TrunkLeg::Idle | TrunkLeg::Dialing | TrunkLeg::Gone => return,
        };
        self.handle_live_event(state, event, fx);
    }

    /// The order to ring was lost on its way, and the page went meanwhile: the next one's `ready` is waited for.
    fn undial(&mut self) {
        self.timers.disarm(Timer::TrunkResponse);
        self.stage = Stage::Live(CallState::Connecting);
    }

    fn settle_path(&mut self, carried: &Carried, fx: &mut Effects<'_>) {
        // Of a visitor who is away the far end hears nothing, whatever comes over the path that was.
        self.media_up = carried.media_up && !carried.away && self.has_path();
        if self.media_up {
            return self.timers.disarm(Timer::Media);
        }
        if !self.outlives_pages() {
            return;
        }
        match self.visitor {
            Visitor::Here(_) if carried.away && self.has_path() => {
                // The page does not know that the gateway has let go of its path.
                self.await_path(fx);
                self.tell_resumed(fx);
            }
            Visitor::Here(_) => self.arm(Timer::Media, fx.config.media_setup, fx),
            Visitor::Unreached if carried.away && self.contender.is_none() => self.await_return(fx),
            // Who is heard is there, with or without a socket; this one is not.
            Visitor::Unreached => self.leave(fx),
            Visitor::Away if carried.away || fx.config.resume.is_zero() => {}
            Visitor::Away => self.command(Command::VisitorAway { call: self.id.clone() }, fx),
        }
    }
}
