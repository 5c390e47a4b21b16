//! Calls whose gateway dies and that are placed again: in two columns as in `walkthroughs.rs`.

use super::bench::*;
use crate::{Config, Input};
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

#[test]
fn nobody_is_rung_again_for_a_visitor_who_is_away_nor_without_end() {
    let mut bench = in_call(Config::default());
    bench.prepare([with_trunk("g2"), lost(1), gateway_lost("g1")]);
    bench.walk([(Step::Wait(29), ""), (Step::Wait(1), "record ended gateway_gone RL-401 at 30")]);

    let mut bench = in_call(Config { gateway: Duration::ZERO, ..Config::default() });
    let mut placed = 0;
    for (dies, lives) in [("g1", "g2"), ("g2", "g1"), ("g1", "g2")] {
        bench.prepare([with_trunk(lives), gateway_lost(dies)]);
        placed += usize::from(bench.board.calls() == 1);
        bench.prepare([offer()]);
    }
    assert_eq!((placed, bench.board.calls()), (2, 0));
}
