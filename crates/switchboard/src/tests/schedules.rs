//! Random schedules: inputs in any order, time that jumps, duplicates, lost gateways. Each step is compared with the
//! reference model, and each output held against what must be true of every call.

mod moves;

use super::bench::Bench;
use super::model::Model;
use super::phones::Phones;
use super::turns::{FINGERPRINT, Op, SLOTS, TRUNKS, Which, offer, schedules};
use crate::{Change, Config, Epoch, Input, MAX_CANDIDATES, Outcome, Output, Page, Question};
use proptest::test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner};
use protocol::error::ErrorCode;
use protocol::gateway::{Command, Event, Tone, Transport};
use protocol::visitor::{CallState, EndReason, VisitorEvent, VisitorRequest};
use protocol::{CallId, GatewayId, TrunkName};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Arrival, offer, answer, microphone, audio, ringing, answer; and one that may be lost to a call that is just over.
const STEPS_TO_ANSWER: usize = 8;
/// An input may end every call, and flush one call's candidates.
const MAX_OUTPUTS: usize = MAX_CANDIDATES + SLOTS * 8;

/// What the outputs have told of one call.
#[derive(Default)]
struct Told {
    changes: Vec<usize>,
    transport: Option<Transport>,
    offered_to: Option<GatewayId>,
    offers: u32,
    dialed: bool,
    released: bool,
    /// Whose socket carries frames, and what the gateway knows of them.
    frames: (Option<Page>, bool),
    /// Tones of the one kind and of the other, and commands that came to such an end.
    tones: (usize, usize),
    commanded: (usize, usize),
}

/// What the outputs have told one page.
#[derive(Default)]
struct Shown {
    welcomed: bool,
    /// It came back, and may be told all again.
    has_returned: bool,
    /// It knows why it will be closed.
    dismissed: bool,
    closed: bool,
}

struct World {
    bench: Bench,
    model: Model,
    told: BTreeMap<CallId, Told>,
    shown: BTreeMap<Page, Shown>,
    phones: Phones,
    next_page: u64,
    releases: BTreeMap<(GatewayId, CallId), usize>,
    generations: [usize; SLOTS],
    seen: BTreeSet<EndReason>,
    /// How often each call was placed again, and all together.
    placed: BTreeMap<CallId, u32>,
    again: usize,
    /// Of those, pages that came while nobody had answered, and answers that came while there was no page.
    turned: (usize, usize),
    last: Option<Input>,
}

impl World {
    fn new() -> Self {
        // A little room, so that it runs out; a short longest call; deadlines for audio in an unusual order.
        let config = Config {
            max_calls: SLOTS - 1,
            max_duration: Duration::from_secs(600),
            media_lost: Duration::from_secs(25),
            // What becomes of calls whose gateway is waited for stands in restarts.rs.
            gateway: Duration::ZERO,
            ..Config::default()
        };
        Self {
            bench: Bench::new(config.clone()),
            model: Model::new(config),
            told: BTreeMap::new(),
            shown: BTreeMap::new(),
            phones: Phones::default(),
            next_page: 0,
            releases: BTreeMap::new(),
            generations: [0; SLOTS],
            seen: BTreeSet::new(),
            placed: BTreeMap::new(),
            again: 0,
            turned: (0, 0),
            last: None,
        }
    }

    fn take(&mut self, op: Op) {
        match op {
            Op::Progress { slot } => self.progress(slot),
            Op::Arrive { slot, trunk } => {
                let input = self.arrival(slot, trunk);
                self.input(input);
            }
            Op::Say { slot, from, request } => {
                let page = self.page(slot, from);
                self.input(Input::Visitor { call: self.call(slot), page, request });
            }
            Op::LoseVisitor { slot, which } => {
                self.input(Input::VisitorLost { call: self.call(slot), page: self.page(slot, which) });
            }
            Op::BreakVisitor { slot, which } => {
                self.input(Input::VisitorBroken { call: self.call(slot), page: self.page(slot, which) });
            }
            Op::Reconnect { slot, older, lost } => {
                let input = self.reconnection(slot, older, lost);
                self.input(input);
            }
            Op::Resume { slot, older, takeover, certified } => {
                let (call, page) = (self.call(slot), self.fresh_page());
                let newest = self.model.calls.get(&call).map_or(1, |facts| facts.pages);
                let epoch = Epoch(newest.saturating_sub(older));
                let fingerprint = certified.then(|| FINGERPRINT.to_owned());
                self.input(Input::Resume { call, page, epoch, takeover, fingerprint });
            }
            Op::MoveBack(slot, which) => self.move_back(slot, which),
            Op::Report { slot, stranger, event } => {
                let call = self.call(slot);
                let gateway = stranger.map(gateway).unwrap_or_else(|| self.gateway_of(slot));
                self.input(Input::Gateway { gateway, event: event.0(call) });
            }
            Op::Register { gateway: n, version, capacity, trunks, carries } => {
                let input = self.registration(gateway(n), version, capacity, trunks, carries);
                self.input(input);
            }
            Op::LoseGateway { gateway: n } => self.input(Input::GatewayLost { gateway: gateway(n) }),
            Op::Answer { slot } => self.answer(slot),
            Op::PlaceAgain { slot, turns } => self.place_again(slot, turns),
            Op::Code { slot, code, then } => self.key_code(slot, code, then),
            Op::Find { slot, found } => self.find(slot, found),
            Op::Resolve { slot, question, page } => {
                let (call, page) = (self.call(slot), page.then(|| "https://shop.example/order".to_owned()));
                self.input(Input::Resolved { call, question: Question(question), page });
            }
            Op::Stop => self.input(Input::Stop),
            Op::Again => {
                // Ids are fresh: that of a call that is over does not arrive again, and no socket comes twice.
                let over = |call: &CallId| self.model.calls.get(call).is_some_and(|facts| facts.over);
                let stale = |input: &Input| {
                    matches!(input, Input::Resume { .. } | Input::Reconnect { .. })
                        || matches!(input, Input::Arrived { call, .. } if over(call))
                };
                if let Some(input) = self.last.clone().filter(|input| !stale(input)) {
                    self.input(input);
                }
            }
            Op::Wait(time) => self.wait(time),
            Op::Oversleep(time) => {
                self.bench.now += time;
                self.timeout();
            }
            Op::Jump(time) => self.bench.now += time,
        }
    }

    /// Another tab moves the call to itself, and one that lost it moves it back.
    fn move_back(&mut self, slot: usize, which: usize) {
        for back in [false, true] {
            let (call, page) = (self.call(slot), self.fresh_page());
            let facts = self.model.calls.get(&call);
            let aside = facts.and_then(|facts| facts.aside.iter().rev().nth(which));
            let epoch = if back { aside.copied() } else { facts.map(|facts| facts.pages) };
            let epoch = Epoch(epoch.unwrap_or_default());
            let fingerprint = Some(FINGERPRINT.to_owned());
            self.input(Input::Resume { call: call.clone(), page, epoch, takeover: true, fingerprint });
            self.input(Input::Visitor { call, page, request: VisitorRequest::Ready {} });
        }
    }

    fn call(&self, slot: usize) -> CallId {
        CallId::new(format!("c{slot}.{}", self.generations.get(slot).copied().unwrap_or_default()))
    }

    fn gateway_of(&self, slot: usize) -> GatewayId {
        let own = self.model.calls.get(&self.call(slot)).and_then(|facts| facts.gateway.clone());
        own.unwrap_or_else(|| gateway(0))
    }

    fn fresh_page(&mut self) -> Page {
        self.next_page += 1;
        Page(self.next_page)
    }

    fn page(&self, slot: usize, which: Which) -> Page {
        let facts = self.model.calls.get(&self.call(slot));
        let page = match which {
            Which::Current => facts.map(|facts| facts.page),
            Which::Contender => facts.and_then(|facts| facts.contender.as_ref()).map(|(page, ..)| *page),
            Which::Other => None,
        };
        page.unwrap_or(Page(0))
    }

    fn input(&mut self, input: Input) {
        self.last = Some(input.clone());
        if let Input::VisitorLost { page, .. } | Input::VisitorBroken { page, .. } = &input {
            // Nothing shall be said to it any more.
            self.shown.entry(*page).or_default().closed = true;
            self.model.closed.insert(*page);
        }
        self.bench.board.handle_input(input.clone(), self.bench.now);
        self.model.apply(&input, self.bench.now);
        if let Input::Gateway { event: Event::Answered { call }, .. } = &input {
            let facts = self.model.calls.get(call).filter(|facts| facts.ended.is_none());
            let is_away = |facts: &super::model::Facts| facts.away.is_some() && facts.answered == Some(self.bench.now);
            self.turned.1 += usize::from(facts.is_some_and(is_away));
        }
        self.judge();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.bench.now + time;
        while let Some(at) = self.bench.board.poll_timeout().filter(|at| *at <= until) {
            self.bench.now = self.bench.now.max(at);
            self.timeout();
        }
        self.bench.now = until;
    }

    fn timeout(&mut self) {
        self.bench.board.handle_timeout(self.bench.now);
        self.model.expire(self.bench.now);
        self.judge();
        assert!(self.bench.board.poll_timeout().is_none_or(|at| at > self.bench.now), "a deadline stays in the past");
    }

    /// Compares the step's outputs and the state after it with the model.
    fn judge(&mut self) {
        let again = self
            .model
            .calls
            .iter()
            .filter(|(id, facts)| self.placed.insert((*id).clone(), facts.again) < Some(facts.again));
        for (id, _) in again.filter(|(_, facts)| facts.again > 0) {
            // Another gateway, which is offered to and dials anew.
            let told = self.told.entry(id.clone()).or_default();
            (told.offered_to, told.dialed, told.frames) = (None, false, (None, false));
        }
        let outputs = self.bench.drain();
        assert!(outputs.len() <= MAX_OUTPUTS, "{} outputs of one input", outputs.len());
        for output in outputs {
            self.audit(output);
        }
        let board = &self.bench.board;
        assert_eq!(board.calls(), self.model.living());
        assert_eq!(board.gateways(), self.model.gateways.len());
        assert_eq!(board.poll_timeout(), self.model.next());
        assert_eq!(board.poll_timeout().is_some(), board.calls() > 0, "a call without a deadline, or the reverse");
        assert_eq!(self.releases, self.model.releases);
        for (id, facts) in &self.model.calls {
            let told = self.told.get(id);
            let record_closed = told.is_some_and(|told| told.changes.last() == Some(&4));
            assert_eq!(record_closed, facts.over, "the record of {id}");
            let tones = told.map(|told| (told.tones, told.commanded)).unwrap_or_default();
            assert_eq!(tones, (facts.tones(), facts.tones()), "the commands of {id}");
            assert_eq!(
                told.is_some_and(|told| told.dialed),
                facts.state() != CallState::Connecting,
                "the dialing of {id}"
            );
            assert_eq!(told.and_then(|told| told.transport), facts.transport, "the transport of {id}");
            if let Some(told) = told.filter(|_| facts.ended.is_none()) {
                assert_eq!(told.frames, (facts.frames, facts.frames.is_some()), "the frames of {id}");
            }
            if facts.away.is_none() && facts.unreached.is_none() {
                self.phones.judge(id, facts);
            }
        }
        let closed: BTreeSet<_> = self.shown.iter().filter(|(_, shown)| shown.closed).map(|(page, _)| *page).collect();
        assert_eq!(closed, self.model.closed, "the pages that are closed");
    }

    /// What must be true of every output.
    fn audit(&mut self, output: Output) {
        match output {
            Output::Visitor { call, page, event } => self.audit_event(&call, page, event),
            Output::ResumeToken { call, page, epoch, .. } => {
                assert!(self.shown.get(&page).is_some_and(|shown| shown.welcomed && !shown.closed));
                if let Some(facts) = self.model.calls.get(&call) {
                    self.phones.hear_token(&call, page, facts, format!("token {}", epoch.0));
                    assert_eq!(epoch.0, facts.pages, "the token of {call}");
                }
            }
            Output::SessionToken { call, page, session, .. } => {
                assert!(self.shown.get(&page).is_some_and(|shown| shown.welcomed && !shown.closed));
                if let Some(facts) = self.model.calls.get(&call) {
                    self.phones.hear_token(&call, page, facts, format!("session {}", session.0));
                    assert_eq!(session.0, facts.pages, "the session of {call}");
                }
            }
            Output::ProbeVisitor { page, .. } => {
                assert!(self.shown.get(&page).is_some_and(|shown| shown.welcomed && !shown.closed));
            }
            Output::CloseVisitor { call, page } => {
                let has_another = self.model.calls.get(&call).is_some_and(|facts| facts.page != page);
                let shown = self.shown.entry(page).or_default();
                assert!((shown.dismissed || has_another) && !shown.closed, "closed before the end, or twice");
                shown.closed = true;
            }
            Output::Frames { call, gateway, page } => {
                let told = self.told.entry(call).or_default();
                // A call that is placed again carries no more of them to the gateway that it had.
                let had_another = told.offered_to.is_none() && page.is_none();
                assert!(had_another || told.offered_to.as_ref() == Some(&gateway), "frames for {gateway}");
                told.frames.0 = page;
            }
            Output::Gateway { gateway, command } => self.audit_command(gateway, command),
            Output::RefuseGateway { gateway, .. } => assert!(!self.model.gateways.contains_key(&gateway)),
            Output::FindCommands { call, .. } | Output::Resolve { call, .. } => {
                let facts = self.model.calls.get(&call);
                // Whoever oversleeps may ask, and end the call at once.
                let goes_on =
                    |facts: &super::model::Facts| facts.ended.as_ref().is_none_or(|end| end.at == self.bench.now);
                assert!(facts.is_some_and(|facts| facts.answered.is_some() && goes_on(facts)));
            }
            Output::Commanded { call, outcome, .. } => {
                let (done, refused) = &mut self.told.entry(call).or_default().commanded;
                *(if outcome == Outcome::Refused { refused } else { done }) += 1;
            }
            Output::Record { call, at, change } => self.audit_record(call, at, &change),
        }
    }

    fn audit_event(&mut self, call: &CallId, page: Page, event: VisitorEvent) {
        if let Some(facts) = self.model.calls.get(call) {
            self.phones.hear(call, page, facts, &event);
        }
        if let VisitorEvent::Error { code: ErrorCode::CalledAgain, .. } = event {
            self.again += 1;
        }
        let shown = self.shown.entry(page).or_default();
        assert!(!shown.dismissed && !shown.closed, "{event:?} after the end");
        match event {
            VisitorEvent::Welcome { .. } => {
                let is_turned = |facts: &super::model::Facts| facts.pages > 1 && facts.answered.is_none();
                self.turned.0 += usize::from(!shown.has_returned && self.model.calls.get(call).is_some_and(is_turned));
                assert!(!std::mem::replace(&mut shown.welcomed, true) || shown.has_returned, "welcomed twice");
            }
            VisitorEvent::Reconnected { .. } => {
                assert!(!std::mem::replace(&mut shown.welcomed, true), "welcomed twice");
                shown.has_returned = true;
            }
            // Over its earlier socket it knows already.
            VisitorEvent::Ended { .. } if shown.dismissed => {}
            VisitorEvent::Ended { code: Some(ErrorCode::CallOver), .. }
            | VisitorEvent::Error { code: ErrorCode::CallElsewhere, .. } => shown.dismissed = true,
            VisitorEvent::Ended { reason, code, .. } => {
                assert_eq!(code, reason.code());
                shown.dismissed = true;
            }
            VisitorEvent::Answer { .. }
            | VisitorEvent::Transport { .. }
            | VisitorEvent::State { .. }
            | VisitorEvent::Resumed { .. }
            | VisitorEvent::Session { .. }
            | VisitorEvent::Pong { .. }
            | VisitorEvent::Digit { .. }
            | VisitorEvent::Resume { .. }
            | VisitorEvent::Page { .. }
            | VisitorEvent::Prepared { .. }
            | VisitorEvent::Set { .. }
            | VisitorEvent::Error { .. } => assert!(shown.welcomed),
        }
    }

    fn audit_command(&mut self, gateway: GatewayId, command: Command) {
        let call = command.call().clone();
        assert!(self.model.gateways.contains_key(&gateway), "{command:?} to a gateway that is not there");
        if let Command::Release { .. } = command {
            if let Some(told) = self.told.get_mut(&call) {
                told.released |= told.offered_to.as_ref() == Some(&gateway);
            }
            *self.releases.entry((gateway, call)).or_default() += 1;
            return;
        }
        if let (Command::Offer { .. }, None) =
            (&command, self.told.get(&call).and_then(|told| told.offered_to.as_ref()))
        {
            self.audit_choice(&call, &gateway);
            if let Some(facts) = self.model.calls.get_mut(&call) {
                facts.gateway = Some(gateway.clone());
            }
        }
        let told = self.told.entry(call.clone()).or_default();
        assert!(!told.released, "{command:?} after the end");
        match command {
            Command::Offer { .. } => {
                assert!(told.offered_to.get_or_insert(gateway.clone()) == &gateway, "offered to another gateway");
                told.offers += 1;
                let offers = self.model.calls.get(&call).map_or(0, |facts| facts.offers);
                assert_eq!(told.offers, offers, "offers of {call}");
            }
            Command::VisitorAway { .. } => {
                assert_eq!(told.offered_to.as_ref(), Some(&gateway));
                assert!(self.model.calls.get(&call).is_some_and(|facts| facts.away == Some(self.bench.now)));
            }
            Command::Frames { codec, .. } => {
                assert_eq!(told.offered_to.as_ref(), Some(&gateway));
                told.frames.1 = codec.is_some();
            }
            Command::Candidate { .. } | Command::Press { .. } => assert_eq!(told.offered_to.as_ref(), Some(&gateway)),
            Command::Prepare { .. } => {
                assert_eq!(told.offered_to.as_ref(), Some(&gateway));
                assert!(self.model.calls.get(&call).is_some_and(|facts| facts.bound.is_some()), "nobody has asked");
            }
            Command::Dial { .. } => {
                assert_eq!(told.offered_to.as_ref(), Some(&gateway), "dialed before the offer");
                assert!(self.model.calls.get(&call).is_some_and(|facts| facts.ready), "dialed before the microphone");
                assert!(!std::mem::replace(&mut told.dialed, true), "dialed twice");
            }
            Command::Tone { tone, .. } => {
                let (done, refused) = &mut told.tones;
                *(if tone == Tone::Refused { refused } else { done }) += 1;
            }
            Command::Release { .. } => {}
            Command::Echo { .. } => panic!("a check of a call: {command:?}"),
        }
    }

    /// No gateway that can take the call is less loaded than the chosen one.
    fn audit_choice(&self, call: &CallId, chosen: &GatewayId) {
        let usable = self.model.usable(call);
        assert!(usable.contains(&chosen), "{chosen} cannot take {call}");
        let share = |id: &GatewayId| {
            self.model.load(id) as f64 / self.model.gateways.get(id).map_or(1.0, |(capacity, _)| f64::from(*capacity))
        };
        assert!(usable.iter().all(|id| share(id) >= share(chosen)), "{chosen} is not the least loaded");
    }

    fn audit_record(&mut self, call: CallId, at: std::time::Instant, change: &Change) {
        let rank = match change {
            Change::Started { .. } => 0,
            Change::Dialed => 1,
            Change::Ringing => 2,
            Change::Answered => 3,
            Change::Ended(_) => 4,
            Change::Tokens { epoch, .. } => {
                let pages = self.model.calls.get(&call).map(|facts| facts.pages);
                assert_eq!(Some(epoch.0), pages, "{call}: another token is written than sent");
                return;
            }
            Change::Certificates { known } => {
                let is_bound = self.model.calls.get(&call).is_some_and(|facts| facts.bound.is_some());
                assert!(is_bound && known == &[FINGERPRINT], "{call} is bound to {known:?}");
                return;
            }
            Change::Carried { gateway } => {
                let told = self.told.entry(call.clone()).or_default();
                assert!(
                    !told.changes.contains(&4) && told.offered_to.is_none(),
                    "{call}: carried by {gateway} as well"
                );
                return;
            }
            Change::Transport { transport } => {
                let told = self.told.entry(call.clone()).or_default();
                assert_ne!(told.transport.replace(*transport), Some(*transport), "{call}: moved to where it was");
                assert!(!told.changes.is_empty() && !told.changes.contains(&4), "{call}: moved without a record");
                return;
            }
        };
        let told = self.told.entry(call.clone()).or_default();
        assert_eq!(told.changes.is_empty(), rank == 0, "a record starts once, and first");
        assert!(told.changes.iter().all(|earlier| *earlier < rank), "{call}: {change:?} after {:?}", told.changes);
        told.changes.push(rank);
        match (change, self.model.calls.get(&call).and_then(|facts| facts.ended.as_ref())) {
            (Change::Ended(ending), Some(end)) => {
                assert!(end.reasons.contains(&ending.reason), "{call}: {ending:?}, not {end:?}");
                assert_eq!((at, ending.sip_status), (end.at, end.status), "{call}");
                self.seen.insert(ending.reason);
            }
            (Change::Ended(ending), None) => panic!("{call} goes on, but its record says {ending:?}"),
            _ => assert_eq!(at, self.bench.now),
        }
    }

    /// Commands that were done, and that were refused.
    fn tones(&self) -> (usize, usize) {
        self.told.values().fold((0, 0), |sum, told| (sum.0 + told.tones.0, sum.1 + told.tones.1))
    }

    /// Lets everything run out and looks for what is left.
    fn finish(mut self) -> BTreeSet<EndReason> {
        let turns = self.bench.board.calls() * super::bench::MAX_TURNS_PER_CALL;
        for _ in 0..turns {
            let Some(at) = self.bench.board.poll_timeout() else { break };
            self.bench.now = self.bench.now.max(at);
            self.timeout();
        }
        assert!(
            self.bench.board.is_empty() && self.bench.board.timers() == 0,
            "something is left after {turns} deadlines"
        );
        for (call, told) in &self.told {
            assert_eq!((told.changes.first(), told.changes.last()), (Some(&0), Some(&4)), "the record of {call}");
        }
        self.seen
    }
}

/// Those whose bits are set.
fn trunks_of(bits: usize) -> Vec<TrunkName> {
    let trunks = TRUNKS.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0);
    trunks.map(|(_, trunk)| TrunkName::from(*trunk)).collect()
}

fn gateway(n: usize) -> GatewayId {
    GatewayId::new(format!("g{n}"))
}

/// The seed is fixed, so that a failure is the change's and not the day's; `PROPTEST_CASES` digs deeper.
#[test]
fn any_schedule_agrees_with_the_model_and_together_they_reach_every_end() {
    let cases = RunnerConfig::default().cases.max(1_000);
    let config = RunnerConfig { cases, failure_persistence: None, ..RunnerConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let seen = RefCell::new(BTreeSet::new());
    let tones = RefCell::new((0, 0));
    let (again, turned) = (RefCell::new(0), RefCell::new((0, 0)));
    let result = runner.run(&schedules(), |ops| {
        let mut world = World::new();
        for op in ops {
            world.take(op);
        }
        let (done, refused) = world.tones();
        tones.replace_with(|sum| (sum.0 + done, sum.1 + refused));
        again.replace_with(|sum| *sum + world.again);
        turned.replace_with(|sum| (sum.0 + world.turned.0, sum.1 + world.turned.1));
        seen.borrow_mut().extend(world.finish());
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let missed: Vec<_> = EndReason::ALL.iter().filter(|reason| !seen.borrow().contains(reason)).collect();
    assert!(missed.is_empty(), "the schedules are too tame: no call ended as {missed:?}");
    assert!(again.into_inner() > 20, "the schedules are too tame: hardly a call was placed again");
    let (pages, answers) = turned.into_inner();
    assert!(pages > 100 && answers > 100, "the schedules are too tame: {pages} pages, {answers} answers between pages");
    let (done, refused) = tones.into_inner();
    assert!(done > 10 && refused > 30, "the schedules are too tame: {done} commands were done, {refused} refused");
}

#[test]
fn a_stopped_switchboard_with_many_calls_runs_dry() {
    let mut bench = Bench::new(Config::default());
    for n in 0..100 {
        bench.prepare([super::bench::arrived(&format!("c{n}"))]);
        if n == 50 {
            bench.prepare([super::bench::registered("g1", 1000, &[])]);
        }
        let request = offer();
        bench.prepare([Input::Visitor { call: CallId::new(format!("c{n}")), page: super::bench::PAGE, request }]);
    }
    assert_eq!(bench.board.calls(), 50);
    let ended = |outputs: &[Output]| {
        outputs.iter().filter(|output| matches!(output, Output::Record { change: Change::Ended(_), .. })).count()
    };
    assert_eq!(ended(&bench.send(Input::Stop)), 0);
    assert_eq!(ended(&bench.drive_bounded()), 50);
    assert!(bench.board.is_empty());
}
