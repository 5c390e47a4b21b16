//! An answered call that goes from page to page, in two columns as in `walkthroughs.rs`.

use super::bench::*;
use super::turns::{self, FINGERPRINT};
use crate::resume::MAX_ASIDE;
use crate::{Config, Input, MAX_HELD_REQUESTS, Page};
use protocol::gateway::{Event, Side};
use protocol::visitor::VisitorRequest;
use std::time::Duration;

/// A call whose first page has token 1.
fn in_call() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up(), answered()]);
    bench
}

#[test]
fn the_next_page_takes_the_call_up_and_nobody_is_rung_again() {
    let mut bench = in_call();
    bench.walk([
        (Step::Wait(30), ""),
        (lost(1).into(), "g1 away c1"),
        (media_down().into(), ""),
        (digit(Side::Agent, '5').into(), ""),
        (Step::Wait(2), ""),
        (resumes(2, 1).into(), "page 2 welcome Acme/Sales · page 2 resumed answered 32000 · page 2 token 2"),
        (offer_of(2).into(), "g1 offer O2"),
        (says_at(Page(2), VisitorRequest::Candidate { candidate: "a".to_owned() }).into(), "g1 candidate a"),
        (sdp_answer().into(), "page 2 answer A"),
        (media_up().into(), ""),
        (ready_of(2).into(), ""),
        (Step::Wait(600), ""),
        (digit(Side::Agent, '5').into(), "page 2 digit 5 100"),
        (far_end_hung_up().into(), "page 2 ended agent_hung_up · page 2 closed · g1 release c1 agent_hung_up"),
        (closed().into(), "record ended agent_hung_up 7 packets at 632"),
    ]);
    assert!(bench.board.is_empty());
}

#[test]
fn a_visitor_who_does_not_come_back_within_the_window_is_gone() {
    let mut bench = in_call();
    bench.walk([
        (lost(1).into(), "g1 away c1"),
        (Step::Wait(59), ""),
        (lost(1).into(), ""),
        (Step::Wait(1), "g1 release c1 visitor_gone"),
        (resumes(2, 1).into(), "page 2 ended visitor_gone RL-309 · page 2 closed"),
        (closed().into(), "record ended visitor_gone RL-107 (the visitor did not come back) 7 packets at 60"),
        (resumes(3, 1).into(), "page 3 ended visitor_gone RL-309 · page 3 closed"),
    ]);
    assert!(bench.board.is_empty());
}

#[test]
fn a_page_that_makes_no_audio_path_ends_the_call_and_events_of_the_old_path_do_not_save_it() {
    let mut bench = in_call();
    bench.prepare([lost(1), resumes(2, 1)]);
    bench.walk([
        (media_up().into(), ""),
        (Step::Wait(14), ""),
        (offer_of(2).into(), "g1 offer O2"),
        (media_up().into(), ""),
        (Step::Wait(1), "page 2 ended media_failed RL-108 · page 2 closed · g1 release c1 media_failed"),
    ]);
}

#[test]
fn an_answer_to_a_page_that_has_left_does_not_reach_the_next_one() {
    let mut bench = in_call();
    bench.prepare([lost(1), resumes(2, 1), offer_of(2), lost(2), resumes(3, 2)]);
    bench.walk([
        (sdp_answer(), ""),
        (offer_of(3), "g1 offer O3"),
        (sdp_answer(), "page 3 answer A"),
        (sdp_answer(), ""),
    ]);
    let mut bench = in_call();
    bench.prepare([lost(1), resumes(2, 1), offer_of(2), lost(2), resumes(3, 2), offer_of(3)]);
    bench.walk([(sdp_answer(), ""), (media_down(), ""), (sdp_answer(), "page 3 answer A")]);
}

#[test]
fn a_token_is_spent_when_the_page_that_used_it_is_ready() {
    let mut bench = in_call();
    bench.prepare([lost(1), resumes(2, 1), lost(2)]);
    // Left before they could keep what they got: twice over.
    bench.walk([(resumes(3, 1), "page 3 welcome Acme/Sales · page 3 resumed answered 0 · page 3 token 3")]);
    bench.prepare([lost(3), resumes(4, 1), ready_of(4), lost(4)]);
    bench.walk([
        (resumes(5, 1), "page 5 ended visitor_gone RL-309 · page 5 closed"),
        (resumes(6, 3), "page 6 ended visitor_gone RL-309 · page 6 closed"),
        (resumes(7, 5), "page 7 ended visitor_gone RL-309 · page 7 closed"),
        (resumes(8, 4), "page 8 welcome Acme/Sales · page 8 resumed answered 0 · page 8 token 5"),
    ]);
}

#[test]
fn a_page_that_is_faster_than_the_loss_of_the_one_before_gets_the_call_with_it() {
    let mut bench = in_call();
    bench.walk([
        (resumes(2, 1), "visitor probed"),
        (offer_of(2), ""),
        (lost(1), "page 2 welcome Acme/Sales · page 2 resumed answered 0 · page 2 token 2 · g1 offer O2"),
        (offer(), ""),
    ]);
    bench.walk([(Step::Wait(10), "")]);
}

#[test]
fn a_duplicated_tab_does_not_get_the_call_but_may_move_it() {
    let mut bench = in_call();
    bench.walk([
        (resumes(2, 1).into(), "visitor probed"),
        (Step::Wait(1), "page 2 error RL-308 · page 2 closed"),
        (lost(2).into(), ""),
        (digit(Side::Agent, '1').into(), "visitor digit 1 100"),
        (
            takes_over(3, 1).into(),
            "visitor error RL-308 · visitor closed · page 3 welcome Acme/Sales · page 3 resumed answered 1000 · page 3 token 2",
        ),
        (lost(1).into(), ""),
        (hangup().into(), ""),
        (offer_of(3).into(), "g1 offer O3"),
    ]);
}

#[test]
fn a_page_that_lost_the_call_to_another_tab_may_move_it_back_but_only_by_moving_it() {
    let mut bench = in_call();
    bench.prepare([takes_over(2, 1), ready_of(2)]);
    bench.walk([
        (resumes(3, 1), "page 3 error RL-308 · page 3 closed"),
        (
            takes_over(4, 1),
            "page 2 error RL-308 · page 2 closed · page 4 welcome Acme/Sales · page 4 resumed answered 0 · page 4 token 3",
        ),
        (ready_of(4), ""),
        (takes_over(5, 1), "page 5 ended visitor_gone RL-309 · page 5 closed"),
        (
            takes_over(6, 2),
            "page 4 error RL-308 · page 4 closed · page 6 welcome Acme/Sales · page 6 resumed answered 0 · page 6 token 4",
        ),
    ]);
}

#[test]
fn a_duplicated_tab_may_move_the_call_even_after_the_first_has_turned_its_page() {
    let mut bench = in_call();
    bench.walk([(resumes(2, 1).into(), "visitor probed"), (Step::Wait(1), "page 2 error RL-308 · page 2 closed")]);
    bench.prepare([lost(1), resumes(3, 1), ready_of(3)]);
    bench.walk([(
        takes_over(4, 1),
        "page 3 error RL-308 · page 3 closed · page 4 welcome Acme/Sales · page 4 resumed answered 1000 · page 4 token 3",
    )]);
}

#[test]
fn the_next_page_of_a_duplicated_tab_is_told_where_the_call_is_as_long_as_it_lives() {
    let mut bench = in_call();
    bench.walk([(resumes(2, 1).into(), "visitor probed"), (Step::Wait(1), "page 2 error RL-308 · page 2 closed")]);
    bench.prepare([lost(1), resumes(3, 1), ready_of(3)]);
    bench.walk([
        (resumes(4, 1), "page 4 error RL-308 · page 4 closed"),
        (resumes(5, 1), "page 5 error RL-308 · page 5 closed"),
        (far_end_hung_up(), "page 3 ended agent_hung_up · page 3 closed · g1 release c1 agent_hung_up"),
        (resumes(6, 1), "page 6 ended visitor_gone RL-309 · page 6 closed"),
    ]);
}

#[test]
fn a_page_without_a_socket_that_is_heard_keeps_its_call_against_a_duplicated_tab() {
    let taken = "page 2 welcome Acme/Sales · page 2 resumed answered 2000 · page 2 token 2";
    let mut bench = in_call();
    bench.walk([
        (broken(1).into(), ""),
        (resumes(2, 1).into(), ""),
        (Step::Wait(2), ""),
        (Step::Wait(1), "page 2 error RL-308 · page 2 closed"),
        (reconnects(3, 1, 6).into(), "page 3 reconnected 2 6"),
    ]);
    // It comes back, or it is heard no more, or was gone already; or the shopper wants it so.
    let mut bench = in_call();
    bench.prepare([broken(1), resumes(2, 1)]);
    bench.walk([(reconnects(3, 1, 6), "page 2 error RL-308 · page 2 closed · page 3 reconnected 2 6")]);
    let mut bench = in_call();
    bench.prepare([broken(1), resumes(2, 1)]);
    bench.walk([(Step::Wait(2), ""), (media_down().into(), taken)]);
    let mut bench = in_call();
    bench.prepare([media_down(), broken(1)]);
    bench.pass(Duration::from_secs(2));
    bench.walk([(resumes(2, 1), taken)]);
    let mut bench = in_call();
    bench.prepare([broken(1), resumes(2, 1)]);
    bench.pass(Duration::from_secs(2));
    bench.walk([(
        takes_over(3, 1),
        "page 2 error RL-308 · page 2 closed · page 3 welcome Acme/Sales · page 3 resumed answered 2000 · page 3 token 2",
    )]);
}

#[test]
fn tokens_of_tabs_set_aside_are_bounded() {
    let mut bench = in_call();
    for page in 2..20 {
        bench.prepare([takes_over(page, u32::try_from(page).unwrap_or_default() - 1), ready_of(page)]);
    }
    let kept = MAX_ASIDE as u32;
    bench.walk([(takes_over(30, 18 - kept), "page 30 ended visitor_gone RL-309 · page 30 closed")]);
    assert_eq!(bench.send(takes_over(31, 19 - kept)).len(), 7, "of the last {kept} each may move it");
}

#[test]
fn of_two_pages_that_ask_for_the_call_the_later_one_waits_for_it() {
    let mut bench = in_call();
    bench.walk([
        (resumes(2, 1), "visitor probed"),
        (resumes(3, 1), "page 2 error RL-308 · page 2 closed · visitor probed"),
        (lost(2), ""),
        (lost(1), "page 3 welcome Acme/Sales · page 3 resumed answered 0 · page 3 token 2"),
    ]);
    let mut bench = in_call();
    bench.walk([(resumes(2, 1), "visitor probed"), (lost(2), ""), (lost(1), "g1 away c1")]);
    let mut bench = in_call();
    bench.prepare([resumes(2, 1)]);
    bench.walk([(
        takes_over(3, 1),
        "visitor error RL-308 · visitor closed · page 2 error RL-308 · page 2 closed · page 3 welcome Acme/Sales · page 3 resumed answered 0 · page 3 token 2",
    )]);
}

#[test]
fn a_page_that_waits_for_the_call_learns_that_it_is_over() {
    let mut bench = in_call();
    bench.walk([
        (resumes(2, 1), "visitor probed"),
        (
            far_end_hung_up(),
            "visitor ended agent_hung_up · visitor closed · page 2 ended visitor_gone RL-309 · page 2 closed · g1 release c1 agent_hung_up",
        ),
    ]);
}

#[test]
fn a_call_that_nobody_has_answered_is_not_taken_up() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), ready(), ringing()]);
    bench.walk([(resumes(2, 1), "page 2 ended visitor_gone RL-309 · page 2 closed")]);
    bench.walk([(lost(1), "g1 release c1 visitor_gone")]);
}

#[test]
fn a_page_that_waits_cannot_fill_the_memory() {
    let mut bench = in_call();
    bench.prepare([resumes(2, 1)]);
    bench.prepare((0..2 * MAX_HELD_REQUESTS).map(|_| says_at(Page(2), VisitorRequest::Ready {})));
    assert_eq!(
        bench.send(lost(1)).len(),
        6 + MAX_HELD_REQUESTS - 1,
        "one `ready`, what is written of tokens, the others refused"
    );
}

#[test]
fn the_longest_duration_counts_from_the_answer_over_all_pages() {
    let mut bench = Bench::new(Config { max_duration: Duration::from_secs(50), ..Config::default() });
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up(), answered()]);
    bench.walk([
        (Step::Wait(40), ""),
        (lost(1).into(), "g1 away c1"),
        (Step::Wait(10), "g1 release c1 too_long"),
        (Input::Stop.into(), ""),
    ]);
}

#[test]
fn a_page_prepares_its_successor_and_from_then_on_nobody_elses_page_gets_the_call() {
    let mut bench = in_call();
    let next =
        |page, fingerprint: &str| says_at(Page(page), VisitorRequest::Next { fingerprint: fingerprint.to_owned() });
    let prepared = Event::Prepared { call: call(), fingerprint: FINGERPRINT.to_owned(), sdp: "P".to_owned() };
    let from_gateway = |event| Input::Gateway { gateway: "g1".into(), event };
    bench.walk([
        (next(1, "sha-256 4A"), "visitor error RL-405"),
        (next(1, FINGERPRINT), "g1 prepare c1 for DF"),
        (from_gateway(prepared), "visitor prepared P for DF"),
        (next(1, FINGERPRINT), ""),
    ]);
    bench.walk([
        (Step::Wait(6), ""),
        (lost(1).into(), "g1 away c1"),
        (resumes(2, 1).into(), "page 2 ended visitor_gone RL-309 · page 2 closed"),
        (takes_over(3, 1).into(), "page 3 ended visitor_gone RL-309 · page 3 closed"),
        (
            certified(4, 1, FINGERPRINT).into(),
            "page 4 welcome Acme/Sales · page 4 resumed answered 6000 · page 4 token 2",
        ),
        (offer_of(4).into(), "page 4 error RL-405"),
        (
            says_at(Page(4), turns::offer()).into(),
            concat!(
                "g1 offer a=fingerprint:sha-256 ",
                "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF"
            ),
        ),
    ]);
}

#[test]
fn a_call_that_nobody_has_answered_prepares_for_no_other_page() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready()]);
    bench.walk([(says(VisitorRequest::Next { fingerprint: FINGERPRINT.to_owned() }), "visitor error RL-405")]);
}
