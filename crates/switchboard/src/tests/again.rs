//! Calls whose gateway dies and that are placed again: in two columns as in `walkthroughs.rs`.

use super::bench::*;
use crate::{Config, Epoch, Input, Restored};
use protocol::gateway::{Event, TrunkLeg, VERSION};
use protocol::rest::GatewayLoss;
use protocol::{CallId, GatewayId, TrunkName};
use std::time::Duration;

/// A gateway with the trunk of these calls.
fn with_trunk(name: &str) -> Input {
    let (gateway, trunks) = (GatewayId::from(name), vec![TrunkName::from("pbx")]);
    reports(name, Event::Registered { version: VERSION, gateway, capacity: 9, trunks, calls: Vec::new() })
}

fn in_call(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    let plan = plan("pbx");
    assert_eq!(plan.on_gateway_loss, GatewayLoss::CallAgain);
    let arrived = Input::Arrived { call: CallId::from("c1"), page: PAGE, plan };
    bench.prepare([with_trunk("g1"), arrived, offer(), sdp_answer(), ready(), ringing(), media_up(), answered()]);
    bench
}

#[test]
fn a_call_whose_gateway_dies_is_placed_again_over_another_once_its_page_hears_nothing() {
    let mut bench = in_call(Config::default());
    bench.prepare([with_trunk("g2"), gateway_lost("g1")]);
    bench.walk([
        // Audio may go on, and the gateway come back.
        (Step::Wait(5), ""),
        (offer().into(), ""),
        (Step::Wait(2), ""),
        (
            Step::Wait(1),
            "visitor error RL-313 · visitor resumed connecting 0 · g2 offer O · g2 dial pbx 1001 · visitor dialing",
        ),
        (reports("g2", Event::Ringing { call: call() }).into(), "visitor ringing"),
        // The record has its times, and the page its token.
        (reports("g2", Event::Answered { call: call() }).into(), "visitor answered · visitor token 1"),
        // The gateway that was lost had not died: what it has of the call is nobody's.
        (registers("g1", 9, vec![carried("c1", TrunkLeg::Answered, true)]).into(), "g1 release c1 gateway_gone"),
        (hangup().into(), "visitor ended visitor_hung_up · visitor closed · g2 release c1 visitor_hung_up"),
    ]);
}

#[test]
fn a_gateway_that_was_restarted_gets_its_call_again() {
    let mut bench = in_call(Config::default());
    bench.prepare([gateway_lost("g1")]);
    bench.walk([
        (offer().into(), ""),
        // There is no other, so that it is waited for.
        (Step::Wait(10), ""),
        (with_trunk("g1").into(), "g1 release c1 gateway_gone"),
        (
            closed().into(),
            "visitor error RL-313 · visitor resumed connecting 0 · g1 offer O · g1 dial pbx 1001 · visitor dialing",
        ),
    ]);
}

/// In a call that another gateway has been told to ring again.
fn in_second_call() -> Bench {
    in_second_call_of(Config::default())
}

fn in_second_call_of(config: Config) -> Bench {
    let mut bench = in_call(config);
    bench.prepare([with_trunk("g2"), gateway_lost("g1"), offer()]);
    bench.pass(Duration::from_secs(3));
    bench
}

/// The second gateway registers, and says that it carries the call.
fn g2_has_it(far_end: TrunkLeg, media_up: bool) -> Input {
    let (gateway, trunks) = (GatewayId::from("g2"), vec![TrunkName::from("pbx")]);
    let calls = vec![carried("c1", far_end, media_up)];
    reports("g2", Event::Registered { version: VERSION, gateway, capacity: 9, trunks, calls })
}

fn says_g2(event: impl FnOnce(CallId) -> Event) -> Step {
    reports("g2", event(call())).into()
}

fn sdp(call: CallId) -> Event {
    Event::Answer { call, sdp: "B".to_owned() }
}

#[test]
fn a_page_is_turned_while_the_far_end_is_rung_again_which_rings_on() {
    let mut bench = in_second_call();
    bench.walk([
        (says_g2(sdp), "visitor answer B"),
        (says_g2(|call| Event::MediaUp { call }), ""),
        (says_g2(|call| Event::Ringing { call }), "visitor ringing"),
        (lost(1).into(), "g2 away c1"),
        (says_g2(|call| Event::MediaDown { call, detail: "gone".to_owned() }), ""),
        (Step::Wait(20), ""),
        (
            resumes(2, 1).into(),
            "page 2 welcome Acme/Sales · page 2 error RL-313 · page 2 resumed ringing 0 · page 2 token 2",
        ),
        (offer_of(2).into(), "g2 offer O2"),
        (says_g2(sdp), "page 2 answer B"),
        (says_g2(|call| Event::MediaUp { call }), ""),
        (ready_of(2).into(), ""),
        (says_g2(|call| Event::Answered { call }), "page 2 answered · page 2 token 2"),
        (Step::Wait(60), ""),
        (lost(2).into(), "g2 away c1"),
        (resumes(3, 2).into(), "page 3 welcome Acme/Sales · page 3 resumed answered 60000 · page 3 token 3"),
    ]);
}

#[test]
fn nobody_is_rung_before_the_next_page_is_ready() {
    let mut bench = in_call(Config::default());
    bench.prepare([with_trunk("g2"), lost(1), resumes(2, 1), gateway_lost("g1"), offer_of(2)]);
    bench.walk([
        (Step::Wait(3), "page 2 error RL-313 · page 2 resumed connecting 0 · g2 offer O2"),
        (lost(2).into(), "g2 away c1"),
        // Whom nobody hears, nothing is waited for but him.
        (Step::Wait(59), ""),
        (
            resumes(3, 2).into(),
            "page 3 welcome Acme/Sales · page 3 error RL-313 · page 3 resumed connecting 0 · page 3 token 3",
        ),
        (offer_of(3).into(), "g2 offer O3"),
        (says_g2(sdp), ""),
        (says_g2(sdp), "page 3 answer B"),
        (says_g2(|call| Event::MediaUp { call }), ""),
        // A page's microphone has the time that a call's first one has.
        (Step::Wait(59), ""),
        (ready_of(3).into(), "g2 dial pbx 1001 · page 3 dialing"),
    ]);
}

#[test]
fn a_call_that_is_answered_again_between_two_pages_waits_for_the_next_and_no_longer_than_any() {
    let mut bench = in_second_call();
    bench.walk([
        (says_g2(sdp), "visitor answer B"),
        (says_g2(|call| Event::MediaUp { call }), ""),
        (says_g2(|call| Event::Ringing { call }), "visitor ringing"),
        (lost(1).into(), "g2 away c1"),
        (Step::Wait(10), ""),
        (says_g2(|call| Event::Answered { call }), ""),
        (Step::Wait(49), ""),
        (Step::Wait(1), "g2 release c1 visitor_gone"),
    ]);
    let mut bench = in_second_call();
    bench.prepare([reports("g2", sdp(call())), lost(1), reports("g2", Event::Answered { call: call() })]);
    bench.walk([
        (Step::Wait(30), ""),
        (resumes(2, 1).into(), "page 2 welcome Acme/Sales · page 2 resumed answered 30000 · page 2 token 2"),
        (offer_of(2).into(), "g2 offer O2"),
        (says_g2(sdp), "page 2 answer B"),
    ]);
}

#[test]
fn a_call_that_nobody_answers_again_ends_with_the_window_or_when_it_has_rung_long_enough() {
    let mut bench = in_second_call();
    bench.prepare([reports("g2", Event::EarlyMedia { call: call() })]);
    bench.pass(Duration::from_secs(20));
    bench.prepare([lost(1)]);
    bench.walk([(Step::Wait(24), ""), (Step::Wait(1), "g2 release c1 no_answer")]);
    let mut bench = in_second_call_of(Config { resume: Duration::from_secs(20), ..Config::default() });
    bench.prepare([lost(1)]);
    bench.walk([
        (Step::Wait(19), ""),
        (Step::Wait(1), "g2 release c1 visitor_gone"),
        (resumes(2, 1).into(), "page 2 ended visitor_gone RL-309 · page 2 closed"),
    ]);
}

#[test]
fn a_duplicated_tab_is_told_where_the_call_is_and_may_move_it_while_it_is_placed_again() {
    let mut bench = in_second_call();
    bench.walk([
        (resumes(2, 1).into(), "visitor probed"),
        (Step::Wait(1), "page 2 error RL-308 · page 2 closed"),
        (
            takes_over(3, 1).into(),
            "visitor error RL-308 · visitor closed · page 3 welcome Acme/Sales · page 3 error RL-313 · page 3 resumed dialing 0 · page 3 token 2",
        ),
        (ready_of(3).into(), ""),
        (resumes(4, 1).into(), "page 4 error RL-308 · page 4 closed"),
        (resumes(5, 7).into(), "page 5 ended visitor_gone RL-309 · page 5 closed"),
    ]);
}

#[test]
fn a_page_whose_socket_broke_while_the_far_end_is_rung_again_is_waited_for_like_one_that_went() {
    let mut bench = in_second_call();
    bench.walk([
        (broken(1).into(), ""),
        (Step::Wait(9), ""),
        (Step::Wait(1), "g2 away c1"),
        (reconnects(2, 1, 10).into(), "page 2 reconnected 3 10 · page 2 resumed dialing 0"),
        (offer_of(2).into(), "g2 offer O2"),
        (broken(2).into(), ""),
        (
            resumes(3, 1).into(),
            "page 3 welcome Acme/Sales · page 3 error RL-313 · page 3 resumed dialing 0 · page 3 token 2",
        ),
    ]);
}

#[test]
fn a_page_that_asks_while_the_call_is_placed_again_gets_it_when_the_one_before_is_lost() {
    let mut bench = in_call(Config::default());
    bench.prepare([with_trunk("g2"), gateway_lost("g1"), offer()]);
    bench.pass(Duration::from_millis(2_400));
    bench.walk([(resumes(2, 1), "visitor probed"), (offer_of(2), "")]);
    bench.pass(Duration::from_millis(600));
    bench.walk([
        (
            lost(1).into(),
            "page 2 welcome Acme/Sales · page 2 error RL-313 · page 2 resumed dialing 0 · page 2 token 2 · g2 offer O2",
        ),
        (Step::Wait(1), ""),
        (ready_of(2).into(), ""),
    ]);
    // Who had no socket was believed to be there as long as he was heard.
    let mut bench = in_call(Config::default());
    bench.prepare([with_trunk("g2"), broken(1), gateway_lost("g1")]);
    bench.pass(Duration::from_secs(29));
    bench.walk([
        (resumes(2, 1).into(), ""),
        (
            Step::Wait(1),
            "page 2 welcome Acme/Sales · page 2 error RL-313 · page 2 resumed connecting 0 · page 2 token 2",
        ),
    ]);
}

#[test]
fn a_call_is_placed_again_for_a_visitor_between_two_pages_who_is_waited_for_before_anybody_is_rung() {
    let mut bench = in_call(Config::default());
    bench.prepare([with_trunk("g2"), gateway_lost("g1"), offer()]);
    bench.walk([
        (Step::Wait(2), ""),
        // Who hears nothing loads the page anew.
        (lost(1).into(), ""),
        (Step::Wait(2), ""),
        (
            resumes(2, 1).into(),
            "page 2 welcome Acme/Sales · page 2 error RL-313 · page 2 resumed connecting 0 · page 2 token 2",
        ),
        (offer_of(2).into(), "g2 offer O2"),
        (ready_of(2).into(), "g2 dial pbx 1001 · page 2 dialing"),
    ]);
    let mut bench = in_call(Config::default());
    bench.prepare([with_trunk("g2"), lost(1), gateway_lost("g1")]);
    bench.walk([
        (Step::Wait(59), ""),
        (Step::Wait(1), "record ended visitor_gone RL-107 (the visitor did not come back) at 60"),
    ]);
}

#[test]
fn a_second_gateway_that_is_lost_for_a_while_learns_that_the_visitor_went_and_rings_nobody_for_him() {
    let mut bench = in_second_call();
    bench.prepare([reports("g2", sdp(call()))]);
    bench.walk([
        (gateway_lost("g2"), ""),
        (lost(1), ""),
        (g2_has_it(TrunkLeg::Answered, true), "g2 away c1"),
        (resumes(2, 1), "page 2 welcome Acme/Sales · page 2 resumed answered 0 · page 2 token 2"),
    ]);
    let mut bench = in_second_call();
    bench.walk([
        (gateway_lost("g2"), ""),
        (lost(1), ""),
        // The order to ring was lost on its way.
        (g2_has_it(TrunkLeg::Idle, true), "g2 away c1"),
        (
            resumes(2, 1),
            "page 2 welcome Acme/Sales · page 2 error RL-313 · page 2 resumed connecting 0 · page 2 token 2",
        ),
        (offer_of(2), "g2 offer O2"),
        (ready_of(2), "g2 dial pbx 1001 · page 2 dialing"),
    ]);
}

#[test]
fn a_call_that_was_never_answered_is_placed_again_for_its_page_alone() {
    let mut bench = Bench::new(Config { gateway: Duration::ZERO, ..Config::default() });
    let arrived = Input::Arrived { call: call(), page: PAGE, plan: plan("pbx") };
    bench.prepare([with_trunk("g1"), arrived, offer(), sdp_answer(), ready(), with_trunk("g2")]);
    bench.walk([
        (gateway_lost("g1"), "visitor error RL-313 · visitor resumed connecting 0"),
        (offer(), "g2 offer O · g2 dial pbx 1001 · visitor dialing"),
        (lost(1), "g2 release c1 visitor_gone"),
    ]);
}

/// The call's record, which tells of the first answer alone, at the next server.
fn after_restart(far_end: TrunkLeg) -> Bench {
    let mut bench = Bench::new(Config::default());
    let (dialed, rang, answered) = (true, true, Some(bench.now));
    let (gateway, epoch, oldest) = (Some(GatewayId::from("g2")), Epoch(1), Epoch(1));
    let restored = Box::new(Restored {
        plan: plan("pbx"),
        gateway,
        dialed,
        rang,
        answered,
        epoch,
        oldest,
        certificates: Vec::new(),
    });
    bench.prepare([Input::Restored { call: call(), restored }]);
    bench.pass(Duration::from_secs(1));
    bench.prepare([g2_has_it(far_end, false)]);
    bench
}

#[test]
fn a_call_that_was_being_placed_again_when_its_server_was_killed_is_as_far_as_its_gateway_says() {
    let mut bench = after_restart(TrunkLeg::Ringing);
    bench.walk([
        (resumes(2, 1), "page 2 welcome Acme/Sales · page 2 error RL-313 · page 2 resumed ringing 0 · page 2 token 18"),
        (offer_of(2), "g2 offer O2"),
        (reports("g2", Event::Answered { call: call() }), "page 2 answered · page 2 token 18"),
    ]);
    let mut bench = after_restart(TrunkLeg::Ringing);
    bench.pass(Duration::from_secs(44));
    bench.walk([(Step::Wait(1), "g2 release c1 no_answer")]);
    let mut bench = after_restart(TrunkLeg::Idle);
    bench.walk([
        (
            resumes(2, 1),
            "page 2 welcome Acme/Sales · page 2 error RL-313 · page 2 resumed connecting 0 · page 2 token 18",
        ),
        (offer_of(2), "g2 offer O2"),
        (ready_of(2), "g2 dial pbx 1001 · page 2 dialing"),
    ]);
}

#[test]
fn a_call_is_not_placed_again_without_end() {
    let mut bench = in_call(Config { gateway: Duration::ZERO, ..Config::default() });
    let mut placed = 0;
    for (dies, lives) in [("g1", "g2"), ("g2", "g1"), ("g1", "g2")] {
        bench.prepare([with_trunk(lives), gateway_lost(dies)]);
        placed += usize::from(bench.board.calls() == 1);
        bench.prepare([offer()]);
    }
    assert_eq!((placed, bench.board.calls()), (2, 0));
}
