//! Gateways that are out of reach for a while, and servers that are restarted: in two columns as in `walkthroughs.rs`.

use super::bench::*;
use super::turns::FINGERPRINT;
use crate::{Change, Config, Epoch, Input, Output, Page, Restored};
use protocol::GatewayId;
use protocol::gateway::{Carried, Side, TrunkLeg};
use protocol::visitor::{FrameCodec, MAX_KEYS, VisitorRequest};
use std::time::{Duration, Instant};

fn in_call() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up(), answered()]);
    bench
}

/// What the record of a call tells that was answered at `answered`, its first token sent.
fn record(answered: Option<Instant>) -> Input {
    let (epoch, oldest) = (Epoch(1), Epoch(1));
    let gateway = Some(GatewayId::from("g1"));
    let (dialed, rang) = (true, answered.is_some());
    let certificates = Vec::new();
    let restored = Restored { plan: plan("pstn"), gateway, dialed, rang, answered, epoch, oldest, certificates };
    Input::Restored { call: call(), restored: Box::new(restored) }
}

#[test]
fn calls_wait_for_their_gateway_and_go_on_with_it() {
    let mut bench = in_call();
    bench.walk([
        (gateway_lost("g1").into(), ""),
        (Step::Wait(29), ""),
        (registered("g1", 10, &["c1"]).into(), ""),
        (Step::Wait(600), ""),
        (digit(Side::Agent, '5').into(), "visitor digit 5 100"),
        (hangup().into(), "visitor ended visitor_hung_up · visitor closed · g1 release c1 visitor_hung_up"),
        (closed().into(), "record ended visitor_hung_up 7 packets at 629"),
    ]);
    assert!(bench.board.is_empty());
}

#[test]
fn a_gateway_that_does_not_come_back_ends_its_calls_and_only_its_calls() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), registered("g2", 10, &[])]);
    bench.walk([
        (gateway_lost("g2").into(), ""),
        (gateway_lost("g1").into(), ""),
        (gateway_lost("g1").into(), ""),
        (Step::Wait(29), ""),
        (Step::Wait(1), "visitor ended gateway_gone RL-401 · visitor closed · record ended gateway_gone RL-401 at 30"),
        (registered("g1", 10, &["c1", "c0"]).into(), "g1 release c1 gateway_gone · g1 release c0 gateway_gone"),
    ]);
    assert!(bench.board.is_empty());
}

#[test]
fn without_a_window_calls_end_with_the_connection() {
    let mut bench = Bench::new(Config { gateway: Duration::ZERO, ..Config::default() });
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer()]);
    bench.walk([(
        gateway_lost("g1"),
        "visitor ended gateway_gone RL-401 · visitor closed · record ended gateway_gone RL-401 at 0",
    )]);
}

#[test]
fn a_call_that_its_gateway_does_not_name_is_asked_for_and_ends_as_what_it_tells() {
    let mut bench = in_call();
    bench.prepare([gateway_lost("g1")]);
    bench.walk([
        (registered("g1", 10, &[]), "g1 release c1 gateway_gone"),
        // It had kept this.
        (far_end_hung_up(), "visitor ended agent_hung_up · visitor closed"),
        (closed(), "record ended agent_hung_up 7 packets at 0"),
    ]);
    let mut bench = in_call();
    bench.prepare([gateway_lost("g1"), registered("g1", 10, &[])]);
    bench.walk([(
        closed(),
        "visitor ended gateway_gone RL-401 · visitor closed · record ended gateway_gone RL-401 (the gateway closed the call by itself) 7 packets at 0",
    )]);
}

#[test]
fn what_came_about_meanwhile_is_caught_up_with_and_told_once() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), gateway_lost("g1")]);
    bench.walk([
        (
            registers("g1", 10, vec![carried("c1", TrunkLeg::Answered, true)]),
            "record answered at 0 · visitor answered · visitor token 1",
        ),
        (media_up(), ""),
        (ringing(), ""),
        (answered(), ""),
    ]);
    bench.walk([(Step::Wait(60), "")]);
}

#[test]
fn what_is_said_to_a_gateway_that_is_not_there_it_hears_when_it_is_back() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), gateway_lost("g1")]);
    bench.walk([
        (candidate("a"), ""),
        (ready(), ""),
        (
            registers("g1", 10, vec![carried("c1", TrunkLeg::Idle, false)]),
            "g1 candidate a · g1 dial pstn 1001 · record dialed at 0 · visitor dialing",
        ),
        (gateway_lost("g1"), ""),
        // The INVITE was on its way when the connection broke.
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Idle, false)]), "g1 dial pstn 1001"),
        (gateway_lost("g1"), ""),
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Dialing, false)]), ""),
        (gateway_lost("g1"), ""),
        (hangup(), "visitor ended cancelled · visitor closed"),
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Dialing, false)]), "g1 release c1 cancelled"),
        (closed(), "record ended cancelled 7 packets at 0"),
    ]);
}

#[test]
fn keys_of_a_call_on_frames_wait_for_the_gateway_and_the_next_page_is_made_ready_when_its_certificate_is_told_again() {
    let keys = |digits: String| says(VisitorRequest::Keys { digits });
    let next = || says(VisitorRequest::Next { fingerprint: FINGERPRINT.to_owned() });
    let mut bench = in_call();
    bench.prepare([gateway_lost("g1")]);
    bench.walk([(keys("1".to_owned()), ""), (keys("23".to_owned()), ""), (keys("4".repeat(MAX_KEYS)), "")]);
    for _ in 0..9 {
        bench.walk([(next(), "")]);
    }
    bench.walk([
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Answered, true)]), "g1 press 123"),
        (keys("5".to_owned()), "g1 press 5"),
        (next(), "g1 prepare c1 for DF"),
    ]);
}

#[test]
fn a_page_that_comes_while_the_gateway_is_lost_gets_its_leg_when_it_is_back() {
    let mut bench = in_call();
    bench.prepare([lost(1), gateway_lost("g1")]);
    let away = Carried { away: true, ..carried("c1", TrunkLeg::Answered, false) };
    bench.walk([
        (resumes(2, 1).into(), "page 2 welcome Acme/Sales · page 2 resumed answered 0 · page 2 token 2"),
        (offer_of(2).into(), ""),
        (Step::Wait(20), ""),
        (registers("g1", 10, vec![away]).into(), "g1 offer O2"),
        (Step::Wait(14), ""),
        (Step::Wait(1), "page 2 ended media_failed RL-108 · page 2 closed · g1 release c1 media_failed"),
    ]);
}

#[test]
fn a_gateway_learns_that_the_visitor_went_while_it_was_lost() {
    let mut bench = in_call();
    bench.prepare([gateway_lost("g1")]);
    bench.walk([
        (lost(1), ""),
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Answered, false)]), "g1 away c1"),
        (gateway_lost("g1"), ""),
        (registers("g1", 10, vec![Carried { away: true, ..carried("c1", TrunkLeg::Answered, false) }]), ""),
    ]);
}

#[test]
fn a_restarted_server_joins_its_calls_with_what_gateways_carry() {
    let mut bench = Bench::new(Config::default());
    let answered = bench.now;
    bench.now += Duration::from_secs(100);
    bench.walk([
        (record(Some(answered)).into(), ""),
        (registered("g2", 10, &[]).into(), ""),
        (Step::Wait(5), ""),
        // Audio that went as frames went through the server.
        (registered("g1", 10, &["c1"]).into(), "no frames · g1 frames off"),
        (resumes(2, 1).into(), ""),
        // The page before it has gone without a word.
        (media_down().into(), "page 2 welcome Acme/Sales · page 2 resumed answered 105000 · page 2 token 18"),
        (offer_of(2).into(), "g1 offer O2"),
        (ready_of(2).into(), ""),
        (sdp_answer().into(), "page 2 answer A"),
        (media_up().into(), ""),
        (Step::Wait(4 * 3600 - 106), ""),
        (Step::Wait(1), "page 2 ended too_long RL-307 · page 2 closed · g1 release c1 too_long"),
    ]);
}

#[test]
fn a_visitor_who_was_away_is_away_after_the_restart_whatever_the_path_that_was_still_carries() {
    let away = || registers("g1", 10, vec![Carried { away: true, ..carried("c1", TrunkLeg::Answered, true) }]);
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (record(Some(bench.now)).into(), ""),
        // The far end has heard the tone.
        (away().into(), "no frames · g1 frames off"),
        (media_up().into(), ""),
        (Step::Wait(59), ""),
        (Step::Wait(1), "g1 release c1 visitor_gone"),
    ]);
    // Its page is there again before its gateway.
    let mut bench = Bench::new(Config::default());
    bench.prepare([record(Some(bench.now)), reconnects(2, 1, 7)]);
    bench.walk([
        (away().into(), "no frames · g1 frames off · page 2 resumed answered 0"),
        (offer_of(2).into(), "g1 offer O2"),
        (sdp_answer().into(), "page 2 answer A"),
        (media_up().into(), ""),
        (Step::Wait(600), ""),
    ]);
}

#[test]
fn audio_goes_on_as_frames_when_the_page_is_back_before_its_gateway() {
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (record(Some(bench.now)), ""),
        (reconnects(2, 1, 7), "page 2 reconnected ? 0 · page 2 answered · page 2 token 17"),
        (says_at(Page(2), VisitorRequest::Frames { codec: Some(FrameCodec::G711) }), ""),
        (registered("g1", 10, &["c1"]), "frames between page 2 and g1 · g1 frames g711"),
    ]);
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (record(Some(bench.now)), ""),
        (registered("g1", 10, &["c1"]), "no frames · g1 frames off"),
        (reconnects(2, 1, 7), "page 2 reconnected ? 0 · page 2 answered · page 2 token 17"),
        (
            says_at(Page(2), VisitorRequest::Frames { codec: Some(FrameCodec::G711) }),
            "frames between page 2 and g1 · g1 frames g711",
        ),
    ]);
}

#[test]
fn a_gateway_that_takes_no_more_calls_keeps_those_that_it_has() {
    for gateway in [Duration::ZERO, Config::default().gateway] {
        let mut bench = Bench::new(Config { gateway, ..Config::default() });
        bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), ringing()]);
        let rings = registers("g1", 0, vec![carried("c1", TrunkLeg::Ringing, false)]);
        bench.walk([
            (rings.into(), ""),
            (Step::Wait(1), ""),
            (answered().into(), "record answered at 1 · visitor answered · visitor token 1"),
        ]);
        let offers = |page| Input::Visitor {
            call: "c2".into(),
            page,
            request: VisitorRequest::Offer { sdp: "O".to_owned(), quality: None },
        };
        bench.prepare([Input::Arrived { call: "c2".into(), page: Page(2), plan: plan("pstn") }]);
        bench.walk([(
            offers(Page(2)),
            "page 2 ended no_capacity RL-402 · page 2 closed · record ended no_capacity RL-402 at 1",
        )]);
    }
}

#[test]
fn the_page_of_a_call_goes_on_over_a_socket_of_the_next_server() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([record(Some(bench.now)), registered("g1", 10, &["c1"])]);
    bench.walk([
        (reconnects(2, 1, 7), "page 2 reconnected ? 0 · page 2 answered · page 2 token 17"),
        (digit(Side::Agent, '5'), "page 2 digit 5 100"),
        (broken(2), ""),
        (reconnects(3, 1, 2), "page 3 reconnected 0 2 · page 3 digit 5 100"),
        (says_at(Page(3), VisitorRequest::Hangup {}), {
            "page 3 ended visitor_hung_up · page 3 closed · g1 release c1 visitor_hung_up"
        }),
    ]);
    // What was keyed while the next server was there and the page was not back yet.
    let mut bench = Bench::new(Config::default());
    bench.prepare([record(Some(bench.now)), registered("g1", 10, &["c1"])]);
    bench.walk([
        (digit(Side::Agent, '1'), ""),
        (digit(Side::Agent, '5'), ""),
        (reconnects(2, 1, 7), {
            "page 2 reconnected ? 0 · page 2 digit 1 100 · page 2 digit 5 100 · page 2 answered · page 2 token 17"
        }),
        (broken(2), ""),
        (reconnects(3, 1, 1), "page 3 reconnected 0 1 · page 3 digit 5 100 · page 3 answered · page 3 token 17"),
    ]);
    // A page after the last one that is written, and one before it.
    let reconnected = |session| {
        let mut bench = Bench::new(Config::default());
        let Input::Restored { call, mut restored } = record(Some(bench.now)) else { return 0 };
        restored.epoch = Epoch(3);
        bench.prepare([Input::Restored { call, restored }]);
        bench.send(reconnects(2, session, 0)).len()
    };
    assert_eq!([2, 3, 4].map(reconnected), [2, 3, 3]);
}

#[test]
fn a_token_that_was_sent_and_not_written_works_after_the_restart_and_a_spent_one_does_not() {
    let restored = |epoch: u32| {
        let mut bench = Bench::new(Config::default());
        bench.prepare([record(Some(bench.now))]);
        bench.send(resumes(2, epoch)).len()
    };
    let (taken_up, turned_away) = (5, 2);
    assert_eq!([0, 1, 3, 17, 18].map(restored), [turned_away, taken_up, taken_up, taken_up, turned_away]);
}

#[test]
fn the_next_server_gives_a_call_to_the_browser_alone_whose_certificates_are_written() {
    let mut bench = in_call();
    let next = |fingerprint: &str| says(VisitorRequest::Next { fingerprint: fingerprint.to_owned() });
    let written = |outputs: Vec<Output>| {
        let certificates = outputs.into_iter().find_map(|output| {
            if let Output::Record { change: Change::Certificates { known }, .. } = output { Some(known) } else { None }
        });
        certificates.unwrap_or_default()
    };
    let known = written(bench.send(next(FINGERPRINT)));
    assert_eq!(known, [FINGERPRINT]);
    // Nothing is new about it.
    assert!(written(bench.send(next(FINGERPRINT))).is_empty());
    let restarted = |certificates: Vec<String>| {
        let mut bench = Bench::new(Config::default());
        let Input::Restored { call, mut restored } = record(Some(bench.now)) else { return bench };
        restored.certificates = certificates;
        bench.prepare([Input::Restored { call, restored }]);
        bench
    };
    let mut bench = restarted(known.clone());
    bench.walk([
        (resumes(2, 1), "page 2 ended visitor_gone RL-309 · page 2 closed"),
        (takes_over(3, 1), "page 3 ended visitor_gone RL-309 · page 3 closed"),
        (certified(4, 1, FINGERPRINT), "page 4 welcome Acme/Sales · page 4 resumed answered 0 · page 4 token 18"),
    ]);
    // What is no fingerprint binds nothing.
    let mut bench = restarted(vec!["none".to_owned()]);
    bench.walk([(resumes(2, 1), "page 2 welcome Acme/Sales · page 2 resumed answered 0 · page 2 token 18")]);
}

#[test]
fn a_page_that_knows_of_an_answer_which_its_server_could_not_write_waits_for_the_gateway() {
    let restored = || {
        let mut bench = Bench::new(Config::default());
        bench.walk([(unanswered(Some("g1"), true, true), ""), (resumes(2, 1), ""), (offer_of(2), "")]);
        bench
    };
    let mut bench = restored();
    bench.walk([
        (
            registers("g1", 10, vec![carried("c1", TrunkLeg::Answered, false)]).into(),
            "no frames · g1 frames off · record answered at 0 · page 2 welcome Acme/Sales · page 2 resumed answered 0 · page 2 token 2 · g1 offer O2",
        ),
        (sdp_answer().into(), "page 2 answer A"),
        (media_up().into(), ""),
        (Step::Wait(600), ""),
    ]);
    // Nobody has, for all that the gateway knows; there is no gateway; another page asks; it goes.
    let mut bench = restored();
    let rings = registers("g1", 10, vec![carried("c1", TrunkLeg::Ringing, false)]);
    bench.walk([(rings, "no frames · g1 frames off · page 2 ended visitor_gone RL-309 · page 2 closed")]);
    let mut bench = restored();
    bench.walk([(Step::Wait(9), ""), (Step::Wait(1), "page 2 ended visitor_gone RL-309 · page 2 closed")]);
    let mut bench = restored();
    bench.walk([(resumes(3, 2), "page 2 error RL-308 · page 2 closed")]);
    let mut bench = restored();
    bench.walk([
        (lost(2), ""),
        (
            registers("g1", 10, vec![carried("c1", TrunkLeg::Answered, true)]),
            "no frames · g1 frames off · record answered at 0",
        ),
    ]);
}

#[test]
fn a_call_of_an_earlier_server_ends_when_no_gateway_claims_it_or_no_visitor_comes() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([record(Some(bench.now))]);
    bench.walk([(Step::Wait(29), ""), (Step::Wait(1), "record ended gateway_gone RL-401 at 30")]);
    let mut bench = Bench::new(Config::default());
    bench.prepare([record(Some(bench.now)), registered("g1", 10, &["c1"])]);
    bench.walk([
        // Who is heard is there.
        (Step::Wait(600), ""),
        (media_down().into(), "g1 away c1"),
        (Step::Wait(59), ""),
        (Step::Wait(1), "g1 release c1 visitor_gone"),
    ]);
    assert!(!bench.board.is_empty());
}

/// A call that nobody has answered, as its record tells.
fn unanswered(gateway: Option<&str>, dialed: bool, rang: bool) -> Input {
    let (epoch, oldest, answered) = (Epoch::default(), Epoch::default(), None);
    let (gateway, certificates) = (gateway.map(GatewayId::from), Vec::new());
    let restored = Restored { plan: plan("pstn"), gateway, dialed, rang, answered, epoch, oldest, certificates };
    Input::Restored { call: call(), restored: Box::new(restored) }
}

#[test]
fn a_call_that_rang_when_its_server_was_killed_rings_on_and_is_answered() {
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (unanswered(Some("g1"), true, true), ""),
        (reconnects(2, 1, 4), "page 2 reconnected ? 0 · page 2 ringing"),
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Ringing, true)]), "no frames · g1 frames off"),
        (answered(), "record answered at 0 · page 2 answered · page 2 token 1"),
    ]);
    bench.walk([(Step::Wait(3600), "")]);
    let mut bench = Bench::new(Config::default());
    let rings = registers("g1", 10, vec![carried("c1", TrunkLeg::Ringing, true)]);
    bench.prepare([unanswered(Some("g1"), true, true), reconnects(2, 1, 4), rings]);
    let cancelled = says_at(Page(2), VisitorRequest::Hangup {});
    bench.walk([(cancelled, "page 2 ended cancelled · page 2 closed · g1 release c1 cancelled")]);
}

#[test]
fn a_call_that_nobody_had_answered_ends_when_its_page_does_not_come_back() {
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (unanswered(Some("g1"), true, false).into(), ""),
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Dialing, true)]).into(), "no frames · g1 frames off"),
        (Step::Wait(9), ""),
        (Step::Wait(1), "g1 release c1 visitor_gone"),
    ]);
}

#[test]
fn a_call_that_was_not_dialled_goes_on_from_where_its_page_and_its_gateway_are() {
    // The gateway has the offer, and the INVITE that the record does not know yet.
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (unanswered(Some("g1"), false, false), ""),
        (reconnects(2, 1, 2), "page 2 reconnected ? 0 · page 2 connecting"),
        (
            registers("g1", 10, vec![carried("c1", TrunkLeg::Ringing, false)]),
            "no frames · g1 frames off · record dialed at 0 · page 2 dialing · record ringing at 0 · page 2 ringing",
        ),
    ]);
    // It has the offer; the microphone is allowed later.
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (unanswered(Some("g1"), false, false), ""),
        (registers("g1", 10, vec![carried("c1", TrunkLeg::Idle, true)]), "no frames · g1 frames off"),
        (reconnects(2, 1, 2), "page 2 reconnected ? 0 · page 2 connecting"),
        (ready_of(2), "g1 dial pstn 1001 · record dialed at 0 · page 2 dialing"),
    ]);
    // No gateway has heard of it.
    let mut bench = Bench::new(Config::default());
    bench.prepare([unanswered(None, false, false), registered("g1", 10, &[])]);
    bench.walk([
        (reconnects(2, 1, 2), "page 2 reconnected ? 0 · page 2 connecting"),
        (offer_of(2), "g1 offer O2"),
        (ready_of(2), "g1 dial pstn 1001 · record dialed at 0 · page 2 dialing"),
    ]);
}

#[test]
fn a_server_whose_successor_is_there_leaves_it_every_call() {
    let mut bench = in_call();
    bench.prepare([arrived("c2")]);
    let outliving = vec![(GatewayId::from("g1"), GatewayId::from("g1~7"))];
    let outputs = bench.send(Input::Leave { outliving, all: true });
    let renamed = |output: &Output| matches!(output, Output::Record { change: Change::Carried { gateway }, .. } if gateway.as_str() == "g1~7");
    assert_eq!(outputs.iter().filter(|output| renamed(output)).count(), 1, "the call that it carries: {outputs:?}");
    assert!(bench.board.is_empty());
}

#[test]
fn the_next_process_claims_a_call_under_another_name_of_its_gateway() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([record(Some(bench.now)), registered("g1~7", 0, &["c1"]), registered("g1", 10, &[])]);
    bench.walk([(far_end_hung_up(), "")]);
    let hung_up = protocol::gateway::Event::FarEndHungUp { call: call() };
    bench.walk([(reports("g1~7", hung_up), "g1~7 release c1 agent_hung_up")]);
}

#[test]
fn a_server_that_is_replaced_leaves_its_answered_calls_and_ends_the_others() {
    let mut bench = in_call();
    let outliving = vec![(GatewayId::from("g1"), GatewayId::from("g1"))];
    bench.prepare([arrived("c2")]);
    bench.walk([
        (Input::Leave { outliving: Vec::new(), all: false }, ""),
        (Input::Leave { outliving, all: false }, "visitor closed"),
        (
            Input::Stop,
            "visitor ended server_stopping RL-403 · visitor closed · record ended server_stopping RL-403 at 0",
        ),
    ]);
    assert!(bench.board.is_empty());
}

#[test]
fn nobody_waits_for_a_gateway_at_the_end() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), gateway_lost("g1")]);
    bench.walk([(
        Input::Stop,
        "visitor ended server_stopping RL-403 · visitor closed · record ended server_stopping RL-403 at 0",
    )]);
    let mut bench = in_call();
    bench.prepare([Input::Stop]);
    bench.walk([(gateway_lost("g1"), "record ended server_stopping RL-403 at 0")]);
}

#[test]
fn every_token_is_written_before_the_next_page_can_use_it() {
    let mut bench = in_call();
    let tokens = |outputs: Vec<Output>| {
        let changes = outputs.into_iter().filter_map(|output| {
            let Output::Record { change: Change::Tokens { epoch, oldest }, .. } = output else { return None };
            Some((oldest.0, epoch.0))
        });
        changes.collect::<Vec<_>>()
    };
    bench.prepare([lost(1)]);
    assert_eq!(tokens(bench.send(resumes(2, 1))), [(1, 2)]);
    assert_eq!(tokens(bench.send(ready_of(2))), [(2, 2)]);
}

#[test]
fn a_gateway_cannot_take_a_call_from_the_one_that_has_it() {
    let mut bench = in_call();
    bench.walk([
        (registered("g2", 10, &["c1"]), "g2 release c1 gateway_gone"),
        (hangup(), "visitor ended visitor_hung_up · visitor closed · g1 release c1 visitor_hung_up"),
    ]);
}
