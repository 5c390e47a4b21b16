//! What the world of the random schedules does in one step: an ordinary call's next one, a code that is keyed, a gateway that
//! registers. What is expected of it is the parent's.

use super::super::bench::{plan, table};
use super::super::turns::{FINGERPRINT, Op, TRUNKS, Which, offer};
use super::{STEPS_TO_ANSWER, World, gateway, trunks_of};
use crate::{Epoch, Input, Session};
use protocol::GatewayId;
use protocol::gateway::{CallStats, Carried, Event, Side, TrunkLeg, VERSION};
use protocol::visitor::{CallState, VisitorRequest};
use std::time::Duration;

impl World {
    pub(super) fn registration(
        &self,
        gateway: GatewayId,
        version: u32,
        capacity: u32,
        trunks: usize,
        carries: Option<usize>,
    ) -> Input {
        let trunks = trunks_of(trunks);
        let far_end = TrunkLeg::Answered;
        let carried = |slot| Carried { call: self.call(slot), far_end, media_up: true, away: false };
        let calls = carries.map(carried).into_iter().collect();
        let event = Event::Registered { version, gateway: gateway.clone(), capacity, trunks, calls };
        Input::Gateway { gateway, event }
    }

    pub(super) fn progress(&mut self, slot: usize) {
        let input = self.next_step(slot);
        self.input(input);
    }

    pub(super) fn answer(&mut self, slot: usize) {
        for _ in 0..STEPS_TO_ANSWER {
            if self.model.calls.get(&self.call(slot)).is_none_or(|facts| facts.answered.is_none()) {
                self.take(Op::Progress { slot });
            }
        }
    }

    /// A call is answered, loses its gateway, and goes so many steps from each page to the next.
    pub(super) fn place_again(&mut self, slot: usize, turns: [usize; 2]) {
        // `pbx` has the trunk of those that are placed again.
        let slot = slot | 1;
        for n in 0..2 {
            let input = self.registration(gateway(n), VERSION, 9, 3, None);
            self.input(input);
        }
        self.answer(slot);
        self.input(Input::GatewayLost { gateway: self.gateway_of(slot) });
        for steps in turns {
            (0..steps).for_each(|_| self.progress(slot));
            self.take(Op::LoseVisitor { slot, which: Which::Current });
            let gateway = self.gateway_of(slot);
            let event = Event::Answered { call: self.call(slot) };
            self.input(Input::Gateway { gateway, event });
        }
    }

    pub(super) fn key_code(&mut self, slot: usize, code: &str, then: Option<VisitorRequest>) {
        for digit in code.chars() {
            let (call, gateway) = (self.call(slot), self.gateway_of(slot));
            let event = Event::Digit { call, from: Side::Agent, digit, duration_ms: 80 };
            self.input(Input::Gateway { gateway, event });
            if digit == '*' {
                self.find(slot, true);
            }
        }
        if let Some(request) = then {
            self.wait(Duration::from_secs(2));
            self.take(Op::Say { slot, from: Which::Current, request });
        }
    }

    pub(super) fn find(&mut self, slot: usize, found: bool) {
        // Of the steps, the model knows one.
        let table = found.then(table).map(|mut table| {
            table.acts.retain(|sequence, _| sequence.starts_with("*1"));
            table
        });
        self.input(Input::Commands { call: self.call(slot), table });
    }

    pub(super) fn reconnection(&mut self, slot: usize, older: u32, lost: usize) -> Input {
        let (call, page) = (self.call(slot), self.fresh_page());
        let session = self.model.calls.get(&call).map_or(1, |facts| facts.pages).saturating_sub(older);
        let seen = self.phones.come_back(&call, session, lost);
        Input::Reconnect { call, page, session: Session(session), seen }
    }

    /// A new call once the slot's last one has ended, else the same again.
    pub(super) fn arrival(&mut self, slot: usize, trunk: usize) -> Input {
        let ended = self.model.calls.get(&self.call(slot)).is_some_and(|facts| facts.ended.is_some());
        if let Some(generation) = self.generations.get_mut(slot).filter(|_| ended) {
            *generation += 1;
        }
        Input::Arrived {
            call: self.call(slot),
            page: self.fresh_page(),
            plan: plan(TRUNKS.get(trunk).copied().unwrap_or_default()),
        }
    }

    /// What would happen next in an ordinary call.
    pub(super) fn next_step(&mut self, slot: usize) -> Input {
        let call = self.call(slot);
        let Some(facts) = self.model.calls.get(&call).filter(|facts| facts.ended.is_none() || !facts.over) else {
            return self.arrival(slot, slot % TRUNKS.len());
        };
        let gateway = facts.gateway.clone().unwrap_or_else(|| gateway(0));
        let says = |request| Input::Visitor { call: call.clone(), page: facts.page, request };
        let event = match facts.state() {
            _ if facts.ended.is_some() => Event::Closed { call, stats: CallStats::default() },
            _ if facts.unreached.is_some() => return self.reconnection(slot, 0, 0),
            _ if facts.away.is_some() => {
                let (epoch, fingerprint) = (Epoch(facts.pages), Some(FINGERPRINT.to_owned()));
                return Input::Resume { call, page: self.fresh_page(), epoch, takeover: false, fingerprint };
            }
            _ if !facts.page_offered => return says(offer()),
            _ if facts.unanswered > 0 => Event::Answer { call, sdp: String::new() },
            CallState::Connecting => return says(VisitorRequest::Ready {}),
            _ if facts.tokens.len() > 1 => return says(VisitorRequest::Ready {}),
            CallState::Answered if !facts.heard => Event::MediaUp { call },
            CallState::Dialing if !facts.heard => Event::MediaUp { call },
            CallState::Dialing => Event::Ringing { call },
            CallState::Ringing | CallState::EarlyMedia => Event::Answered { call },
            CallState::Answered => Event::Digit { call, from: Side::Agent, digit: '5', duration_ms: 90 },
        };
        Input::Gateway { gateway, event }
    }
}
