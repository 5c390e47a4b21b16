//! All calls and gateways: hands each input to the call that it concerns, and keeps the calls ordered by their next
//! deadline. What an input means to a call stands in `call.rs`.

use crate::call::{Call, Effects};
use crate::gateways::Gateways;
use crate::resume::{self, Page};
use crate::{Config, Input, Output, Plan, Restored};
use protocol::gateway::{Carried, Command, Event, VERSION};
use protocol::settings::State;
use protocol::visitor::EndReason;
use protocol::{CallId, GatewayId, TrunkName};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// The state of all calls. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Switchboard {
    config: Config,
    calls: BTreeMap<CallId, Call>,
    /// Each call under its earliest deadline.
    deadlines: BTreeSet<(Instant, CallId)>,
    gateways: Gateways,
    outputs: VecDeque<Output>,
    stopping: bool,
}

impl Switchboard {
    /// A switchboard with no call and no gateway.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            calls: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            gateways: Gateways::default(),
            outputs: VecDeque::new(),
            stopping: false,
        }
    }

    /// Takes an input. Inputs about calls that are unknown or over have no effect.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::Arrived { call, page, plan } => self.arrived(call, page, plan, now),
            Input::Resume { call, page, epoch, takeover, fingerprint } if self.calls.contains_key(&call) => {
                self.with(&call, now, |call, fx| call.handle_resume(page, epoch, takeover, fingerprint, fx));
            }
            Input::Resume { call, page, .. } => resume::refuse_as_over(&call, page, &mut self.outputs),
            Input::Visitor { call, page, request } => {
                self.with(&call, now, |call, fx| call.handle_page_request(page, request, fx));
            }
            Input::VisitorLost { call, page } => self.with(&call, now, |call, fx| call.handle_page_lost(page, fx)),
            Input::Gateway { gateway, event: Event::Registered { version, gateway: _, capacity, trunks, calls } } => {
                if version == VERSION && self.gateways.has(&gateway) {
                    // Over the connection that it has: nothing is lost, it only takes more calls or fewer.
                    return self.gateways.renew(&gateway, capacity, trunks);
                }
                self.gateway_lost(&gateway, now);
                match self.gateways.register(gateway.clone(), version, capacity, trunks) {
                    Ok(()) => self.join(&gateway, calls, now),
                    Err(refusal) => self.outputs.push_back(Output::RefuseGateway { gateway, refusal }),
                }
            }
            Input::Gateway { gateway, event } => {
                if let Some(call) = event.call().cloned() {
                    self.with(&call, now, |call, fx| call.handle_event(&gateway, event, fx));
                }
            }
            Input::GatewayLost { gateway } => self.gateway_lost(&gateway, now),
            Input::Commands { call, table } => self.with(&call, now, |call, fx| call.handle_table(table, fx)),
            Input::Resolved { call, question, page } => {
                self.with(&call, now, |call, fx| call.handle_resolved(question, page, fx));
            }
            Input::Set { call, change } => self.with(&call, now, |call, fx| call.handle_change(change, fx)),
            Input::Stop => self.stop(now),
            Input::VisitorBroken { call, page } => self.with(&call, now, |call, fx| call.handle_page_broken(page, fx)),
            Input::Reconnect { call, page, session, seen } if self.calls.contains_key(&call) => {
                self.with(&call, now, |call, fx| call.handle_reconnect(page, session, seen, fx));
            }
            Input::Reconnect { call, page, .. } => resume::refuse_as_over(&call, page, &mut self.outputs),
            Input::Restored { call, restored } => self.restored(call, *restored, now),
            Input::Leave { outliving, all } => self.leave(&outliving, all, now),
        }
    }

    /// What is set on the shopper's side of an answered call, as its panel told last.
    pub fn settings(&self, call: &CallId) -> Option<&State> {
        self.calls.get(call).and_then(Call::settings)
    }

    /// Where a check's leg goes: to the gateway that a call over that trunk would go to, or any.
    pub fn gateway_for_check(&self, trunk: Option<&TrunkName>) -> Option<GatewayId> {
        self.gateways.for_check(trunk).cloned()
    }

    /// Lets the first deadline of each call pass, if it lies up to `now`. A call seldom has two such: what follows from
    /// the first lies later. [`poll_timeout`](Self::poll_timeout) tells.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Collected first, so that the work of one turn is bounded by the number of calls whatever they do.
        let due: Vec<_> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, call)| call.clone()).collect();
        for call in due {
            self.with(&call, now, Call::handle_timeout);
        }
    }

    /// The next thing to do. To be drained after each input and timeout, or outputs pile up.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `Some` as long as there is a call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Whether nothing is left: no call, no timer, no output.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.deadlines.is_empty() && self.outputs.is_empty()
    }

    /// Calls that live or wait for their gateway's confirmation.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Timers that run.
    pub fn timers(&self) -> usize {
        self.calls.values().map(Call::timers).sum()
    }

    /// Gateways that are registered.
    pub fn gateways(&self) -> usize {
        self.gateways.len()
    }

    fn arrived(&mut self, id: CallId, page: Page, plan: Box<Plan>, now: Instant) {
        if self.calls.contains_key(&id) {
            return;
        }
        let refused = if self.stopping {
            Some(EndReason::ServerStopping)
        } else {
            (self.calls.len() >= self.config.max_calls).then_some(EndReason::NoCapacity)
        };
        self.calls.insert(id.clone(), Call::new(id.clone(), page, plan));
        self.with(&id, now, |call, fx| call.start(refused, fx));
    }

    fn restored(&mut self, id: CallId, restored: Restored, now: Instant) {
        if !self.calls.contains_key(&id) {
            self.calls.insert(id.clone(), Call::restored(id.clone(), restored));
            self.with(&id, now, Call::go_on);
        }
    }

    fn gateway_lost(&mut self, gateway: &GatewayId, now: Instant) {
        let stopping = self.stopping;
        for call in self.gateways.remove(gateway) {
            // Nobody waits for a gateway at the end.
            self.with(
                &call,
                now,
                |call, fx| {
                    if stopping { call.handle_gateway_gone(fx) } else { call.handle_gateway_lost(fx) }
                },
            );
        }
    }

    /// Brings the calls together that a gateway carries and that are waiting for it. One that it carries and nobody waits for
    /// is over: its visitor has been told so, its record is closed.
    fn join(&mut self, gateway: &GatewayId, carried: Vec<Carried>, now: Instant) {
        let mut claimed = BTreeSet::new();
        for carried in carried {
            let id = carried.call.clone();
            if self.calls.get(&id).is_some_and(Call::is_claimable) {
                claimed.insert(id.clone());
                self.with(&id, now, |call, fx| call.handle_claimed(gateway, &carried, fx));
            } else if !claimed.contains(&id) {
                let command = Command::Release { call: id, why: EndReason::GatewayGone.word().to_owned() };
                self.outputs.push_back(Output::Gateway { gateway: gateway.clone(), command });
            }
        }
        let waiting = self.calls.values().filter(|call| call.is_claimable() && call.gateway() == Some(gateway));
        for id in waiting.map(|call| call.id.clone()).collect::<Vec<_>>() {
            self.with(&id, now, Call::handle_unclaimed);
        }
    }

    fn leave(&mut self, outliving: &[(GatewayId, GatewayId)], all: bool, now: Instant) {
        for call in self.calls.keys().cloned().collect::<Vec<_>>() {
            self.with(&call, now, |call, fx| {
                let heir = outliving.iter().find(|(gateway, _)| call.gateway() == Some(gateway)).map(|(_, heir)| heir);
                call.leave_to_successor(heir, all, fx);
            });
        }
    }

    fn stop(&mut self, now: Instant) {
        self.stopping = true;
        for call in self.calls.keys().cloned().collect::<Vec<_>>() {
            self.with(&call, now, |call, fx| call.stop(fx));
        }
    }

    /// Acts on a call if there is one, then files it under its new deadline, or forgets it.
    fn with(&mut self, id: &CallId, now: Instant, act: impl FnOnce(&mut Call, &mut Effects<'_>)) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let before = call.deadline();
        let (config, gateways, outputs) = (&self.config, &mut self.gateways, &mut self.outputs);
        act(call, &mut Effects { now, config, gateways, outputs });
        let after = call.deadline();
        if call.is_over() {
            self.calls.remove(id);
        }
        if before != after {
            before.map(|at| self.deadlines.remove(&(at, id.clone())));
            after.map(|at| self.deadlines.insert((at, id.clone())));
        }
    }
}
