//! Random schedules in which servers are killed and replaced, gateways die, and links to either break, among gateways that do what
//! they are told and pages that come back. There is no model of deadlines here (`schedules.rs` has one): what must be true of
//! any schedule is that nobody is rung twice, nor for a shopper who has left, that nobody else takes a call, that each record is begun once and ended once, and that nothing is left anywhere.

use super::bench::{Bench, MAX_TURNS_PER_CALL, plan};
use crate::{Change, Config, Epoch, Input, Output, Page, Plan, Restored, Session};
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner};
use protocol::error::ErrorCode;
use protocol::gateway::{CallStats, Carried, Command, Event, TrunkLeg, VERSION};
use protocol::visitor::{CallState, VisitorEvent, VisitorRequest};
use protocol::{CallId, GatewayId, TrunkName};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

const SLOTS: usize = 3;
const GATEWAYS: usize = 2;
const TRUNKS: [&str; 2] = ["pstn", "pbx"];

#[derive(Clone, Copy, Debug)]
enum Op {
    Arrive(usize),
    Offer(usize),
    Ready(usize),
    HangUp(usize),
    /// The socket breaks; the page stays.
    Break(usize),
    Reconnect(usize),
    /// The page goes, and the next one asks for the call.
    Turn(usize),
    Leave(usize),
    /// The page says which certificate its successor will have.
    Announce(usize),
    /// Whoever has the token but no certificate asks for the call.
    Steal(usize),
    /// A gateway's oldest call goes a step further, or is refused.
    Step {
        gateway: usize,
        refused: bool,
    },
    /// The connection to a gateway breaks.
    Unlink(usize),
    Link(usize),
    KillGateway(usize),
    /// A call is answered, its gateway dies, another goes so many steps with it, and the page is turned.
    PlaceAgain {
        steps: usize,
    },
    /// The server is killed: what it wrote last may not have been written.
    Kill {
        unwritten: bool,
    },
    /// Another process takes its place.
    Replace,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (slot, gateway) = (0..SLOTS, 0..GATEWAYS);
    prop_oneof![
        4 => slot.clone().prop_map(Op::Arrive),
        5 => slot.clone().prop_map(Op::Offer),
        4 => slot.clone().prop_map(Op::Ready),
        1 => slot.clone().prop_map(Op::HangUp),
        2 => slot.clone().prop_map(Op::Break),
        5 => slot.clone().prop_map(Op::Reconnect),
        2 => slot.clone().prop_map(Op::Turn),
        1 => slot.clone().prop_map(Op::Leave),
        3 => slot.clone().prop_map(Op::Announce),
        3 => slot.prop_map(Op::Steal),
        8 => (gateway.clone(), prop::bool::weighted(0.05)).prop_map(|(gateway, refused)| Op::Step { gateway, refused }),
        2 => gateway.clone().prop_map(Op::Unlink),
        6 => gateway.clone().prop_map(Op::Link),
        1 => gateway.prop_map(Op::KillGateway),
        1 => (0..6_usize).prop_map(|steps| Op::PlaceAgain { steps }),
        2 => any::<bool>().prop_map(|unwritten| Op::Kill { unwritten }),
        1 => Just(Op::Replace),
        2 => prop_oneof![0_u64..4, 4_u64..40].prop_map(Op::Wait),
    ]
}

/// What the store has of a call.
#[derive(Clone)]
struct Record {
    plan: Box<Plan>,
    gateway: Option<GatewayId>,
    dialed: bool,
    rang: bool,
    answered: Option<Instant>,
    epoch: Epoch,
    oldest: Epoch,
    certificates: Vec<String>,
    /// When the first of them was written.
    certified: Option<Instant>,
    ended: bool,
}

/// A call on a gateway.
struct Leg {
    far_end: TrunkLeg,
    /// Offers that it has not answered.
    offers: usize,
    last_word: Option<Event>,
    away: bool,
}

/// A page of a shopper.
#[derive(Default)]
struct Phone {
    generation: usize,
    page: Option<Page>,
    /// The server knows that its page went, and of no other since.
    has_left: bool,
    session: Option<Session>,
    epoch: Option<Epoch>,
    /// The certificate that it has announced for its successor.
    next: Option<String>,
}

struct World {
    bench: Bench,
    records: BTreeMap<CallId, Record>,
    /// As they were before the last input.
    written: BTreeMap<CallId, Record>,
    gateways: [BTreeMap<CallId, Leg>; GATEWAYS],
    linked: [bool; GATEWAYS],
    phones: [Phone; SLOTS],
    pages: u64,
    thieves: BTreeSet<Page>,
    /// Calls that were answered, with a server after the one that they began with, that were placed again, and pages that came to such a
    /// call before it was answered.
    reached: (usize, usize, usize),
    servers: usize,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(Config::default()),
            records: BTreeMap::new(),
            written: BTreeMap::new(),
            gateways: Default::default(),
            linked: [false; GATEWAYS],
            phones: Default::default(),
            pages: 0,
            thieves: BTreeSet::new(),
            reached: (0, 0, 0),
            servers: 1,
        }
    }

    fn take(&mut self, op: Op) {
        match op {
            Op::Arrive(slot) => self.arrive(slot),
            Op::Offer(slot) => self.say(slot, VisitorRequest::Offer { sdp: "O".to_owned(), quality: None }),
            Op::Ready(slot) => self.say(slot, VisitorRequest::Ready {}),
            Op::HangUp(slot) => self.say(slot, VisitorRequest::Hangup {}),
            Op::Break(slot) => {
                if let Some(page) = self.phones[slot].page.take() {
                    self.input(Input::VisitorBroken { call: self.call(slot), page });
                }
            }
            Op::Reconnect(slot) => {
                if let (None, Some(session)) = (self.phones[slot].page, self.phones[slot].session) {
                    let page = self.open(slot);
                    self.input(Input::Reconnect { call: self.call(slot), page, session, seen: 0 });
                }
            }
            Op::Turn(slot) => {
                let Some(epoch) = self.phones[slot].epoch else { return };
                self.take(Op::Leave(slot));
                let page = self.open(slot);
                let fingerprint = self.phones[slot].next.clone();
                self.input(Input::Resume { call: self.call(slot), page, epoch, takeover: false, fingerprint });
            }
            Op::Announce(slot) => {
                if self.phones[slot].page.is_some() {
                    let fingerprint = format!("sha-256 {}", vec![format!("{:02X}", self.pages % 256); 32].join(":"));
                    self.phones[slot].next = Some(fingerprint.clone());
                    self.say(slot, VisitorRequest::Next { fingerprint });
                }
            }
            Op::Steal(slot) => self.steal(slot),
            Op::Leave(slot) => {
                if let Some(page) = self.phones[slot].page.take() {
                    self.phones[slot].has_left = true;
                    self.input(Input::VisitorLost { call: self.call(slot), page });
                }
            }
            Op::Step { gateway, refused } => self.step(gateway, refused),
            Op::Unlink(n) => self.unlink(n),
            Op::Link(n) => self.link(n),
            Op::KillGateway(n) => {
                self.gateways[n].clear();
                self.unlink(n);
            }
            Op::PlaceAgain { steps } => self.place_again(steps),
            Op::Kill { unwritten } => {
                if unwritten {
                    self.records = self.written.clone();
                }
                self.restart();
            }
            Op::Replace => {
                let linked = (0..GATEWAYS).filter(|n| self.linked[*n]);
                let outliving = linked.map(|n| (name(n), name(n))).collect();
                self.input(Input::Leave { outliving, all: true });
                self.input(Input::Stop);
                self.restart();
            }
            Op::Wait(seconds) => self.wait(Duration::from_secs(seconds)),
        }
    }

    /// Once the call is bound, also for a server that knows of that by the record alone.
    fn steal(&mut self, slot: usize) {
        let (call, Some(epoch)) = (self.call(slot), self.phones[slot].epoch) else { return };
        let since = self.records.get(&call).and_then(|record| record.certified);
        if since.is_some_and(|at| self.bench.now.duration_since(at) > Duration::from_secs(5)) {
            self.pages += 1;
            let page = Page(self.pages);
            self.thieves.insert(page);
            self.input(Input::Resume { call, page, epoch, takeover: true, fingerprint: None });
        }
    }

    fn place_again(&mut self, steps: usize) {
        // Whose trunk's calls are placed again.
        let slot = 1;
        (0..GATEWAYS).for_each(|n| self.link(n));
        for op in [Op::Arrive(slot), Op::Reconnect(slot), Op::Offer(slot), Op::Ready(slot)] {
            self.take(op);
        }
        let all_step = |world: &mut Self, steps| {
            for gateway in (0..steps).flat_map(|_| 0..GATEWAYS) {
                world.take(Op::Step { gateway, refused: false });
            }
        };
        all_step(self, 6);
        let Some(carrier) = (0..GATEWAYS).find(|n| self.gateways[*n].contains_key(&self.call(slot))) else { return };
        for op in [Op::KillGateway(carrier), Op::Offer(slot), Op::Wait(4)] {
            self.take(op);
        }
        all_step(self, steps);
        self.take(Op::Turn(slot));
    }

    fn arrive(&mut self, slot: usize) {
        let call = self.call(slot);
        if self.records.get(&call).is_some_and(|record| !record.ended) {
            return;
        }
        let generation = self.phones[slot].generation + 1;
        self.phones[slot] = Phone { generation, ..Phone::default() };
        let page = self.open(slot);
        self.input(Input::Arrived { call: self.call(slot), page, plan: plan(TRUNKS[slot % TRUNKS.len()]) });
    }

    fn say(&mut self, slot: usize, request: VisitorRequest) {
        if let Some(page) = self.phones[slot].page {
            self.input(Input::Visitor { call: self.call(slot), page, request });
        }
    }

    fn open(&mut self, slot: usize) -> Page {
        self.pages += 1;
        (self.phones[slot].page, self.phones[slot].has_left) = (Some(Page(self.pages)), false);
        Page(self.pages)
    }

    fn call(&self, slot: usize) -> CallId {
        CallId::new(format!("c{slot}.{}", self.phones[slot].generation))
    }

    /// What is next of a gateway's first call that has anything before it.
    fn step(&mut self, n: usize, refused: bool) {
        let is_busy = |leg: &Leg| leg.offers > 0 || (TrunkLeg::Dialing..TrunkLeg::Answered).contains(&leg.far_end);
        let Some((call, leg)) = self.gateways[n].iter_mut().find(|(_, leg)| is_busy(leg) || refused) else { return };
        let call = call.clone();
        let event = match leg.far_end {
            _ if leg.offers > 0 => {
                leg.offers -= 1;
                Event::Answer { call, sdp: "A".to_owned() }
            }
            TrunkLeg::Dialing if !refused => {
                leg.far_end = TrunkLeg::Ringing;
                Event::Ringing { call }
            }
            TrunkLeg::Ringing | TrunkLeg::EarlyMedia if !refused => {
                leg.far_end = TrunkLeg::Answered;
                Event::Answered { call }
            }
            TrunkLeg::Idle | TrunkLeg::Gone => return,
            TrunkLeg::Dialing | TrunkLeg::Ringing | TrunkLeg::EarlyMedia | TrunkLeg::Answered => {
                leg.far_end = TrunkLeg::Gone;
                let event = Event::FarEndHungUp { call };
                leg.last_word = Some(event.clone());
                event
            }
        };
        self.report(n, event);
    }

    fn report(&mut self, n: usize, event: Event) {
        if self.linked[n] {
            self.input(Input::Gateway { gateway: name(n), event });
        }
    }

    fn link(&mut self, n: usize) {
        if std::mem::replace(&mut self.linked[n], true) {
            return;
        }
        let carried = |(call, leg): (&CallId, &Leg)| Carried {
            call: call.clone(),
            far_end: leg.far_end,
            media_up: !leg.away,
            away: leg.away,
        };
        let calls = self.gateways[n].iter().map(carried).collect();
        let words: Vec<_> = self.gateways[n].values().filter_map(|leg| leg.last_word.clone()).collect();
        let trunks = TRUNKS.map(TrunkName::from).to_vec();
        self.report(n, Event::Registered { version: VERSION, gateway: name(n), capacity: 9, trunks, calls });
        for word in words {
            self.report(n, word);
        }
    }

    fn unlink(&mut self, n: usize) {
        if std::mem::take(&mut self.linked[n]) {
            self.input(Input::GatewayLost { gateway: name(n) });
        }
    }

    /// The next server, from what is written.
    fn restart(&mut self) {
        let now = self.bench.now;
        self.bench = Bench::new(Config::default());
        self.bench.now = self.bench.now.max(now);
        self.linked = [false; GATEWAYS];
        self.servers += 1;
        for phone in &mut self.phones {
            (phone.page, phone.has_left) = (None, false);
        }
        let open = self.records.iter().filter(|(_, record)| !record.ended);
        let restored = open.map(|(call, record)| {
            let Record { plan, gateway, dialed, rang, answered, epoch, oldest, certificates, .. } = record.clone();
            (call.clone(), Restored { plan, gateway, dialed, rang, answered, epoch, oldest, certificates })
        });
        for (call, restored) in restored.collect::<Vec<_>>() {
            self.input(Input::Restored { call, restored: Box::new(restored) });
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.bench.now + time;
        while let Some(at) = self.bench.board.poll_timeout().filter(|at| *at <= until) {
            self.bench.now = self.bench.now.max(at);
            self.bench.board.handle_timeout(self.bench.now);
            self.settle();
        }
        self.bench.now = until;
    }

    fn input(&mut self, input: Input) {
        self.written = self.records.clone();
        self.bench.board.handle_input(input, self.bench.now);
        self.settle();
    }

    /// Carries the outputs out, and what gateways answer at once.
    fn settle(&mut self) {
        let mut replies = VecDeque::new();
        loop {
            for output in self.bench.drain() {
                self.obey(output, &mut replies);
            }
            let Some((n, event)) = replies.pop_front() else { break };
            self.bench.board.handle_input(Input::Gateway { gateway: name(n), event }, self.bench.now);
        }
        assert_eq!(
            self.bench.board.poll_timeout().is_some(),
            self.bench.board.calls() > 0,
            "a call without a deadline"
        );
    }

    fn obey(&mut self, output: Output, replies: &mut VecDeque<(usize, Event)>) {
        match output {
            Output::Gateway { gateway, command } => {
                let n = (0..GATEWAYS).find(|n| name(*n) == gateway && self.linked[*n]);
                let n = n.unwrap_or_else(|| panic!("{command:?} to {gateway}, which is not there"));
                self.command(n, command, replies);
            }
            Output::Record { call, change, .. } => self.record(call, change),
            Output::SessionToken { page, session, .. } => self.phone_at(page, |phone| phone.session = Some(session)),
            Output::ResumeToken { page, epoch, .. } => self.phone_at(page, |phone| phone.epoch = Some(epoch)),
            Output::CloseVisitor { page, .. } => self.phone_at(page, |phone| phone.page = None),
            Output::Visitor { event: VisitorEvent::Error { code: ErrorCode::CalledAgain, .. }, .. } => {
                self.reached.1 += 1
            }
            Output::Visitor {
                event:
                    VisitorEvent::Resumed { state: CallState::Dialing | CallState::Ringing | CallState::EarlyMedia, .. },
                ..
            } => self.reached.2 += 1,
            Output::Visitor { page, event: VisitorEvent::Welcome { .. }, call } => {
                assert!(!self.thieves.contains(&page), "{call} goes to a page without its certificate");
            }
            Output::Visitor { .. }
            | Output::ProbeVisitor { .. }
            | Output::Frames { .. }
            | Output::RefuseGateway { .. }
            | Output::FindCommands { .. }
            | Output::Resolve { .. }
            | Output::Commanded { .. } => {}
        }
    }

    fn phone_at(&mut self, page: Page, change: impl FnOnce(&mut Phone)) {
        if let Some(phone) = self.phones.iter_mut().find(|phone| phone.page == Some(page)) {
            change(phone);
        }
    }

    fn command(&mut self, n: usize, command: Command, replies: &mut VecDeque<(usize, Event)>) {
        let call = command.call().clone();
        match command {
            Command::Offer { .. } => {
                let leg = Leg { far_end: TrunkLeg::Idle, offers: 0, last_word: None, away: false };
                let leg = self.gateways[n].entry(call).or_insert(leg);
                (leg.offers, leg.away) = (leg.offers + 1, false);
            }
            Command::Dial { .. } => {
                let leg =
                    self.gateways[n].get_mut(&call).unwrap_or_else(|| panic!("{call} is dialled without an offer"));
                assert_eq!(leg.far_end, TrunkLeg::Idle, "{call} is rung twice");
                leg.far_end = TrunkLeg::Dialing;
                let has_left = |slot: &usize| self.call(*slot) == call && self.phones[*slot].has_left;
                assert!(!(0..SLOTS).any(|slot| has_left(&slot)), "{call} is rung for nobody");
            }
            Command::Release { .. } => {
                self.gateways[n].remove(&call);
                replies.push_back((n, Event::Closed { call, stats: CallStats::default() }));
            }
            Command::VisitorAway { .. } => {
                if let Some(leg) = self.gateways[n].get_mut(&call) {
                    leg.away = true;
                }
            }
            Command::Candidate { .. }
            | Command::Echo { .. }
            | Command::Prepare { .. }
            | Command::Frames { .. }
            | Command::Press { .. }
            | Command::Tone { .. } => {}
        }
    }

    fn record(&mut self, call: CallId, change: Change) {
        if let Change::Started { plan } = change {
            let (epoch, oldest) = (Epoch::default(), Epoch::default());
            let (gateway, dialed, rang, answered, ended) = (None, false, false, None, false);
            let (certificates, certified) = (Vec::new(), None);
            let record =
                Record { plan, gateway, dialed, rang, answered, epoch, oldest, certificates, certified, ended };
            assert!(self.records.insert(call.clone(), record).is_none(), "the record of {call} begins twice");
            return;
        }
        let Some(record) = self.records.get_mut(&call) else { panic!("{change:?} of {call}, which has no record") };
        assert!(!record.ended, "{change:?} of {call}, whose record is closed");
        match change {
            Change::Started { .. } | Change::Transport { .. } => {}
            Change::Carried { gateway } => record.gateway = Some(gateway),
            Change::Dialed => assert!(!std::mem::replace(&mut record.dialed, true), "{call} is dialled twice"),
            Change::Ringing => assert!(!std::mem::replace(&mut record.rang, true), "{call} rings twice"),
            Change::Answered => {
                assert!(record.answered.replace(self.bench.now).is_none(), "{call} is answered twice");
                self.reached.0 += usize::from(self.servers > 1);
            }
            Change::Tokens { epoch, oldest } => (record.epoch, record.oldest) = (epoch, oldest),
            Change::Certificates { known } => {
                record.certified.get_or_insert(self.bench.now);
                record.certificates = known;
            }
            Change::Ended(_) => record.ended = true,
        }
    }

    /// Nobody does anything any more: all comes to its end by itself.
    fn finish(mut self) -> (usize, usize, usize) {
        (0..GATEWAYS).for_each(|n| self.link(n));
        for _ in 0..SLOTS * MAX_TURNS_PER_CALL {
            let Some(at) = self.bench.board.poll_timeout() else { break };
            self.bench.now = self.bench.now.max(at);
            self.bench.board.handle_timeout(self.bench.now);
            self.settle();
        }
        assert!(self.bench.board.is_empty(), "something is left");
        for (call, record) in &self.records {
            assert!(record.ended, "the record of {call} is open");
        }
        for (n, calls) in self.gateways.iter().enumerate() {
            assert!(calls.is_empty(), "{} has {:?} still", name(n), calls.keys());
        }
        self.reached
    }
}

fn name(n: usize) -> GatewayId {
    GatewayId::new(format!("g{n}"))
}

/// The seed is fixed, so that a failure is the change's and not the day's; `PROPTEST_CASES` digs deeper.
#[test]
fn whoever_dies_nobody_is_rung_twice_and_every_record_is_whole_and_nothing_is_left() {
    let cases = RunnerConfig::default().cases.max(1_000);
    let config = RunnerConfig { cases, failure_persistence: None, ..RunnerConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let reached = RefCell::new((0, 0, 0));
    let result = runner.run(&prop::collection::vec(op(), 1..120), |ops| {
        let mut world = World::new();
        for op in ops {
            world.take(op);
        }
        let (answered, again, turned) = world.finish();
        reached.replace_with(|sum| (sum.0 + answered, sum.1 + again, sum.2 + turned));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let (answered, again, turned) = reached.into_inner();
    assert!(answered > 20 && again > 10, "too tame: {answered} were answered by a later server, {again} placed again");
    assert!(turned > 100, "too tame: {turned} pages came while a far end was rung again");
}
