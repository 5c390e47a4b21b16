//! The reference model: of each call it keeps facts with their times, and derives state and deadlines from them. It has
//! no timers, no transitions and no outputs, so that it can hardly be wrong in the same way as the switchboard.

use crate::{Config, Input};
use protocol::error::ErrorCode;
use protocol::gateway::{Event, Failure, VERSION};
use protocol::visitor::{CallState, EndReason, VisitorRequest};
use protocol::{CallId, GatewayId, TrunkName};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) struct Model {
    config: Config,
    pub(super) calls: BTreeMap<CallId, Facts>,
    pub(super) gateways: BTreeMap<GatewayId, (u32, Vec<TrunkName>)>,
    /// How often each gateway must have been told to release each call.
    pub(super) releases: BTreeMap<(GatewayId, CallId), usize>,
    stopping: bool,
}

pub(super) struct Facts {
    arrived: Instant,
    trunk: TrunkName,
    no_answer: Duration,
    pub(super) offered: bool,
    pub(super) ready: bool,
    dialed: Option<Instant>,
    rang: Option<Instant>,
    early: bool,
    answered: Option<Instant>,
    pub(super) heard: bool,
    /// Answered before there was audio.
    unheard: Option<Instant>,
    /// Audio broke.
    broken: Option<Instant>,
    pub(super) away: Option<Instant>,
    pub(super) gateway: Option<GatewayId>,
    pub(super) ended: Option<End>,
    pub(super) over: bool,
}

#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) at: Instant,
    /// More than one when deadlines fall together.
    pub(super) reasons: Vec<EndReason>,
    pub(super) status: Option<u16>,
}

impl Facts {
    pub(super) fn state(&self) -> CallState {
        match (self.answered, self.early, self.rang, self.dialed) {
            (Some(_), ..) => CallState::Answered,
            (None, true, ..) => CallState::EarlyMedia,
            (None, false, Some(_), _) => CallState::Ringing,
            (None, false, None, Some(_)) => CallState::Dialing,
            (None, false, None, None) => CallState::Connecting,
        }
    }

    fn deadlines(&self, config: &Config) -> Vec<(Instant, EndReason)> {
        let (dialed, rang) = (self.dialed, self.rang);
        let open = |fact: Option<Instant>, closed_by: bool| fact.filter(|_| !closed_by);
        let answered = self.answered.is_some();
        [
            (open(Some(self.arrived), dialed.is_some()), config.setup, EndReason::SetupTimedOut),
            (open(dialed, rang.is_some() || answered), config.trunk_response, EndReason::TrunkUnreachable),
            (open(rang, answered), self.no_answer, EndReason::NoAnswer),
            (self.answered, config.max_duration, EndReason::TooLong),
            (self.away, config.visitor_grace, EndReason::VisitorGone),
            (self.unheard, config.media_setup, EndReason::MediaFailed),
            (self.broken, config.media_lost, EndReason::MediaFailed),
        ]
        .into_iter()
        .filter_map(|(since, after, reason)| Some((since? + after, reason)))
        .collect()
    }

    fn next(&self, config: &Config) -> Option<Instant> {
        match &self.ended {
            _ if self.over => None,
            Some(end) => Some(end.at + config.release),
            None => self.deadlines(config).into_iter().map(|(at, _)| at).min(),
        }
    }
}

impl Model {
    pub(super) fn new(config: Config) -> Self {
        Self { config, calls: BTreeMap::new(), gateways: BTreeMap::new(), releases: BTreeMap::new(), stopping: false }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.calls.values().filter_map(|call| call.next(&self.config)).min()
    }

    pub(super) fn living(&self) -> usize {
        self.calls.values().filter(|call| !call.over).count()
    }

    pub(super) fn load(&self, gateway: &GatewayId) -> u64 {
        self.calls.values().filter(|call| !call.over && call.gateway.as_ref() == Some(gateway)).count() as u64
    }

    /// The gateways that have the call's trunk and room.
    pub(super) fn usable(&self, call: &CallId) -> Vec<&GatewayId> {
        let trunk = self.calls.get(call).map(|call| &call.trunk);
        let fits = |(id, (capacity, trunks)): &(&GatewayId, &(u32, Vec<TrunkName>))| {
            trunk.is_some_and(|trunk| trunks.contains(trunk)) && self.load(id) < u64::from(*capacity)
        };
        self.gateways.iter().filter(fits).map(|(id, _)| id).collect()
    }

    pub(super) fn apply(&mut self, input: &Input, now: Instant) {
        match input {
            Input::Arrived { call, plan } => self.arrive(call, &plan.trunk, plan.no_answer, now),
            Input::Visitor { call, request } => self.request(call, request, now),
            Input::VisitorLost { call } => {
                let Some(facts) = self.calls.get_mut(call).filter(|call| call.ended.is_none()) else { return };
                facts.away = facts.away.or(Some(now));
                if facts.answered.is_none() {
                    self.end(call, vec![EndReason::VisitorGone], None, now);
                }
            }
            Input::Gateway { gateway, event: Event::Registered { version, capacity, trunks, calls, .. } } => {
                self.lose(gateway, now);
                if *version == VERSION {
                    self.gateways.insert(gateway.clone(), (*capacity, trunks.clone()));
                    for call in calls {
                        *self.releases.entry((gateway.clone(), call.clone())).or_default() += 1;
                    }
                }
            }
            Input::Gateway { gateway, event } => {
                let own =
                    |call: &&CallId| self.calls.get(call).is_some_and(|call| call.gateway.as_ref() == Some(gateway));
                if let Some(call) = event.call().filter(own) {
                    self.event(call, event, now);
                }
            }
            Input::GatewayLost { gateway } => self.lose(gateway, now),
            Input::Stop => {
                self.stopping = true;
                for call in self.calls.keys().cloned().collect::<Vec<_>>() {
                    self.end(&call, vec![EndReason::ServerStopping], None, now);
                }
            }
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        for call in self.calls.keys().cloned().collect::<Vec<_>>() {
            let Some(facts) =
                self.calls.get_mut(&call).filter(|call| call.next(&self.config).is_some_and(|at| at <= now))
            else {
                continue;
            };
            if facts.ended.is_some() {
                facts.over = true;
                continue;
            }
            let deadlines = facts.deadlines(&self.config);
            let first = deadlines.iter().map(|(at, _)| *at).min();
            let reasons = deadlines.into_iter().filter(|(at, _)| Some(*at) == first).map(|(_, reason)| reason);
            self.end(&call, reasons.collect(), None, now);
        }
    }

    fn arrive(&mut self, call: &CallId, trunk: &TrunkName, no_answer: Duration, now: Instant) {
        let full = self.living() >= self.config.max_calls;
        let facts = Facts {
            arrived: now,
            trunk: trunk.clone(),
            no_answer,
            offered: false,
            ready: false,
            dialed: None,
            rang: None,
            early: false,
            answered: None,
            heard: false,
            unheard: None,
            broken: None,
            away: None,
            gateway: None,
            ended: None,
            over: false,
        };
        if self.calls.contains_key(call) {
            return;
        }
        self.calls.insert(call.clone(), facts);
        if self.stopping {
            self.end(call, vec![EndReason::ServerStopping], None, now);
        } else if full {
            self.end(call, vec![EndReason::NoCapacity], None, now);
        }
    }

    fn request(&mut self, call: &CallId, request: &VisitorRequest, now: Instant) {
        let homeless = self.usable(call).is_empty();
        let Some(facts) = self.calls.get_mut(call).filter(|call| call.ended.is_none()) else { return };
        let answered = facts.answered.is_some();
        let end = match request {
            VisitorRequest::Offer { .. } if !facts.offered && homeless => Some(EndReason::NoCapacity),
            VisitorRequest::Offer { .. } => {
                facts.offered = true;
                None
            }
            VisitorRequest::Ready {} => {
                facts.ready = true;
                None
            }
            VisitorRequest::Hangup {} if answered => Some(EndReason::VisitorHungUp),
            VisitorRequest::Hangup {} => Some(EndReason::Cancelled),
            VisitorRequest::Failed { code: ErrorCode::MicrophoneDenied, .. } => Some(EndReason::MicrophoneDenied),
            VisitorRequest::Failed { .. } => Some(EndReason::BrowserFailed),
            VisitorRequest::Hello { .. } | VisitorRequest::Candidate { .. } => None,
        };
        if facts.offered && facts.ready {
            facts.dialed = facts.dialed.or(Some(now));
        }
        if let Some(reason) = end {
            self.end(call, vec![reason], None, now);
        }
    }

    fn event(&mut self, call: &CallId, event: &Event, now: Instant) {
        let Some(facts) = self.calls.get_mut(call).filter(|call| !call.over) else { return };
        if matches!(event, Event::Closed { .. }) {
            // What is closed cannot be released any more.
            facts.gateway = None;
            facts.over = true;
            return self.end(call, vec![EndReason::GatewayGone], None, now);
        }
        if facts.ended.is_some() {
            return;
        }
        let (dialed, answered) = (facts.dialed.is_some(), facts.answered.is_some());
        let mut end = None;
        match event {
            Event::MediaUp { .. } => (facts.heard, facts.unheard, facts.broken) = (true, None, None),
            Event::MediaDown { .. } => (facts.heard, facts.broken) = (false, facts.broken.or(Some(now))),
            Event::Ringing { .. } if dialed && !answered => facts.rang = facts.rang.or(Some(now)),
            Event::EarlyMedia { .. } if dialed && !answered => {
                (facts.rang, facts.early) = (facts.rang.or(Some(now)), true);
            }
            Event::Answered { .. } if dialed && !answered => {
                facts.answered = Some(now);
                facts.unheard = (!facts.heard).then_some(now);
            }
            Event::Rejected { status: 486, .. } => end = Some((EndReason::Busy, Some(486))),
            Event::Rejected { status: 603, .. } => end = Some((EndReason::Refused, Some(603))),
            Event::Rejected { status: 404, .. } => end = Some((EndReason::NotFound, Some(404))),
            Event::Rejected { status, .. } => end = Some((EndReason::TrunkFailed, Some(*status))),
            Event::TrunkUnreachable { .. } => end = Some((EndReason::TrunkUnreachable, None)),
            Event::FarEndHungUp { .. } if answered => end = Some((EndReason::AgentHungUp, None)),
            Event::FarEndHungUp { .. } => end = Some((EndReason::Refused, None)),
            Event::Failed { failure: Failure::OfferUnusable, .. } => end = Some((EndReason::MediaFailed, None)),
            Event::Failed { .. } => end = Some((EndReason::NoCapacity, None)),
            Event::Answer { .. }
            | Event::Digit { .. }
            | Event::Ringing { .. }
            | Event::EarlyMedia { .. }
            | Event::Answered { .. }
            | Event::Registered { .. }
            | Event::Closed { .. } => {}
        }
        if let Some((reason, status)) = end {
            self.end(call, vec![reason], status, now);
        }
    }

    fn lose(&mut self, gateway: &GatewayId, now: Instant) {
        self.gateways.remove(gateway);
        for call in self.calls.keys().cloned().collect::<Vec<_>>() {
            let Some(facts) = self.calls.get_mut(&call).filter(|call| call.gateway.as_ref() == Some(gateway)) else {
                continue;
            };
            facts.gateway = None;
            facts.over = true;
            self.end(&call, vec![EndReason::GatewayGone], None, now);
        }
    }

    fn end(&mut self, call: &CallId, reasons: Vec<EndReason>, status: Option<u16>, at: Instant) {
        let Some(facts) = self.calls.get_mut(call).filter(|call| call.ended.is_none()) else { return };
        facts.ended = Some(End { at, reasons, status });
        match facts.gateway.clone() {
            Some(gateway) => *self.releases.entry((gateway, call.clone())).or_default() += 1,
            None => facts.over = true,
        }
    }
}
