//! The reference model: of each call it keeps facts with their times, and derives state and deadlines from them. It has
//! no timers, no transitions and no outputs, so that it can hardly be wrong in the same way as the switchboard.

mod again;
mod keyed;
mod pages;

use crate::keys::Key;
use crate::resume::MAX_ASIDE;
use crate::{Config, Input, Page, Plan};
use keyed::{Harmless, Keyed};
use protocol::error::ErrorCode;
use protocol::gateway::{Event, Failure, Side, Transport, VERSION};
use protocol::rest::GatewayLoss;
use protocol::visitor::{CallState, EndReason, VisitorRequest};
use protocol::{CallId, GatewayId, TrunkName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub(super) struct Model {
    config: Config,
    pub(super) calls: BTreeMap<CallId, Facts>,
    pub(super) gateways: BTreeMap<GatewayId, (u32, Vec<TrunkName>)>,
    /// How often each gateway must have been told to release each call.
    pub(super) releases: BTreeMap<(GatewayId, CallId), usize>,
    /// Pages that must have been told to go.
    pub(super) closed: BTreeSet<Page>,
    stopping: bool,
}

pub(super) struct Facts {
    arrived: Instant,
    /// What becomes of it when its gateway is gone, and how often that was so.
    on_gateway_loss: GatewayLoss,
    pub(super) again: u32,
    /// When it was placed again last.
    placed: Option<Instant>,
    trunk: TrunkName,
    no_answer: Duration,
    pub(super) offered: bool,
    pub(super) ready: bool,
    dialed: Option<Instant>,
    rang: Option<Instant>,
    early: bool,
    pub(super) answered: Option<Instant>,
    pub(super) heard: bool,
    /// What carries the audio, or carried it last.
    pub(super) transport: Option<Transport>,
    /// What carries the audio of the page that has the call.
    pub(super) page_transport: Option<Transport>,
    /// Answered before there was audio.
    unheard: Option<Instant>,
    /// Audio broke.
    broken: Option<Instant>,
    pub(super) away: Option<Instant>,
    /// The socket broke, and how long that may last before it is looked at whether the visitor is heard.
    pub(super) unreached: Option<(Instant, Duration)>,
    /// It was looked at.
    judged: bool,
    /// What the page that has the call has said, and was told of keys.
    pub(super) received: u32,
    pub(super) digits: usize,
    pub(super) offers: u32,
    /// The time that it has for more of them, a second each, and since when.
    spare: (Duration, Instant),
    /// Who has the call, or had it last.
    pub(super) page: Page,
    /// Who asks for it, until when, and what was said meanwhile.
    pub(super) contender: Option<(Page, Instant, Vec<VisitorRequest>)>,
    /// How many pages have had the call.
    pub(super) pages: u32,
    /// The token that it asks with.
    contender_token: u32,
    /// When a page first said which certificate the next will have.
    pub(super) bound: Option<Instant>,
    /// The tokens of pages that were told the call is elsewhere.
    pub(super) aside: Vec<u32>,
    /// The tokens that were sent, from the oldest that counts to the newest.
    pub(super) tokens: Vec<u32>,
    /// Whether the page that has the call has offered.
    pub(super) page_offered: bool,
    pub(super) unanswered: usize,
    /// The page over whose socket audio goes as frames.
    pub(super) frames: Option<Page>,
    pub(super) gateway: Option<GatewayId>,
    pub(super) ended: Option<End>,
    pub(super) over: bool,
    keyed: Keyed,
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

    fn may_offer(&mut self, now: Instant) -> bool {
        let (spare, since) = self.spare;
        let spare = (spare + now.duration_since(since)).min(Duration::from_secs(32));
        let after = spare.checked_sub(Duration::from_secs(1));
        self.spare = (after.unwrap_or(spare), now);
        after.is_some()
    }

    fn deadlines(&self, config: &Config) -> Vec<(Instant, EndReason)> {
        let (dialed, rang) = (self.dialed, self.rang);
        let open = |fact: Option<Instant>, closed_by: bool| fact.filter(|_| !closed_by);
        let answered = self.answered.is_some();
        [
            (open(Some(self.arrived), dialed.is_some() || self.away.is_some()), config.setup, EndReason::SetupTimedOut),
            (open(dialed, rang.is_some() || answered), config.trunk_response, EndReason::TrunkUnreachable),
            (open(rang, answered), self.no_answer, EndReason::NoAnswer),
            (self.answered.or(self.placed), config.max_duration, EndReason::TooLong),
            (self.away, config.resume, EndReason::VisitorGone),
            (
                self.unreached.filter(|_| !self.outlives_pages()).map(|(since, _)| since),
                config.visitor_grace,
                EndReason::VisitorGone,
            ),
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
            None => {
                let harmless = [self.contest(), self.judgement(), self.keyed.keys.deadline(), self.command()];
                self.deadlines(config).into_iter().map(|(at, _)| at).chain(harmless.into_iter().flatten()).min()
            }
        }
    }

    /// When it is looked at whether a visitor without a socket is heard.
    fn judgement(&self) -> Option<Instant> {
        let (since, patience) = self.unreached.filter(|_| self.outlives_pages() && !self.judged)?;
        Some(since + patience)
    }

    /// Whether it waits for another page when it has none.
    pub(super) fn outlives_pages(&self) -> bool {
        self.answered.is_some() || !self.tokens.is_empty()
    }

    fn is_here(&self) -> bool {
        self.away.is_none() && self.unreached.is_none()
    }

    /// A page has as long for its microphone as a call's first one.
    fn await_microphone(&mut self, now: Instant) {
        if self.dialed.is_none() {
            self.arrived = now;
        }
    }

    fn leave(&mut self, now: Instant) {
        self.away = Some(now);
        (self.heard, self.unheard, self.broken, self.unreached) = (false, None, None, None);
    }

    fn contest(&self) -> Option<Instant> {
        self.contender.as_ref().map(|(_, until, _)| *until)
    }

    /// Tells whoever asks for the call that it is elsewhere.
    fn dismiss(&mut self) -> Option<Page> {
        let (page, ..) = self.contender.take()?;
        self.set_aside(self.contender_token);
        Some(page)
    }

    fn set_aside(&mut self, token: u32) {
        self.aside.retain(|other| *other != token);
        self.aside.push(token);
        self.aside.reverse();
        self.aside.truncate(MAX_ASIDE);
        self.aside.reverse();
    }

    /// Whether what the gateway says of the audio path is about this page's.
    fn has_path(&self) -> bool {
        self.page_offered && self.unanswered == 0 && self.away.is_none()
    }
}

impl Model {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            calls: BTreeMap::new(),
            gateways: BTreeMap::new(),
            releases: BTreeMap::new(),
            closed: BTreeSet::new(),
            stopping: false,
        }
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
            Input::Arrived { call, page, plan } => self.arrive(call, *page, plan, now),
            Input::Reconnect { call, page, session, .. } => self.reconnect(call, *page, session.0, now),
            Input::VisitorBroken { call, page } => self.break_page(call, *page, now),
            Input::Visitor { request: VisitorRequest::Ping { .. }, .. } => {}
            Input::Resume { call, page, epoch, takeover, fingerprint } => {
                self.resume(call, *page, *epoch, *takeover, fingerprint.is_some(), now);
            }
            Input::Visitor { call, page, request } => {
                let Some(facts) = self.calls.get_mut(call) else { return };
                let has_call = facts.page == *page && facts.is_here();
                match &mut facts.contender {
                    Some((contender, _, held)) if contender == page => held.push(request.clone()),
                    _ if has_call => self.request(call, request, now),
                    _ => {}
                }
            }
            Input::VisitorLost { call, page } => self.lose_page(call, *page, now),
            Input::Gateway { gateway, event: Event::Registered { version, capacity, trunks, .. } }
                if *version == VERSION && self.gateways.contains_key(gateway) =>
            {
                self.gateways.insert(gateway.clone(), (*capacity, trunks.clone()));
            }
            Input::Gateway { gateway, event: Event::Registered { version, capacity, trunks, calls, .. } } => {
                self.lose(gateway, now);
                if *version == VERSION {
                    self.gateways.insert(gateway.clone(), (*capacity, trunks.clone()));
                    for call in calls {
                        *self.releases.entry((gateway.clone(), call.call.clone())).or_default() += 1;
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
            // Never in these schedules; see restarts.rs.
            Input::Restored { .. } | Input::Leave { .. } => {}
            Input::Commands { call, table } => {
                let answered = |facts: &&mut Facts| facts.answered.is_some() && facts.ended.is_none();
                if let Some(facts) = self.calls.get_mut(call).filter(answered) {
                    facts.keyed.keys.handle_table(table.clone(), now);
                    facts.act_on_keys(now);
                }
            }
            Input::Resolved { call, question, page } => {
                let Some(facts) = self.calls.get_mut(call) else { return };
                facts.resolved(*question, page.is_some(), now);
            }
            Input::Set { .. } => {}
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
            while let Some(facts) = self.calls.get_mut(&call)
                && let Some(harmless) = facts.harmless(&self.config, now)
            {
                match harmless {
                    Harmless::Judgement => {
                        facts.judged = true;
                        // Frames went over the socket that broke.
                        if !facts.heard || facts.frames.is_some() {
                            self.leave(&call, now);
                        }
                    }
                    Harmless::Contest => self.closed.extend(facts.dismiss()),
                    Harmless::Keys => {
                        facts.keyed.keys.handle_timeout(now);
                        facts.act_on_keys(now);
                    }
                    Harmless::Command => facts.give_up(now),
                }
            }
            let Some(facts) = self.calls.get(&call) else { continue };
            if facts.next(&self.config).is_none_or(|at| at > now) {
                continue;
            }
            let deadlines = facts.deadlines(&self.config);
            let first = deadlines.iter().map(|(at, _)| *at).min();
            let reasons = deadlines.into_iter().filter(|(at, _)| Some(*at) == first).map(|(_, reason)| reason);
            self.end(&call, reasons.collect(), None, now);
        }
    }

    fn arrive(&mut self, call: &CallId, page: Page, plan: &Plan, now: Instant) {
        let full = self.living() >= self.config.max_calls;
        let facts = Facts {
            arrived: now,
            on_gateway_loss: plan.on_gateway_loss,
            again: 0,
            placed: None,
            trunk: plan.trunk.clone(),
            no_answer: plan.no_answer,
            offered: false,
            ready: false,
            dialed: None,
            rang: None,
            early: false,
            answered: None,
            heard: false,
            transport: None,
            page_transport: None,
            unheard: None,
            broken: None,
            away: None,
            unreached: None,
            judged: false,
            received: 0,
            digits: 0,
            offers: 0,
            spare: (Duration::from_secs(32), now),
            page,
            contender: None,
            pages: 1,
            contender_token: 0,
            bound: None,
            aside: Vec::new(),
            tokens: Vec::new(),
            page_offered: false,
            unanswered: 0,
            frames: None,
            gateway: None,
            ended: None,
            over: false,
            keyed: Keyed::default(),
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
        facts.received += 1;
        let end = match request {
            VisitorRequest::Offer { .. } if !facts.may_offer(now) => None,
            VisitorRequest::Offer { .. } if !facts.offered && homeless => Some(EndReason::NoCapacity),
            VisitorRequest::Offer { .. } => {
                facts.unanswered += 1;
                facts.offers += 1;
                (facts.offered, facts.page_offered) = (true, true);
                None
            }
            VisitorRequest::Ready {} => {
                facts.ready = true;
                facts.tokens.retain(|token| *token == facts.pages);
                facts.page_is_ready(now);
                None
            }
            VisitorRequest::Hangup {} if answered => Some(EndReason::VisitorHungUp),
            VisitorRequest::Hangup {} => Some(EndReason::Cancelled),
            VisitorRequest::Failed { code: ErrorCode::MicrophoneDenied, .. } => Some(EndReason::MicrophoneDenied),
            VisitorRequest::Failed { .. } => Some(EndReason::BrowserFailed),
            VisitorRequest::Shown { .. } | VisitorRequest::Settings { .. } => {
                facts.report(request);
                None
            }
            VisitorRequest::Next { fingerprint } => {
                facts.bound = facts.bound.or((answered && fingerprint != "none").then_some(now));
                None
            }
            VisitorRequest::Hello { .. }
            | VisitorRequest::Candidate { .. }
            | VisitorRequest::Keys { .. }
            | VisitorRequest::Heard { .. }
            | VisitorRequest::Ping { .. } => None,
            VisitorRequest::Frames { codec } => {
                facts.frames = if facts.page_offered { codec.map(|_| facts.page) } else { facts.frames };
                None
            }
        };
        if facts.offered && facts.ready {
            facts.dialed = facts.dialed.or(Some(now));
        }
        if let Some(reason) = end {
            self.end(call, vec![reason], None, now);
        }
    }

    fn event(&mut self, call: &CallId, event: &Event, now: Instant) {
        if self.calls.get(call).is_none_or(|call| call.over) {
            return;
        }
        if matches!(event, Event::Closed { .. }) {
            return self.close(call, now);
        }
        let Some(facts) = self.calls.get_mut(call) else { return };
        if facts.ended.is_some() {
            return;
        }
        let (dialed, answered) = (facts.dialed.is_some(), facts.answered.is_some());
        let mut end = None;
        match event {
            Event::Answer { .. } => facts.unanswered = facts.unanswered.saturating_sub(1),
            Event::MediaUp { .. } if facts.has_path() => {
                (facts.heard, facts.unheard, facts.broken) = (true, None, None)
            }
            Event::Transport { transport, .. } if facts.has_path() => {
                facts.transport = Some(*transport);
                facts.page_transport = Some(*transport);
            }
            Event::MediaDown { .. } if facts.has_path() => {
                (facts.heard, facts.broken) = (false, facts.broken.or(Some(now)));
                if facts.outlives_pages() && facts.unreached.is_some() && (facts.judged || facts.contender.is_some()) {
                    self.leave(call, now);
                }
            }
            Event::Ringing { .. } if dialed && !answered => facts.rang = facts.rang.or(Some(now)),
            Event::EarlyMedia { .. } if dialed && !answered => {
                (facts.rang, facts.early) = (facts.rang.or(Some(now)), true);
            }
            Event::Answered { .. } if dialed && !answered => {
                facts.answered = Some(now);
                if facts.tokens.is_empty() {
                    facts.tokens = vec![facts.pages];
                }
                let unheard = (!facts.heard && facts.away.is_none()).then_some(now);
                facts.unheard = facts.unheard.or(unheard);
            }
            Event::Rejected { status: 486, .. } => end = Some((EndReason::Busy, Some(486))),
            Event::Rejected { status: 603, .. } => end = Some((EndReason::Refused, Some(603))),
            Event::Rejected { status: 404, .. } => end = Some((EndReason::NotFound, Some(404))),
            Event::Rejected { status, .. } => end = Some((EndReason::TrunkFailed, Some(*status))),
            Event::TrunkUnreachable { .. } => end = Some((EndReason::TrunkUnreachable, None)),
            Event::FarEndHungUp { .. } if answered => end = Some((EndReason::AgentHungUp, None)),
            Event::FarEndHungUp { .. } => end = Some((EndReason::Refused, None)),
            Event::Failed { failure: Failure::OfferUnusable, .. } => end = Some((EndReason::MediaFailed, None)),
            Event::Failed { failure: Failure::FarEndSilent, .. } => end = Some((EndReason::FarEndSilent, None)),
            Event::Failed { .. } => end = Some((EndReason::NoCapacity, None)),
            Event::Digit { from: Side::Agent, digit, duration_ms, .. } if answered => {
                facts.keyed.keys.handle_key(Key { digit: *digit, duration_ms: *duration_ms, at: now });
                facts.act_on_keys(now);
            }
            Event::Digit { from: Side::Agent, .. } => facts.digits += 1,
            Event::MediaUp { .. }
            | Event::MediaDown { .. }
            | Event::Digit { from: Side::Visitor, .. }
            | Event::Ringing { .. }
            | Event::EarlyMedia { .. }
            | Event::Answered { .. }
            | Event::Registered { .. }
            | Event::Prepared { .. }
            | Event::Transport { .. }
            | Event::Closed { .. } => {}
        }
        if let Some((reason, status)) = end {
            self.end(call, vec![reason], status, now);
        }
    }

    fn lose(&mut self, gateway: &GatewayId, now: Instant) {
        self.gateways.remove(gateway);
        for call in self.calls.keys().cloned().collect::<Vec<_>>() {
            let of_it = |call: &&mut Facts| call.gateway.as_ref() == Some(gateway);
            if self.calls.get_mut(&call).filter(of_it).is_none() || self.place_again(&call, now) {
                continue;
            }
            let Some(facts) = self.calls.get_mut(&call) else { continue };
            facts.gateway = None;
            facts.over = true;
            self.end(&call, vec![EndReason::GatewayGone], None, now);
        }
    }

    fn end(&mut self, call: &CallId, reasons: Vec<EndReason>, status: Option<u16>, at: Instant) {
        let Some(facts) = self.calls.get_mut(call).filter(|call| call.ended.is_none()) else { return };
        facts.ended = Some(End { at, reasons, status });
        facts.keyed.end();
        self.closed.extend(facts.is_here().then_some(facts.page));
        self.closed.extend(facts.contender.take().map(|(page, ..)| page));
        match facts.gateway.clone() {
            Some(gateway) => *self.releases.entry((gateway, call.clone())).or_default() += 1,
            None => facts.over = true,
        }
    }
}
