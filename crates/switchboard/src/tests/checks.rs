//! The legs of checks, which are no calls.

use crate::checks::MAX_CHECK_LEGS;
use crate::{CheckInput, CheckOutput, Checks, Config, Input, MAX_CANDIDATE_BYTES, MAX_CANDIDATES, Switchboard};
use proptest::prelude::*;
use protocol::gateway::{CallStats, Command, Event, Failure, VERSION};
use protocol::{CallId, GatewayId, TrunkName};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn id(leg: &str) -> CallId {
    CallId::from(leg)
}

fn offer(leg: &str) -> CheckInput {
    CheckInput::Offer { leg: id(leg), gateway: Some(GatewayId::from("g1")), sdp: "O".to_owned() }
}

fn candidate(leg: &str, candidate: &str) -> CheckInput {
    CheckInput::Candidate { leg: id(leg), candidate: candidate.to_owned() }
}

fn says(event: Event) -> CheckInput {
    CheckInput::Gateway { gateway: GatewayId::from("g1"), event }
}

fn answer(leg: &str) -> CheckInput {
    says(Event::Answer { call: id(leg), sdp: "A".to_owned() })
}

fn failed(leg: &str, failure: Failure) -> CheckInput {
    says(Event::Failed { call: id(leg), failure, detail: String::new() })
}

fn closed(leg: &str) -> CheckInput {
    says(Event::Closed { call: id(leg), stats: CallStats::default() })
}

struct Bench {
    checks: Checks,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { checks: Checks::default(), now: Instant::now() }
    }

    fn send(&mut self, input: CheckInput) -> String {
        self.checks.handle_input(input, self.now);
        self.drain()
    }

    fn wait(&mut self, seconds: u64) -> String {
        let until = self.now + Duration::from_secs(seconds);
        let mut said = Vec::new();
        while let Some(at) = self.checks.poll_timeout().filter(|at| *at <= until) {
            self.now = at;
            self.checks.handle_timeout(at);
            assert!(self.checks.poll_timeout().is_none_or(|next| next > at), "a deadline stays in the past");
            said.push(self.drain());
        }
        self.now = until;
        said.retain(|it| !it.is_empty());
        said.join(" · ")
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what else comes is shown as it is, and expected by no test")]
    fn drain(&mut self) -> String {
        let lines = std::iter::from_fn(|| self.checks.poll_output()).map(|output| match output {
            CheckOutput::Gateway { gateway, command } => match command {
                Command::Echo { call, sdp } => format!("{gateway} echo {call} {sdp}"),
                Command::Candidate { call, candidate } => format!("{gateway} candidate {call} {candidate}"),
                Command::Release { call, .. } => format!("{gateway} release {call}"),
                other => format!("{gateway} {other:?}"),
            },
            CheckOutput::Answer { leg, gateway, sdp } => format!("{leg} answer {sdp} of {gateway}"),
            CheckOutput::Ended { leg, code } => format!("{leg} ended {}", code.unwrap_or("in time")),
        });
        lines.collect::<Vec<_>>().join(" · ")
    }
}

#[test]
fn a_leg_is_answered_and_ends_after_ten_seconds_whatever_its_browser_does() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(offer("u")), "g1 echo u O");
    assert_eq!(bench.send(candidate("u", "c")), "g1 candidate u c");
    assert_eq!(bench.send(answer("u")), "u answer A of g1");
    assert_eq!(bench.wait(9), "");
    assert_eq!(bench.wait(1), "g1 release u · u ended in time");
    assert_eq!(bench.send(candidate("u", "late")), "");
    assert_eq!(bench.send(closed("u")), "");
    assert_eq!((bench.checks.legs(), bench.checks.poll_timeout()), (0, None));
}

#[test]
fn a_leg_whose_browser_is_gone_is_released_at_once_and_without_a_word() {
    let mut bench = Bench::new();
    bench.send(offer("u"));
    assert_eq!(bench.send(CheckInput::Over { leg: id("u") }), "g1 release u");
    assert_eq!(bench.send(CheckInput::Over { leg: id("u") }), "");
    // A gateway that does not confirm keeps nothing alive.
    assert_eq!(bench.wait(5), "");
    assert_eq!(bench.checks.legs(), 0);
}

#[test]
fn what_a_gateway_cannot_do_is_told_with_a_code() {
    for (failure, code) in [(Failure::Full, "RL-519"), (Failure::OfferUnusable, "RL-405")] {
        let mut bench = Bench::new();
        bench.send(offer("u"));
        assert_eq!(bench.send(failed("u", failure)), format!("g1 release u · u ended {code}"));
    }
    let mut bench = Bench::new();
    bench.send(offer("u"));
    assert_eq!(bench.send(CheckInput::GatewayLost { gateway: GatewayId::from("g2") }), "");
    assert_eq!(bench.send(CheckInput::GatewayLost { gateway: GatewayId::from("g1") }), "u ended RL-401");
    let nowhere = CheckInput::Offer { leg: id("v"), gateway: None, sdp: String::new() };
    assert_eq!(bench.send(nowhere), "v ended RL-402");
    let costly = CheckInput::Offer { leg: id("w"), gateway: Some(GatewayId::from("g1")), sdp: "m=audio\n".repeat(2) };
    assert_eq!(bench.send(costly), "w ended RL-405");
    assert_eq!(bench.checks.legs(), 0);
}

#[test]
fn what_another_gateway_says_about_a_leg_counts_nothing() {
    let mut bench = Bench::new();
    bench.send(offer("u"));
    let event = Event::Closed { call: id("u"), stats: CallStats::default() };
    assert_eq!(bench.send(CheckInput::Gateway { gateway: GatewayId::from("g2"), event }), "");
    assert!(bench.checks.has(&id("u")));
}

#[test]
fn legs_and_their_candidates_are_bounded() {
    let mut bench = Bench::new();
    for n in 0..MAX_CHECK_LEGS {
        assert_eq!(bench.send(offer(&n.to_string())), format!("g1 echo {n} O"));
    }
    assert_eq!(bench.send(offer("more")), "more ended RL-519");
    let passed = (0..2 * MAX_CANDIDATES).filter(|_| !bench.send(candidate("0", "c")).is_empty()).count();
    assert_eq!(passed, MAX_CANDIDATES);
    assert_eq!(bench.send(candidate("1", &"x".repeat(MAX_CANDIDATE_BYTES + 1))), "");
}

#[test]
fn a_server_that_stops_ends_every_check_and_begins_none() {
    let mut bench = Bench::new();
    bench.send(offer("u"));
    assert_eq!(bench.send(CheckInput::Stop), "g1 release u · u ended RL-403");
    assert_eq!(bench.send(offer("v")), "v ended RL-403");
}

#[test]
fn a_check_goes_to_a_gateway_with_the_links_trunk_that_takes_calls() {
    let mut board = Switchboard::new(Config::default());
    assert_eq!(board.gateway_for_check(None), None);
    for (name, capacity, trunks) in [("a", 0, &["pstn"][..]), ("b", 1, &["pbx"]), ("c", 1, &["pstn"])] {
        let trunks = trunks.iter().map(|trunk| TrunkName::from(*trunk)).collect();
        let gateway = GatewayId::from(name);
        let calls = Vec::new();
        let event = Event::Registered { version: VERSION, gateway: gateway.clone(), capacity, trunks, calls };
        board.handle_input(Input::Gateway { gateway, event }, Instant::now());
    }
    let on =
        |trunk: Option<&str>| board.gateway_for_check(trunk.map(TrunkName::from).as_ref()).map(|it| it.to_string());
    assert_eq!(on(Some("pstn")).as_deref(), Some("c"));
    assert_eq!(on(None).as_deref(), Some("b"));
    assert_eq!(on(Some("fax")), None);
}

/// One move of a random schedule.
fn moves() -> impl Strategy<Value = (u8, CheckInput)> {
    let leg = || prop::sample::select(vec!["a", "b", "c"]);
    let input = prop_oneof![
        3 => leg().prop_map(offer),
        1 => leg().prop_map(|leg| candidate(leg, "c")),
        2 => leg().prop_map(|leg| CheckInput::Over { leg: id(leg) }),
        2 => leg().prop_map(answer),
        1 => leg().prop_map(|leg| failed(leg, Failure::Full)),
        2 => leg().prop_map(closed),
        1 => Just(CheckInput::GatewayLost { gateway: GatewayId::from("g1") }),
    ];
    (0_u8..4, input)
}

proptest! {
    /// Whatever happens in whichever order: who offered is told of the end at most once and nothing after it, and nothing
    /// is left once time has passed.
    #[test]
    fn no_schedule_leaves_a_leg_or_says_something_after_the_end(schedule in prop::collection::vec(moves(), 0..60)) {
        let mut bench = Bench::new();
        let mut heard = BTreeSet::new();
        for (seconds, input) in schedule {
            let said = bench.wait(seconds.into());
            let offered = if let CheckInput::Offer { leg, .. } = &input { (!bench.checks.has(leg)).then(|| leg.to_string()) } else { None };
            heard.extend(offered);
            let said = [said, bench.send(input)].join(" · ");
            for line in said.split(" · ") {
                let (leg, what) = line.split_once(' ').unwrap_or_default();
                if what.starts_with("answer") {
                    prop_assert!(heard.contains(leg), "{line}");
                }
                if what.starts_with("ended") {
                    prop_assert!(heard.remove(leg), "{line}");
                }
            }
        }
        bench.wait(20);
        prop_assert_eq!(bench.checks.legs(), 0);
        prop_assert_eq!(bench.checks.poll_timeout(), None);
    }
}
