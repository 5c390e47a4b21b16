//! What the far end keys and what comes of it, in two columns as in `walkthroughs.rs`. How keys become codes is tested in
//! `keys.rs`.

use super::bench::*;
use crate::{Config, Input, Outcome, Output, Page};
use protocol::gateway::Side;
use protocol::settings::{Change, EchoLayer};
use protocol::visitor::VisitorRequest;
use std::time::Duration;

fn in_call() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up(), answered()]);
    bench
}

fn key(digit: char) -> Input {
    super::bench::digit(Side::Agent, digit)
}

/// Keys all but the last of a code, with the table at hand.
fn begin(bench: &mut Bench, keys: &str) {
    bench.prepare([key('*'), commands()]);
    bench.prepare(keys.chars().map(key));
}

fn settings() -> VisitorRequest {
    VisitorRequest::Settings {
        microphone_db: None,
        muted: None,
        speaker_db: None,
        echo: None,
        noise_suppression: None,
        input_device: None,
        output_device: None,
        input_devices: None,
        output_devices: None,
        quality_test: None,
        quality_score: None,
        round_trip_ms: None,
        jitter_ms: None,
        said_lost_percent: None,
        heard_lost_percent: None,
        concealed_percent: None,
        refused: None,
    }
}

fn told_at_the_answer() -> VisitorRequest {
    let mut report = settings();
    if let VisitorRequest::Settings { microphone_db, speaker_db, echo, .. } = &mut report {
        (*microphone_db, *speaker_db, *echo) = (Some(0), Some(0), Some(EchoLayer::Browser));
    }
    report
}

fn speaker(db: i32) -> VisitorRequest {
    report(|_, speaker_db, _| *speaker_db = Some(db))
}

/// A report of a test that runs, or has found a score.
fn test(runs: bool, score: Option<u32>) -> Input {
    let mut report = settings();
    if let VisitorRequest::Settings { quality_test, quality_score, .. } = &mut report {
        (*quality_test, *quality_score) = (Some(runs), score);
    }
    says(report)
}

/// A report that tells one thing.
fn report(tell: impl FnOnce(&mut Option<bool>, &mut Option<i32>, &mut Option<EchoLayer>)) -> VisitorRequest {
    let mut report = settings();
    if let VisitorRequest::Settings { refused, speaker_db, echo, .. } = &mut report {
        tell(refused, speaker_db, echo);
    }
    report
}

#[test]
fn a_code_pushes_a_page_with_the_call_s_own_particulars_and_is_acknowledged() {
    let mut bench = in_call();
    bench.walk([
        (key('*'), "commands?"),
        (commands(), ""),
        (key('7'), ""),
        (
            key('6'),
            "visitor page https://shop.example/returns?c=&at=https%3A%2F%2Fshop.example%2Fshoes&x={what} by agent",
        ),
        (says(VisitorRequest::Shown { done: true }), "g1 tone Done · *76 Done"),
        (says(VisitorRequest::Shown { done: true }), ""),
        (key('5'), "visitor digit 5 100"),
    ]);
}

#[test]
fn a_page_that_leaves_at_once_was_shown_and_one_that_does_nothing_was_not() {
    let mut bench = in_call();
    begin(&mut bench, "76");
    bench.walk([(lost(1), "g1 tone Done · *76 Done · g1 away c1")]);
    let mut bench = in_call();
    begin(&mut bench, "76");
    bench.walk([(Step::Wait(2), ""), (Step::Wait(1), "g1 tone Refused · *76 Refused")]);
    let mut bench = in_call();
    begin(&mut bench, "76");
    bench.walk([(says(VisitorRequest::Shown { done: false }), "g1 tone Refused · *76 Refused")]);
}

#[test]
fn a_code_that_could_go_on_waits_for_the_pause() {
    let mut bench = in_call();
    bench.prepare([key('*'), commands()]);
    bench.walk([
        (Step::Do(key('1')), ""),
        (Step::Wait(1), ""),
        (Step::Wait(1), "visitor page https://shop.example/%2A1/c1 by agent"),
    ]);
}

#[test]
fn keys_that_are_no_command_are_shown_as_digits_and_none_of_a_command_is() {
    let mut bench = in_call();
    bench.walk([
        (key('*'), "commands?"),
        (key('9'), ""),
        (commands(), "visitor digit * 100 · visitor digit 9 100"),
        (key('9'), "visitor digit 9 100"),
    ]);
    bench.walk([(Step::Do(key('*')), "commands?"), (Step::Wait(2), "visitor digit * 100"), (commands().into(), "")]);
    let unknown = Input::Commands { call: call(), table: None };
    bench.walk([(key('*'), "commands?"), (unknown, "visitor digit * 100"), (key('1'), "visitor digit 1 100")]);
}

#[test]
fn nothing_is_commanded_before_the_answer() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), ready(), ringing()]);
    bench.walk([(key('*'), "visitor digit * 100"), (commands(), "")]);
    bench.walk([(Input::Set { call: call(), change: Change::default() }, "")]);
    assert_eq!(bench.board.settings(&call()), None);
}

#[test]
fn the_merchant_s_server_names_the_page_and_only_its_last_answer_counts() {
    let mut bench = in_call();
    begin(&mut bench, "1");
    let asked = "resolve 1 *12 at https://crm.example/page for - on https://shop.example/shoes";
    bench.walk([
        (key('2'), asked),
        (resolved(1, Some("https://shop.example/order/7")), "visitor page https://shop.example/order/7 by agent"),
        (resolved(1, Some("https://shop.example/order/7")), ""),
        (says(VisitorRequest::Shown { done: true }), "g1 tone Done · *12 Done"),
    ]);
    begin(&mut bench, "12");
    bench.walk([(resolved(1, Some("https://shop.example/order/7")), "")]);
    bench.walk([(resolved(2, None), "g1 tone Refused · *12 Refused")]);
    begin(&mut bench, "12");
    bench.walk([(Step::Wait(3), "g1 tone Refused · *12 Refused")]);
    bench.walk([(resolved(3, Some("https://shop.example/late")), "")]);
}

#[test]
fn steps_go_on_from_what_the_panel_says_is_set_and_are_done_when_it_says_so() {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer())]);
    begin(&mut bench, "2");
    bench.walk([
        (key('2'), "visitor set by agent speaker 4"),
        (says(settings()), ""),
        (says(speaker(4)), "g1 tone Done · *22 Done"),
    ]);
    begin(&mut bench, "2");
    bench.walk([
        (key('2'), "visitor set by agent speaker 8"),
        (says(report(|refused, _, _| *refused = Some(true))), "g1 tone Refused · *22 Refused"),
    ]);
    bench.prepare([says(speaker(12))]);
    begin(&mut bench, "2");
    bench.walk([(key('2'), "g1 tone Refused · *22 Refused")]);
    begin(&mut bench, "8");
    bench.walk([
        (Step::Do(key('0')), "visitor set by agent microphone -4"),
        (Step::Wait(3), "g1 tone Refused · *80 Refused"),
    ]);
    bench.prepare([says(report(|_, _, echo| *echo = Some(EchoLayer::Canceller)))]);
    begin(&mut bench, "3");
    bench.walk([(key('3'), "g1 tone Refused · *33 Refused")]);
    let state = bench.board.settings(&call()).map(|state| (state.speaker_db, state.echo));
    assert_eq!(state, Some((Some(12), Some(EchoLayer::Canceller))));
}

#[test]
fn two_steps_keyed_one_after_the_other_are_two_however_late_the_panel_tells() {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer())]);
    begin(&mut bench, "2");
    bench.walk([(key('2'), "visitor set by agent speaker 4")]);
    begin(&mut bench, "2");
    bench.walk([
        (key('2'), "visitor set by agent speaker 8"),
        (says(speaker(4)), "g1 tone Done · *22 Done"),
        (says(speaker(8)), "g1 tone Done · *22 Done"),
    ]);
    // An echo layer may have to be fetched.
    begin(&mut bench, "3");
    bench.walk([
        (Step::Do(key('3')), "visitor set by agent echo suppressor"),
        (Step::Wait(7), ""),
        (Step::Wait(1), "g1 tone Refused · *33 Refused"),
    ]);
}

#[test]
fn a_panel_that_tells_of_the_later_of_two_steps_alone_has_done_both() {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer())]);
    begin(&mut bench, "22");
    begin(&mut bench, "22");
    bench.walk([(says(speaker(8)), "g1 tone Done · *22 Done · g1 tone Done · *22 Done")]);
}

#[test]
fn no_step_is_guessed_where_nobody_has_told_what_is_set() {
    for (keys, last, refused) in [
        ("2", '2', "g1 tone Refused · *22 Refused"),
        ("8", '0', "g1 tone Refused · *80 Refused"),
        ("3", '3', "g1 tone Refused · *33 Refused"),
    ] {
        let mut bench = in_call();
        begin(&mut bench, keys);
        bench.walk([(key(last), refused)]);
    }
    // Muted is muted.
    let mut bench = in_call();
    begin(&mut bench, "1");
    bench.walk([(key('5'), "visitor set by agent muted true")]);
}

#[test]
fn what_the_merchant_forbids_is_refused_even_while_nobody_is_there() {
    let mut bench = in_call();
    begin(&mut bench, "1");
    bench.walk([(key('0'), "g1 tone Refused · *10 Refused")]);
    bench.prepare([lost(1)]);
    begin(&mut bench, "1");
    bench.walk([(key('0'), "g1 tone Refused · *10 Refused")]);
}

/// Keys while the shopper is between two pages; the next page comes and is welcomed.
fn keyed_between_pages(keys: &str) -> Bench {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer()), lost(1)]);
    begin(&mut bench, keys);
    bench.prepare([resumes(2, 1), offer_of(2)]);
    bench
}

#[test]
fn a_code_between_two_pages_is_kept_for_the_next_one_until_that_is_ready() {
    let mut bench = keyed_between_pages("22");
    bench.walk([
        (ready_of(2), "page 2 set by agent speaker 4"),
        (says_at(Page(2), speaker(4)), "g1 tone Done · *22 Done"),
    ]);
    let mut bench = keyed_between_pages("76");
    let page = "page 2 page https://shop.example/returns?c=&at=https%3A%2F%2Fshop.example%2Fshoes&x={what} by agent";
    bench.walk([(ready_of(2), page)]);
    let mut bench = keyed_between_pages("12");
    let asked = "resolve 1 *12 at https://crm.example/page for - on https://shop.example/shoes";
    bench.walk([
        (ready_of(2), asked),
        (lost(2), "g1 away c1"),
        (resolved(1, Some("https://shop.example/order/7")), ""),
    ]);
    bench.prepare([resumes(3, 2), offer_of(3)]);
    bench.walk([(ready_of(3), "page 3 page https://shop.example/order/7 by agent")]);
}

#[test]
fn a_code_between_two_pages_is_refused_when_no_page_comes_and_done_by_one_without_a_microphone() {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer()), lost(1)]);
    begin(&mut bench, "76");
    bench.walk([(Step::Wait(2), ""), (Step::Wait(1), "g1 tone Refused · *76 Refused")]);
    bench.prepare([resumes(2, 1), offer_of(2)]);
    bench.walk([(ready_of(2), "")]);
    let mut bench = keyed_between_pages("22");
    bench.walk([(Step::Wait(2), ""), (Step::Wait(1), "page 2 set by agent speaker 4")]);
}

#[test]
fn of_two_codes_between_two_pages_the_later_is_kept() {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer()), lost(1)]);
    begin(&mut bench, "22");
    begin(&mut bench, "8");
    bench.walk([(key('0'), "g1 tone Refused · *22 Refused")]);
    bench.prepare([resumes(2, 1), offer_of(2)]);
    bench.walk([(ready_of(2), "page 2 set by agent microphone -4")]);
}

#[test]
fn a_test_of_the_connection_is_told_as_a_score_and_only_one_runs() {
    let mut bench = in_call();
    begin(&mut bench, "1");
    bench.walk([
        (key('9'), "visitor set by agent test true"),
        // Of something else, before the panel has got it.
        (test(false, None), ""),
        (test(true, None), ""),
    ]);
    begin(&mut bench, "1");
    bench.walk([
        (key('9'), "g1 tone Refused · *19 Refused"),
        (says(report(|refused, _, _| *refused = Some(true))), "g1 tone Refused · *19 Refused"),
    ]);
    bench.prepare([test(false, None)]);
    begin(&mut bench, "19");
    bench.walk([(test(true, None), ""), (test(false, Some(4)), "g1 tone Scored(4) · *19 Scored(4)")]);
    begin(&mut bench, "1");
    bench.walk([
        (Step::Do(key('9')), "visitor set by agent test true"),
        (Step::Wait(11), ""),
        (Step::Wait(1), "g1 tone Refused · *19 Refused"),
    ]);
}

#[test]
fn a_desk_s_test_is_in_the_way_of_an_agent_s_and_goes_with_its_page() {
    let mut bench = in_call();
    bench.prepare([test(true, None)]);
    begin(&mut bench, "1");
    bench.walk([(key('9'), "g1 tone Refused · *19 Refused"), (lost(1), "g1 away c1")]);
    assert_eq!(bench.board.settings(&call()).map(|state| state.quality_test), Some(Some(false)));
    bench.prepare([resumes(2, 1), offer_of(2), ready_of(2)]);
    begin(&mut bench, "1");
    bench.walk([(key('9'), "page 2 set by agent test true"), (lost(2), "g1 tone Refused · *19 Refused · g1 away c1")]);
}

#[test]
fn each_of_several_commands_is_acknowledged_when_it_is_done_or_has_waited_long_enough() {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer())]);
    begin(&mut bench, "22");
    begin(&mut bench, "1");
    bench.walk([(key('5'), "visitor set by agent muted true")]);
    bench.walk([(says(speaker(4)), "g1 tone Done · *22 Done")]);
    bench.walk([(Step::Wait(3), "g1 tone Refused · *15 Refused")]);
    // What is refused is the first.
    begin(&mut bench, "22");
    begin(&mut bench, "15");
    bench.walk([
        (says(report(|refused, _, _| *refused = Some(true))), "g1 tone Refused · *22 Refused"),
        (says(report(|refused, _, _| *refused = Some(true))), "g1 tone Refused · *15 Refused"),
    ]);
}

#[test]
fn a_setting_or_a_page_in_mid_test_takes_no_score_from_the_agent() {
    let mut bench = in_call();
    bench.prepare([says(told_at_the_answer())]);
    begin(&mut bench, "19");
    bench.prepare([test(true, None)]);
    begin(&mut bench, "2");
    bench.walk([
        (key('2'), "visitor set by agent speaker 4"),
        (says(report(|refused, _, _| *refused = Some(true))), "g1 tone Refused · *22 Refused"),
    ]);
    begin(&mut bench, "22");
    bench.walk([(says(speaker(4)), "g1 tone Done · *22 Done")]);
    begin(&mut bench, "76");
    bench.walk([
        (Step::Wait(3), "g1 tone Refused · *76 Refused"),
        (test(false, Some(4)).into(), "g1 tone Scored(4) · *19 Scored(4)"),
    ]);
}

#[test]
fn of_two_pages_that_are_asked_for_the_later_is_shown_and_both_codes_are_acknowledged() {
    let mut bench = in_call();
    begin(&mut bench, "12");
    begin(&mut bench, "7");
    bench.walk([
        (
            key('6'),
            "g1 tone Refused · *12 Refused · \
             visitor page https://shop.example/returns?c=&at=https%3A%2F%2Fshop.example%2Fshoes&x={what} by agent",
        ),
        (resolved(1, Some("https://shop.example/order/7")), ""),
        (says(VisitorRequest::Shown { done: true }), "g1 tone Done · *76 Done"),
    ]);
}

#[test]
fn more_commands_than_anybody_keys_are_refused() {
    let mut bench = in_call();
    for _ in 0..16 {
        begin(&mut bench, "15");
    }
    begin(&mut bench, "1");
    bench.walk([(key('5'), "g1 tone Refused · *15 Refused")]);
    let waited = bench.pass(Duration::from_secs(3));
    let is_refused = |it: &&Output| matches!(it, Output::Commanded { outcome: Outcome::Refused, .. });
    assert_eq!(waited.iter().filter(is_refused).count(), 16);
}

#[test]
fn a_desk_sets_what_it_names() {
    let mut bench = in_call();
    let change = Change { speaker_db: Some(-8), ..Change::default() };
    bench.walk([(Input::Set { call: call(), change }, "visitor set by desk speaker -8")]);
    bench.walk([(says(speaker(-8)), "")]);
}

#[test]
fn what_a_desk_sets_between_two_pages_is_set_on_the_next_one() {
    let set = |speaker_db, microphone_db| Input::Set {
        call: call(),
        change: Change { speaker_db, microphone_db, ..Change::default() },
    };
    let mut bench = in_call();
    bench.walk([(lost(1), "g1 away c1"), (set(Some(-8), Some(4)), ""), (set(Some(-4), None), "")]);
    bench.prepare([resumes(2, 1), offer_of(2)]);
    bench.walk([(ready_of(2), "page 2 set by desk microphone 4 speaker -4")]);
    // And on the same one, whose socket broke, once.
    bench.walk([(broken(2), ""), (set(None, Some(0)), "")]);
    let told: String = bench.send(reconnects(3, 2, 100)).iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(told.matches("microphone_db: Some(0)").count(), 1, "{told}");
}

#[test]
fn a_call_that_ends_amid_a_code_or_a_command_leaves_nothing() {
    for keys in ["7", "76", "12", "22"] {
        let mut bench = in_call();
        bench.prepare([says(told_at_the_answer())]);
        begin(&mut bench, keys);
        bench.prepare([hangup()]);
        bench.walk([(commands(), ""), (resolved(1, None), ""), (key('6'), ""), (visitor_lost(), "")]);
        bench.prepare([closed()]);
        assert!(bench.board.is_empty() && bench.board.timers() == 0);
    }
}
