//! Keys that the shopper's browser has heard, beside those that the gateway tells, in two columns as in `walkthroughs.rs`.

use super::bench::*;
use crate::{Config, Input, Output};
use proptest::prelude::*;
use protocol::gateway::Side;
use protocol::visitor::{VisitorEvent, VisitorRequest};

fn in_call() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up(), answered()]);
    bench
}

fn told(key: char) -> Input {
    digit(Side::Agent, key)
}

fn heard(key: char) -> Input {
    heard_at(1, &key.to_string())
}

fn heard_at(page: u64, digit: &str) -> Input {
    says_at(crate::Page(page), VisitorRequest::Heard { digit: digit.to_owned() })
}

#[test]
fn a_key_that_the_browser_alone_has_heard_counts_as_one_that_the_gateway_tells() {
    let mut bench = in_call();
    bench.walk([(heard('5'), "visitor digit 5 0"), (heard('5'), "visitor digit 5 0"), (heard('*'), "commands?")]);
    bench.walk([
        (commands(), ""),
        (heard('7'), ""),
        (
            told('6'),
            "visitor page https://shop.example/returns?c=&at=https%3A%2F%2Fshop.example%2Fshoes&x={what} by agent",
        ),
    ]);
}

#[test]
fn a_key_that_is_told_and_heard_counts_once_whichever_comes_first() {
    let mut bench = in_call();
    bench.walk([(told('5'), "visitor digit 5 100"), (heard('5'), ""), (heard('5'), "")]);
    bench.walk([(told('5'), "visitor digit 5 100"), (heard('6'), "visitor digit 6 0"), (told('6'), "")]);
    bench.walk([(told('6'), "visitor digit 6 100")]);
    bench.walk([(Step::Wait(2), ""), (heard('6').into(), "visitor digit 6 0"), (Step::Wait(2), "")]);
    bench.walk([(told('6'), "visitor digit 6 100")]);
}

#[test]
fn keys_of_a_command_that_are_heard_as_well_are_not_shown_even_long_before_it_is_over() {
    let mut bench = in_call();
    bench.walk([
        (Step::Do(told('*')), "commands?"),
        (heard('*').into(), ""),
        (commands().into(), ""),
        (Step::Wait(1), ""),
        (told('1').into(), ""),
        (heard('1').into(), ""),
        (Step::Wait(2), "visitor page https://shop.example/%2A1/c1 by agent"),
    ]);
    let mut bench = in_call();
    bench.walk([(told('*'), "commands?"), (heard('*'), ""), (commands(), ""), (told('2'), "")]);
    bench.walk([(Step::Do(heard('2')), ""), (Step::Wait(3), "visitor digit * 100 · visitor digit 2 100")]);
}

#[test]
fn the_shoppers_own_keys_that_the_line_sends_back_are_nobodys() {
    let mut bench = in_call();
    bench.walk([(digit(Side::Visitor, '5'), ""), (heard('5'), ""), (heard('8'), "visitor digit 8 0")]);
}

#[test]
fn what_a_page_repeats_over_its_next_socket_is_too_old_to_count() {
    let mut bench = in_call();
    bench.walk([(told('5'), "visitor digit 5 100"), (broken(1), "")]);
    bench.walk([(Step::Wait(3), ""), (reconnects(2, 1, 7).into(), "page 2 reconnected 2 7")]);
    bench.walk([(heard_at(2, "5"), "")]);
    bench.walk([(Step::Wait(1), ""), (heard_at(2, "5").into(), "page 2 digit 5 0")]);
}

#[test]
fn before_the_answer_what_is_heard_is_shown_and_what_is_no_key_is_refused() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), ready(), ringing()]);
    bench.walk([(heard('*'), "visitor digit * 0")]);
    for nonsense in ["", "55", "E", "5 ", "é"] {
        bench.walk([(heard_at(1, nonsense), "visitor error RL-405")]);
    }
}

#[test]
fn keys_that_are_heard_faster_than_any_line_carries_them_do_not_count() {
    let mut bench = in_call();
    let mut shown = 0;
    for _ in 0..100 {
        shown += bench.send(heard('5')).len();
    }
    assert_eq!(shown, 16);
    bench.walk([(Step::Wait(2), ""), (heard('5').into(), "visitor digit 5 0")]);
}

proptest! {
    /// A press a second: its report by the gateway and from the browser, each with its delay or not at all.
    #[test]
    fn each_press_counts_once_however_it_becomes_known(
        presses in prop::collection::vec((prop::sample::select(vec!['1', '2', '3']), any::<bool>(), any::<bool>()), 1..30),
    ) {
        let mut bench = in_call();
        let mut shown = String::new();
        let mut expected = String::new();
        for (key, is_told, is_heard_first) in presses {
            let both = if is_told { vec![told(key), heard(key)] } else { vec![heard(key)] };
            let both: Vec<_> = if is_heard_first { both.into_iter().rev().collect() } else { both };
            for input in both {
                for output in bench.send(input) {
                    if let Output::Visitor { event: VisitorEvent::Digit { digit, .. }, .. } = output {
                        shown.push_str(&digit);
                    }
                }
            }
            bench.walk([(Step::Wait(2), "")]);
            expected.push(key);
        }
        prop_assert_eq!(shown, expected);
    }
}
