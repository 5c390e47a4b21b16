//! A call's deadlines: what it means when one comes. Not here: their order among the deadlines of other calls (`timers.rs`).

use crate::Ending;
use crate::call::{Call, Effects};
use crate::resume::Visitor;
use crate::timers::Timer;
use protocol::visitor::EndReason;
use std::time::{Duration, Instant};

impl Call {
    /// Lets one deadline pass that ends the call, if one has, and before it those that do not.
    pub(crate) fn handle_timeout(&mut self, fx: &mut Effects<'_>) {
        while let Some(timer) = self.timers.pop_expired(fx.now) {
            match timer {
                Timer::Contest => self.refuse_contender(fx),
                Timer::Keys => self.handle_key_pause(fx),
                Timer::Command => self.handle_command_timeout(fx),
                Timer::Visitor if self.visitor == Visitor::Unreached && self.outlives_pages() => {
                    // Who is heard is there; else the loss of the audio path will tell. Frames went over the socket that broke.
                    if !self.media_up || self.said.frames.is_some() {
                        self.leave(fx);
                    }
                }
                Timer::Setup
                | Timer::TrunkResponse
                | Timer::NoAnswer
                | Timer::Media
                | Timer::Visitor
                | Timer::Duration
                | Timer::Gateway
                | Timer::Release => return self.expire(timer, fx),
            }
        }
    }

    fn expire(&mut self, timer: Timer, fx: &mut Effects<'_>) {
        let (reason, detail) = match timer {
            Timer::Setup => (EndReason::SetupTimedOut, self.missing_of_setup()),
            Timer::TrunkResponse => (EndReason::TrunkUnreachable, "no response to the INVITE"),
            Timer::NoAnswer => (EndReason::NoAnswer, "nobody answered in time"),
            Timer::Media => (EndReason::MediaFailed, "no audio path to the browser in time"),
            Timer::Visitor => (EndReason::VisitorGone, "the visitor did not come back"),
            Timer::Duration => (EndReason::TooLong, "the longest duration was reached"),
            Timer::Contest | Timer::Keys | Timer::Command => return,
            Timer::Gateway => return self.handle_gateway_gone(fx),
            Timer::Release => return self.finish(None, fx),
        };
        self.end_as(Ending { detail: Some(detail.to_owned()), ..Ending::of(reason) }, fx);
    }

    /// The earliest deadline; `None` only when the call is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How many timers run.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// What the set-up deadline waited for in vain.
    fn missing_of_setup(&self) -> &'static str {
        match (self.gateway(), self.said.ready) {
            (Some(_), _) => "the microphone was neither allowed nor refused",
            (None, true) => "the browser made no offer",
            (None, false) => "the browser neither offered nor got the microphone",
        }
    }

    pub(crate) fn arm(&mut self, timer: Timer, after: Duration, fx: &Effects<'_>) {
        self.timers.arm(timer, fx.now + after);
    }

    /// Starts the timer; one that runs already is not put off.
    pub(crate) fn arm_sooner(&mut self, timer: Timer, after: Duration, fx: &Effects<'_>) {
        let at = fx.now + after;
        self.timers.arm(timer, self.timers.get(timer).map_or(at, |running| running.min(at)));
    }
}
