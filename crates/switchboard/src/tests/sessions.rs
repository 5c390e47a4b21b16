//! A call whose page goes from socket to socket, in two columns as in `walkthroughs.rs`.

use super::bench::*;
use crate::{Config, Input, MAX_OFFERS, MAX_REPLAY, Output, Session};
use protocol::gateway::{Command, Side};
use protocol::visitor::{MAX_OFFER_BYTES, VisitorRequest};
use std::time::Duration;

/// A call that is answered: its page was told welcome, session, answer, dialing, answered and token.
fn in_call() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up(), answered()]);
    bench
}

const ALL_SEEN: u32 = 6;

#[test]
fn every_welcome_comes_with_the_key_to_another_socket() {
    let mut bench = Bench::new(Config::default());
    let session = |outputs: Vec<Output>| {
        outputs.into_iter().find_map(|output| {
            if let Output::SessionToken { session, origin, .. } = output { Some((session, origin)) } else { None }
        })
    };
    let origin = "https://shop.example".to_owned();
    assert_eq!(session(bench.send(arrived("c1"))), Some((Session(1), origin.clone())));
    bench.prepare([registered("g1", 10, &[]), offer(), ready(), answered(), lost(1)]);
    assert_eq!(session(bench.send(resumes(2, 1))), Some((Session(2), origin)));
}

#[test]
fn a_socket_that_breaks_while_audio_flows_is_noticed_by_nobody() {
    let mut bench = in_call();
    bench.walk([
        (broken(1).into(), ""),
        (digit(Side::Agent, '5').into(), ""),
        (Step::Wait(600), ""),
        (digit(Side::Agent, '6').into(), ""),
        (reconnects(2, 1, ALL_SEEN).into(), "page 2 reconnected 2 6 · page 2 digit 5 100 · page 2 digit 6 100"),
        (digit(Side::Agent, '7').into(), "page 2 digit 7 100"),
        (hangup().into(), ""),
        (
            says_at(crate::Page(2), VisitorRequest::Hangup {}).into(),
            "page 2 ended visitor_hung_up · page 2 closed · g1 release c1 visitor_hung_up",
        ),
    ]);
}

#[test]
fn a_command_that_was_refused_while_the_page_had_no_socket_is_not_carried_out_later() {
    let mut bench = in_call();
    bench.prepare([broken(1), digit(Side::Agent, '*'), commands(), digit(Side::Agent, '7')]);
    bench.walk([
        (digit(Side::Agent, '6').into(), ""),
        (Step::Wait(3), "g1 tone Refused · *76 Refused"),
        (reconnects(2, 1, ALL_SEEN).into(), "page 2 reconnected 2 6 · page 2 answered"),
    ]);
}

#[test]
fn who_is_neither_connected_nor_heard_is_away_and_may_come_back_to_the_same_page() {
    let mut bench = in_call();
    bench.walk([
        (media_down().into(), "visitor error RL-111 · visitor probed"),
        (broken(1).into(), ""),
        (Step::Wait(1), ""),
        (Step::Wait(1), "g1 away c1"),
        (Step::Wait(40), ""),
        (
            reconnects(2, 1, ALL_SEEN).into(),
            "page 2 reconnected 2 6 · page 2 error RL-111 · page 2 resumed answered 42000",
        ),
        (offer_of(2).into(), "g1 offer O2"),
        (sdp_answer().into(), "page 2 answer A"),
        (media_up().into(), ""),
        (Step::Wait(600), ""),
    ]);
}

#[test]
fn audio_that_ceases_after_the_socket_takes_the_visitor_away_at_once() {
    let mut bench = in_call();
    bench.walk([
        (broken(1).into(), ""),
        (Step::Wait(5), ""),
        (media_down().into(), "g1 away c1"),
        (Step::Wait(60), "g1 release c1 visitor_gone"),
        (
            reconnects(2, 1, ALL_SEEN).into(),
            "page 2 reconnected 2 6 · page 2 ended visitor_gone RL-107 · page 2 closed",
        ),
        (closed().into(), "record ended visitor_gone RL-107 (the visitor did not come back) 7 packets at 65"),
        (reconnects(3, 1, ALL_SEEN).into(), "page 3 ended visitor_gone RL-309 · page 3 closed"),
    ]);
}

#[test]
fn a_visitor_who_waits_for_the_answer_may_lose_the_socket_for_a_while() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready()]);
    bench.walk([
        (broken(1).into(), ""),
        (Step::Wait(9), ""),
        (ringing().into(), "record ringing at 9"),
        (reconnects(2, 1, 3).into(), "page 2 reconnected 2 3 · page 2 dialing · page 2 ringing"),
        (broken(2).into(), ""),
        (Step::Wait(10), "g1 release c1 visitor_gone"),
    ]);
}

#[test]
fn what_the_page_said_and_was_heard_is_not_done_twice() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), candidate("a"), broken(1)]);
    bench.walk([
        (reconnects(2, 1, 2), "page 2 reconnected 2 2"),
        (ready_of(2), "g1 dial pstn 1001 · record dialed at 0 · page 2 dialing"),
    ]);
}

#[test]
fn a_socket_that_the_server_believes_in_gives_way_to_the_next_one() {
    let mut bench = in_call();
    bench.walk([
        (reconnects(2, 1, 4), "visitor closed · page 2 reconnected 2 4 · page 2 answered · page 2 token 1"),
        (broken(1), ""),
        (lost(1), ""),
        (digit(Side::Agent, '1'), "page 2 digit 1 100"),
    ]);
}

#[test]
fn a_page_that_another_has_followed_is_told_so() {
    let mut bench = in_call();
    bench.walk([
        (broken(1), ""),
        (takes_over(2, 1), "page 2 welcome Acme/Sales · page 2 resumed answered 0 · page 2 token 2"),
        (reconnects(3, 1, ALL_SEEN), "page 3 error RL-308 · page 3 closed"),
        (reconnects(4, 3, 0), "page 4 ended visitor_gone RL-309 · page 4 closed"),
        (reconnects(5, 0, 0), "page 5 ended visitor_gone RL-309 · page 5 closed"),
    ]);
}

#[test]
fn the_page_that_has_the_call_keeps_it_against_one_that_waits_for_its_loss() {
    let mut bench = in_call();
    bench.walk([
        (resumes(2, 1), "visitor probed"),
        (reconnects(3, 1, ALL_SEEN), "visitor closed · page 2 error RL-308 · page 2 closed · page 3 reconnected 2 6"),
    ]);
}

#[test]
fn what_a_page_has_seen_is_forgotten_and_what_nobody_kept_is_told_as_it_stands() {
    let mut bench = in_call();
    bench.walk([(says(VisitorRequest::Ping { seen: ALL_SEEN }), "visitor pong 2"), (broken(1), "")]);
    bench.prepare((0..MAX_REPLAY).map(|_| digit(Side::Agent, '1')));
    let whole = bench.send(reconnects(2, 1, ALL_SEEN));
    assert_eq!(whole.len(), 1 + MAX_REPLAY);
    bench.prepare([broken(2), digit(Side::Agent, '1')]);
    bench.walk([
        (reconnects(3, 1, ALL_SEEN), "page 3 reconnected 2 71 · page 3 answered · page 3 token 1"),
        (reconnects(4, 1, 9_999), "page 3 closed · page 4 reconnected 2 73 · page 4 answered · page 4 token 1"),
    ]);
}

#[test]
fn a_page_that_roams_offers_again_and_again_but_not_for_ever() {
    let mut bench = in_call();
    bench.walk([
        (offer(), "g1 offer O"),
        (candidate("b"), "g1 candidate b"),
        (media_down(), ""),
        (sdp_answer(), "visitor answer A"),
        (media_down(), "visitor error RL-111 · visitor probed"),
        (media_up(), ""),
    ]);
    for _ in 0..MAX_OFFERS {
        bench.now += Duration::from_secs(1);
        bench.prepare([offer()]);
    }
    bench.now += Duration::from_secs(60);
    bench.walk([(offer(), "visitor error RL-405")]);
    let _: Input = hangup();
}

#[test]
fn a_page_that_offers_without_end_is_refused_before_the_gateway_hears_of_it() {
    let mut bench = in_call();
    let is_offer = |output: &Output| matches!(output, Output::Gateway { command: Command::Offer { .. }, .. });
    let passed = (0..1_000).filter(|_| bench.send(offer()).iter().any(is_offer)).count();
    assert!((8..100).contains(&passed), "{passed} of 1000 offers");
    bench.walk([(offer(), "visitor error RL-405")]);
    bench.now += Duration::from_secs(1);
    bench.walk([(offer(), "g1 offer O"), (offer(), "visitor error RL-405")]);
}

#[test]
fn an_offer_of_many_sections_or_of_many_bytes_does_not_reach_the_gateway() {
    let offers = |sdp: String| says(VisitorRequest::Offer { sdp, quality: None });
    let mut bench = in_call();
    bench.walk([
        (offers("m=audio\r\n".repeat(1_200)), "visitor error RL-405"),
        (offers("O".repeat(MAX_OFFER_BYTES + 1)), "visitor error RL-405"),
        (offer(), "g1 offer O"),
    ]);
}
