//! A call whose gateway is gone for good, where the merchant wants its far end rung again: the page makes an offer as for any other
//! path, another gateway answers it and dials. Not here: how long a gateway is waited for (`adrift.rs`).

use crate::Output;
use crate::call::{Call, Effects, Stage};
use crate::commands::Commanded;
use crate::keys::Keys;
use crate::resume::{Epoch, Visitor};
use crate::timers::Timer;
use protocol::error::ErrorCode;
use protocol::gateway::TrunkLeg;
use protocol::rest::GatewayLoss;
use protocol::visitor::{CallState, VisitorEvent};

/// How often one call is placed again: a shopper whose gateways die one after the other is better told so.
pub(crate) const MAX_AGAIN: u32 = 2;

impl Call {
    /// Begins the call anew, if the merchant and the visitor are for it. The record is the one that there is.
    pub(crate) fn call_again(&mut self, fx: &mut Effects<'_>) -> bool {
        let Stage::Live(_) = self.stage else { return false };
        let is_wanted = self.plan.on_gateway_loss == GatewayLoss::CallAgain && self.again < MAX_AGAIN;
        if !is_wanted || !fx.gateways.can_take(&self.plan.trunk) {
            return false;
        }
        if let (Some(_), Some(gateway)) = (self.said.frames, self.gateway().cloned()) {
            fx.outputs.push_back(Output::Frames { call: self.id.clone(), gateway, page: None });
        }
        self.timers.keep([Timer::Contest, Timer::Visitor]);
        self.set_gateway(None);
        self.again += 1;
        (self.is_adrift, self.waiting_frames, self.media_up, self.rang, self.answered_at) =
            (false, None, false, false, None);
        self.certificates.unprepare();
        (self.keys, self.commanded) = (Keys::default(), Commanded::default());
        let waiting = self.begin_anew();
        self.stage = Stage::Live(CallState::Connecting);
        // However many pages come and go meanwhile.
        self.arm(Timer::Duration, fx.config.max_duration, fx);
        self.tell_again(fx);
        self.tell_resumed(fx);
        match self.visitor {
            Visitor::Here(_) => self.await_ready(fx),
            // Nobody hears it any more.
            Visitor::Unreached if self.contender.is_some() => {
                self.leave(fx);
                return true;
            }
            Visitor::Unreached => {
                self.await_ready(fx);
                self.arm(Timer::Visitor, fx.config.visitor_grace, fx);
            }
            // Nobody is rung for a visitor between two pages: the next one's offer and `ready` are waited for.
            Visitor::Away => {}
        }
        if let Some((sdp, quality)) = waiting {
            // It has noticed before us.
            self.offer(sdp, quality, fx);
        }
        true
    }

    /// Tells a page why nobody has answered, though somebody had.
    pub(crate) fn tell_again(&mut self, fx: &mut Effects<'_>) {
        if self.answered_at.is_none() {
            let code = ErrorCode::CalledAgain;
            self.tell(VisitorEvent::Error { code, message: code.shopper().to_owned() }, fx);
        }
    }

    /// Whether the call goes on without its page: somebody has answered, now or before its gateway died, so that there is a token for
    /// the next one.
    pub(crate) fn outlives_pages(&self) -> bool {
        match self.stage {
            Stage::Live(CallState::Answered) => true,
            Stage::Live(_) => self.epoch > Epoch::default(),
            Stage::Releasing { .. } | Stage::Over => false,
        }
    }

    /// A call that the server before this one was placing again, which its record does not tell, is as far as the gateway says.
    pub(crate) fn recall_again(&mut self, state: CallState, far_end: TrunkLeg, fx: &mut Effects<'_>) -> CallState {
        if state != CallState::Answered || far_end >= TrunkLeg::Answered {
            return state;
        }
        self.again = self.again.max(1);
        (self.answered_at, self.rang, self.said.ready) = (None, false, false);
        self.enter(CallState::Connecting, fx);
        self.await_ready(fx);
        CallState::Connecting
    }

    /// The gateway is out of reach, and the page has lost its path: there is not much to wait for, where another can take the call.
    pub(crate) fn doubt_gateway(&mut self, fx: &Effects<'_>) {
        let is_wanted = self.plan.on_gateway_loss == GatewayLoss::CallAgain && self.again < MAX_AGAIN;
        if is_wanted && fx.gateways.can_take(&self.plan.trunk) {
            self.arm_sooner(Timer::Gateway, fx.config.again_after, fx);
        }
    }
}
