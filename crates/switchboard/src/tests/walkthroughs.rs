//! Calls from the click to the record, in two columns: what happens, and what the switchboard makes of it.

use super::bench::*;
use crate::{Change, Config, Input, MAX_CANDIDATE_BYTES, MAX_CANDIDATES, MAX_DETAIL_CHARS, Output};
use protocol::error::ErrorCode;
use protocol::gateway::{Event, Failure, Side, Transport, VERSION};
use protocol::visitor::VisitorRequest;
use protocol::{CallId, GatewayId};
use std::time::Duration;

/// A gateway with room, and a visitor who was welcomed.
fn welcomed() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1")]);
    bench
}

fn dialing() -> Bench {
    let mut bench = welcomed();
    bench.prepare([offer(), sdp_answer(), ready()]);
    bench
}

fn in_ringing() -> Bench {
    let mut bench = dialing();
    bench.prepare([media_up(), ringing()]);
    bench
}

fn in_call() -> Bench {
    let mut bench = in_ringing();
    bench.prepare([answered()]);
    bench
}

#[test]
fn an_ordinary_call_is_told_to_everybody_in_order() {
    let mut bench = Bench::new(Config::default());
    bench.walk([
        (registered("g1", 10, &[]), ""),
        (arrived("c1"), "record started sales at 0 · visitor welcome Acme/Sales"),
    ]);
    bench.walk([
        (offer(), "g1 offer O"),
        (candidate("host"), "g1 candidate host"),
        (sdp_answer(), "visitor answer A"),
        (candidate(""), "g1 candidate "),
        (media_up(), ""),
        (ready(), "g1 dial pstn 1001 · record dialed at 0 · visitor dialing"),
        (ringing(), "record ringing at 0 · visitor ringing"),
        (answered(), "record answered at 0 · visitor answered · visitor token 1"),
    ]);
    bench.walk([(Step::Wait(90), "")]);
    bench.walk([
        (far_end_hung_up(), "visitor ended agent_hung_up · visitor closed · g1 release c1 agent_hung_up"),
        (visitor_lost(), ""),
    ]);
    bench.walk([(Step::Wait(2), ""), (closed().into(), "record ended agent_hung_up 7 packets at 90")]);
    assert!(bench.board.is_empty());
}

#[test]
fn the_far_end_is_not_rung_before_the_microphone_is_allowed() {
    let mut bench = welcomed();
    bench.walk([(offer(), "g1 offer O"), (sdp_answer(), "visitor answer A"), (media_up(), "")]);
    bench.walk([
        (Step::Wait(59), ""),
        (ready().into(), "g1 dial pstn 1001 · record dialed at 59 · visitor dialing"),
        (ready().into(), "visitor error RL-405"),
    ]);
}

#[test]
fn a_microphone_that_is_allowed_before_the_offer_has_the_far_end_rung_with_the_offer() {
    let mut bench = welcomed();
    bench.walk([
        (ready(), ""),
        (candidate("a"), ""),
        (candidate("b"), ""),
        (
            offer(),
            "g1 offer O · g1 candidate a · g1 candidate b · g1 dial pstn 1001 · record dialed at 0 · visitor dialing",
        ),
    ]);
}

#[test]
fn early_media_is_told_also_after_ringing_and_counts_as_ringing_once() {
    let mut bench = dialing();
    bench.walk([
        (ringing(), "record ringing at 0 · visitor ringing"),
        (early_media(), "visitor early_media"),
        (ringing(), ""),
    ]);
    let mut bench = dialing();
    bench.walk([(early_media(), "record ringing at 0 · visitor early_media"), (early_media(), ""), (ringing(), "")]);
}

#[test]
fn a_far_end_that_answers_without_ringing_is_in_the_call() {
    let mut bench = dialing();
    bench.walk([
        (media_up(), ""),
        (answered(), "record answered at 0 · visitor answered · visitor token 1"),
        (answered(), ""),
        (ringing(), ""),
    ]);
    bench.walk([(Step::Wait(3600), "")]);
}

#[test]
fn a_final_status_of_the_far_end_ends_the_call_with_its_meaning() {
    let table = [
        (486, "busy RL-301"),
        (603, "refused RL-302"),
        (404, "not_found RL-303"),
        (480, "no_answer RL-304"),
        (407, "trunk_failed RL-306"),
        (503, "trunk_failed RL-306"),
        (408, "trunk_unreachable RL-305"),
    ];
    for (status, words) in table {
        let mut bench = dialing();
        let told = bench.send(rejected(status)).len();
        assert_eq!(told, 3, "ended, closed, release");
        let ended = bench.send(closed());
        let Some(Output::Record { change: Change::Ended(ending), .. }) = ended.first() else {
            panic!("{status}: no record but {ended:?}")
        };
        let code = ending.code.map(|code| format!(" {code}")).unwrap_or_default();
        assert_eq!((format!("{}{code}", ending.reason).as_str(), ending.sip_status), (words, Some(status)));
        assert!(bench.board.is_empty());
    }
}

#[test]
fn a_busy_far_end_is_recorded_with_its_status_and_phrase() {
    let mut bench = in_ringing();
    bench.walk([
        (rejected(486), "visitor ended busy RL-301 · visitor closed · g1 release c1 busy"),
        (closed(), "record ended busy RL-301 486 (phrase) 7 packets at 0"),
    ]);
}

#[test]
fn a_call_that_nobody_answers_ends_as_no_answer() {
    let mut bench = in_ringing();
    bench.walk([
        (Step::Wait(44), ""),
        (early_media().into(), "visitor early_media"),
        (Step::Wait(1), "visitor ended no_answer RL-304 · visitor closed · g1 release c1 no_answer"),
        (rejected(487).into(), ""),
        (closed().into(), "record ended no_answer RL-304 (nobody answered in time) 7 packets at 45"),
    ]);
}

#[test]
fn a_trunk_that_is_silent_ends_the_call_as_unreachable() {
    let mut bench = dialing();
    bench.walk([
        (Step::Wait(34), ""),
        (Step::Wait(1), "visitor ended trunk_unreachable RL-305 · visitor closed · g1 release c1 trunk_unreachable"),
    ]);
    let mut bench = dialing();
    bench.walk([
        (
            trunk_unreachable(),
            "visitor ended trunk_unreachable RL-305 · visitor closed · g1 release c1 trunk_unreachable",
        ),
        (closed(), "record ended trunk_unreachable RL-305 (timer B) 7 packets at 0"),
    ]);
}

#[test]
fn a_microphone_prompt_that_is_left_open_ends_the_call_at_the_set_up_deadline() {
    let mut bench = welcomed();
    bench.prepare([offer(), sdp_answer()]);
    bench.walk([
        (Step::Wait(59), ""),
        (Step::Wait(1), "visitor ended setup_timed_out RL-406 · visitor closed · g1 release c1 setup_timed_out"),
        (
            closed().into(),
            "record ended setup_timed_out RL-406 (the microphone was neither allowed nor refused) 7 packets at 60",
        ),
    ]);
}

#[test]
fn a_microphone_that_is_refused_ends_the_call_with_the_browsers_own_code() {
    let mut bench = welcomed();
    bench.walk([
        (offer(), "g1 offer O"),
        (
            gives_up(ErrorCode::MicrophoneBusy),
            "visitor ended microphone_denied RL-103 · visitor closed · g1 release c1 microphone_denied",
        ),
        (closed(), "record ended microphone_denied RL-103 (as the browser put it) 7 packets at 0"),
    ]);
}

#[test]
fn a_visitor_who_hangs_up_before_the_answer_cancels_and_after_it_hangs_up() {
    dialing().walk([(hangup(), "visitor ended cancelled · visitor closed · g1 release c1 cancelled")]);
    in_ringing().walk([(hangup(), "visitor ended cancelled · visitor closed · g1 release c1 cancelled")]);
    in_call().walk([(hangup(), "visitor ended visitor_hung_up · visitor closed · g1 release c1 visitor_hung_up")]);
    welcomed().walk([(hangup(), "visitor ended cancelled · visitor closed · record ended cancelled at 0")]);
}

#[test]
fn when_both_hang_up_at_once_the_first_to_be_heard_counts_and_the_call_ends_once() {
    let mut bench = in_call();
    bench.walk([
        (hangup(), "visitor ended visitor_hung_up · visitor closed · g1 release c1 visitor_hung_up"),
        (far_end_hung_up(), ""),
        (hangup(), ""),
        (closed(), "record ended visitor_hung_up 7 packets at 0"),
        (closed(), ""),
    ]);
}

#[test]
fn an_answer_that_crosses_the_hang_up_does_not_revive_the_call() {
    let mut bench = in_ringing();
    bench.walk([
        (hangup(), "visitor ended cancelled · visitor closed · g1 release c1 cancelled"),
        (answered(), ""),
        (closed(), "record ended cancelled 7 packets at 0"),
    ]);
}

#[test]
fn a_socket_that_is_lost_before_the_answer_ends_the_call_at_once() {
    let mut bench = in_ringing();
    bench.walk([
        (visitor_lost(), "g1 release c1 visitor_gone"),
        (closed(), "record ended visitor_gone RL-107 7 packets at 0"),
    ]);
    welcomed().walk([(visitor_lost(), "record ended visitor_gone RL-107 at 0")]);
}

#[test]
fn without_resume_an_answered_call_outlives_its_visitors_socket_for_the_grace_and_no_longer() {
    let mut bench = Bench::new(Config { resume: Duration::ZERO, ..Config::default() });
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up()]);
    bench.walk([
        (answered().into(), "record answered at 0 · visitor answered"),
        (visitor_lost().into(), ""),
        (digit(Side::Agent, '5').into(), ""),
        (Step::Wait(9), ""),
        (visitor_lost().into(), ""),
        (resumes(2, 0).into(), "page 2 ended visitor_gone RL-309 · page 2 closed"),
        (Step::Wait(1), "g1 release c1 visitor_gone"),
        (closed().into(), "record ended visitor_gone RL-107 (the visitor did not come back) 7 packets at 10"),
    ]);
}

#[test]
fn audio_that_never_comes_about_after_the_answer_ends_the_call() {
    let mut bench = dialing();
    bench.walk([
        (answered().into(), "record answered at 0 · visitor answered · visitor token 1"),
        (Step::Wait(14), ""),
        (Step::Wait(1), "visitor ended media_failed RL-108 · visitor closed · g1 release c1 media_failed"),
    ]);
}

#[test]
fn audio_that_breaks_may_come_back_within_its_deadline() {
    let mut bench = in_call();
    bench.walk([
        (media_down().into(), "visitor error RL-111 · visitor probed"),
        (Step::Wait(14), ""),
        (media_up().into(), ""),
        (Step::Wait(60), ""),
        (media_down().into(), "visitor error RL-111 · visitor probed"),
        (Step::Wait(14), ""),
        (media_down().into(), ""),
        (Step::Wait(1), "visitor ended media_failed RL-108 · visitor closed · g1 release c1 media_failed"),
    ]);
}

#[test]
fn what_carries_the_audio_is_told_and_recorded_whenever_it_has_moved() {
    let mut bench = in_call();
    bench.walk([
        (over(Transport::Tcp).into(), "record transport tcp at 0 · visitor transport tcp"),
        (Step::Wait(3), ""),
        (over(Transport::Tcp).into(), "visitor transport tcp"),
        (over(Transport::Udp).into(), "record transport udp at 3 · visitor transport udp"),
        // The next page has not made its path yet: what is said is about the last one's.
        (visitor_lost().into(), "g1 away c1"),
        (over(Transport::Tcp).into(), ""),
    ]);
}

#[test]
fn an_audio_path_that_cannot_be_made_ends_the_call_before_anybody_answers() {
    let mut bench = dialing();
    bench.walk([
        (ringing().into(), "record ringing at 0 · visitor ringing"),
        (media_down().into(), ""),
        (Step::Wait(15), "visitor ended media_failed RL-108 · visitor closed · g1 release c1 media_failed"),
    ]);
}

#[test]
fn a_call_does_not_last_longer_than_the_longest_duration() {
    let mut bench = in_call();
    bench.walk([
        (Step::Wait(4 * 3600 - 1), ""),
        (Step::Wait(1), "visitor ended too_long RL-307 · visitor closed · g1 release c1 too_long"),
    ]);
}

#[test]
fn a_gateway_of_another_version_is_refused_and_gets_no_call() {
    let mut bench = Bench::new(Config::default());
    let (version, gateway) = (VERSION + 1, GatewayId::from("g1"));
    let old = Event::Registered { version, gateway, capacity: 1, trunks: vec!["pstn".into()], calls: vec![] };
    bench.walk([
        (reports("g1", old), "g1 refused: the gateway speaks protocol version 3, this server version 2"),
        (arrived("c1"), "record started sales at 0 · visitor welcome Acme/Sales"),
        (offer(), "visitor ended no_capacity RL-402 · visitor closed · record ended no_capacity RL-402 at 0"),
    ]);
}

#[test]
fn a_gateway_that_closes_a_call_by_itself_is_not_asked_to_release_it() {
    let mut bench = in_call();
    bench.walk([(
        closed(),
        "visitor ended gateway_gone RL-401 · visitor closed · record ended gateway_gone RL-401 (the gateway closed the call by itself) 7 packets at 0",
    )]);
    assert!(bench.board.is_empty());
}

#[test]
fn a_gateway_that_never_confirms_the_release_does_not_keep_the_call_alive() {
    let mut bench = in_call();
    bench.prepare([hangup()]);
    bench.walk([(Step::Wait(39), ""), (Step::Wait(1), "record ended visitor_hung_up at 0"), (closed().into(), "")]);
    assert!(bench.board.is_empty());
}

#[test]
fn a_failure_of_the_gateway_ends_the_call_with_its_meaning() {
    welcomed().walk([
        (offer(), "g1 offer O"),
        (
            failed(Failure::OfferUnusable),
            "visitor ended media_failed RL-108 · visitor closed · g1 release c1 media_failed",
        ),
        (closed(), "record ended media_failed RL-108 (why) 7 packets at 0"),
    ]);
    dialing().walk([(
        failed(Failure::Full),
        "visitor ended no_capacity RL-402 · visitor closed · g1 release c1 no_capacity",
    )]);
    dialing().walk([(
        failed(Failure::Undialable),
        "visitor ended not_found RL-303 · visitor closed · g1 release c1 not_found",
    )]);
    dialing().walk([(
        failed(Failure::AnswerUnusable),
        "visitor ended trunk_failed RL-306 · visitor closed · g1 release c1 trunk_failed",
    )]);
}

#[test]
fn a_call_that_no_gateway_can_take_ends_for_want_of_capacity() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 1, &[]), arrived("c1"), offer(), arrived("c2")]);
    let second = Input::Visitor {
        call: CallId::from("c2"),
        page: PAGE,
        request: VisitorRequest::Offer { sdp: "O".to_owned(), quality: None },
    };
    bench.walk([
        (second.clone(), "visitor ended no_capacity RL-402 · visitor closed · record ended no_capacity RL-402 at 0"),
        (hangup(), "visitor ended cancelled · visitor closed · g1 release c1 cancelled"),
        (arrived("c2"), "record started sales at 0 · visitor welcome Acme/Sales"),
        (closed(), "record ended cancelled 7 packets at 0"),
        (second, "g1 offer O"),
    ]);
}

#[test]
fn a_call_above_the_limit_is_refused_with_a_record() {
    let mut bench = Bench::new(Config { max_calls: 1, ..Config::default() });
    bench.walk([
        (arrived("c1"), "record started sales at 0 · visitor welcome Acme/Sales"),
        (arrived("c2"), "record started sales at 0 · visitor ended no_capacity RL-402 · visitor closed · record ended no_capacity RL-402 at 0"),
    ]);
    assert_eq!(bench.board.calls(), 1);
}

#[test]
fn a_server_that_stops_ends_its_calls_and_refuses_new_ones() {
    let mut bench = in_call();
    bench.walk([
        (Input::Stop, "visitor ended server_stopping RL-403 · visitor closed · g1 release c1 server_stopping"),
        (arrived("c2"), "record started sales at 0 · visitor ended server_stopping RL-403 · visitor closed · record ended server_stopping RL-403 at 0"),
        (closed(), "record ended server_stopping RL-403 7 packets at 0"),
    ]);
    assert!(bench.board.is_empty());
}

#[test]
fn keys_of_the_far_end_reach_the_visitor_and_the_visitors_own_do_not_return() {
    let mut bench = in_call();
    bench.walk([(digit(Side::Agent, '#'), "visitor digit # 100"), (digit(Side::Visitor, '1'), "")]);
}

#[test]
fn messages_out_of_order_are_answered_with_an_error_and_the_call_goes_on() {
    let mut bench = dialing();
    let hello = VisitorRequest::Hello {
        version: 1,
        token: String::new(),
        origin: String::new(),
        page: None,
        customer: None,
        destination_token: None,
        resume: None,
        takeover: None,
        session: None,
        seen: None,
        fingerprint: None,
    };
    bench.walk([
        (ready(), "visitor error RL-405"),
        (says(hello), "visitor error RL-405"),
        (candidate(&"x".repeat(MAX_CANDIDATE_BYTES + 1)), "visitor error RL-405"),
        (ringing(), "record ringing at 0 · visitor ringing"),
    ]);
}

#[test]
fn no_more_candidates_are_kept_than_the_bound() {
    let mut bench = welcomed();
    bench.prepare((0..MAX_CANDIDATES).map(|n| candidate(&n.to_string())));
    bench.walk([(candidate("one more"), "visitor error RL-405")]);
    // The record of who carries it, the offer, and its candidates.
    assert_eq!(bench.send(offer()).len(), 2 + MAX_CANDIDATES);
    bench.walk([(candidate("one more"), "visitor error RL-405")]);
}

#[test]
fn events_before_their_time_or_from_another_gateway_have_no_effect() {
    let mut bench = welcomed();
    bench.prepare([registered("g2", 10, &[])]);
    bench.walk([(ringing(), ""), (rejected(486), ""), (offer(), "g1 offer O"), (ringing(), ""), (answered(), "")]);
    bench.walk([(reports("g2", Event::Rejected { call: call(), status: 486, phrase: String::new() }), "")]);
}

#[test]
fn inputs_about_calls_and_gateways_that_nobody_knows_have_no_effect() {
    let mut bench = Bench::new(Config::default());
    for input in [offer(), candidate("a"), ready(), hangup(), visitor_lost(), ringing(), closed(), gateway_lost("g1")] {
        bench.walk([(input, "")]);
    }
    assert!(bench.board.is_empty());
}

#[test]
fn an_id_that_is_in_use_is_not_taken_twice() {
    welcomed().walk([(arrived("c1"), "")]);
}

#[test]
fn free_text_from_outside_is_cut_before_it_goes_into_the_record() -> Result<(), String> {
    let mut bench = welcomed();
    let detail = Some("ä".repeat(MAX_DETAIL_CHARS + 1));
    let outputs = bench.send(says(VisitorRequest::Failed { code: ErrorCode::PhoneNotLoaded, detail }));
    let Some(Output::Record { change: Change::Ended(ending), .. }) = outputs.last() else {
        return Err(format!("{outputs:?}"));
    };
    assert_eq!(ending.detail.as_ref().map(|detail| detail.chars().count()), Some(MAX_DETAIL_CHARS));
    Ok(())
}

#[test]
fn the_time_to_answer_is_kept_within_reason() {
    for (asked, given) in [(Duration::ZERO, 5), (Duration::from_secs(20), 20), (Duration::MAX, 180)] {
        let mut bench = Bench::new(Config::default());
        let mut plan = plan("pstn");
        plan.no_answer = asked;
        bench.prepare([
            registered("g1", 1, &[]),
            Input::Arrived { call: call(), page: PAGE, plan },
            offer(),
            ready(),
            ringing(),
        ]);
        bench.walk([
            (Step::Wait(given - 1), ""),
            (Step::Wait(1), "visitor ended no_answer RL-304 · visitor closed · g1 release c1 no_answer"),
        ]);
    }
}
