//! The call's rules, one by one.

mod path;
mod prepared;
mod servers;

use super::path::*;
use super::*;
use crate::link::{MAX_KEPT, PING_AFTER, RECONNECT_WITHIN, WELCOME_WITHIN};

const T0: Duration = Duration::from_secs(100);

fn hello() -> VisitorRequest {
    hello_with(None)
}

fn hello_with(resume: Option<String>) -> VisitorRequest {
    VisitorRequest::Hello {
        version: protocol::visitor::VERSION,
        token: "t".to_owned(),
        origin: "https://shop.example".to_owned(),
        page: None,
        customer: None,
        destination_token: None,
        resume,
        takeover: None,
        session: None,
        seen: None,
        fingerprint: None,
    }
}

fn hello_again() -> VisitorRequest {
    hello_with(Some("r1".to_owned()))
}

fn say(request: VisitorRequest) -> Output {
    Output::Send(Request::Phone(request))
}

fn drain(call: &mut Call) -> Vec<Output> {
    std::iter::from_fn(|| call.poll_output()).collect()
}

fn feed(call: &mut Call, input: Input) -> Vec<Output> {
    call.handle_input(input, T0);
    drain(call)
}

fn welcome() -> Input {
    Input::Received(VisitorEvent::Welcome {
        version: protocol::visitor::VERSION,
        call: "01J".to_owned(),
        merchant: "Acme".to_owned(),
        link: "Sales".to_owned(),
    })
}

/// A call that somebody has answered.
fn in_call() -> Call {
    let mut call = welcomed();
    feed(&mut call, Input::MicrophoneAllowed);
    feed(&mut call, Input::Received(VisitorEvent::State { state: CallState::Answered }));
    call
}

/// A call whose socket is open and welcomed.
fn welcomed() -> Call {
    let mut call = Call::new(hello(), 1, T0);
    feed(&mut call, Input::SocketOpened);
    feed(&mut call, welcome());
    feed(&mut call, session());
    call
}

fn session() -> Input {
    Input::Received(VisitorEvent::Session { token: "s1".to_owned() })
}

fn failed(code: ErrorCode, detail: &str) -> Output {
    say(VisitorRequest::Failed { code, detail: Some(detail.to_owned()) })
}

fn ended(code: ErrorCode) -> Output {
    Output::End(Some(code), code.shopper().to_owned())
}

#[test]
fn a_page_is_shown_and_what_becomes_of_it_is_told_while_the_call_lives() {
    let mut call = welcomed();
    let page = || r#"{"type":"page"}"#.to_owned();
    assert_eq!(feed(&mut call, Input::Relayed(page())), [Output::Relay(page())]);
    let shown = || r#"{"type":"shown","done":true}"#.to_owned();
    assert_eq!(feed(&mut call, Input::Told(shown())), [Output::Send(Request::Panel(shown()))]);
    feed(&mut call, Input::HungUp);
    assert_eq!(feed(&mut call, Input::Told(shown())), []);
    assert_eq!(feed(&mut call, Input::Relayed(page())), []);
}

#[test]
fn what_is_found_before_the_socket_opens_follows_hello_in_order() {
    let mut call = Call::new(hello(), 1, T0);
    assert_eq!(feed(&mut call, Input::Offered("v=0".to_owned(), Some(Quality::Saver))), []);
    assert_eq!(feed(&mut call, Input::Found("candidate:1".to_owned())), []);
    assert_eq!(feed(&mut call, Input::MicrophoneAllowed), []);
    assert_eq!(
        feed(&mut call, Input::SocketOpened),
        [
            say(hello()),
            say(VisitorRequest::Offer { sdp: "v=0".to_owned(), quality: Some(Quality::Saver) }),
            say(VisitorRequest::Candidate { candidate: "candidate:1".to_owned() }),
        ]
    );
    feed(&mut call, welcome());
    assert_eq!(feed(&mut call, session()), [say(VisitorRequest::Ready {})], "rings nobody twice");
}

#[test]
fn ready_is_said_once_however_often_the_microphone_changes() {
    let mut call = welcomed();
    assert_eq!(feed(&mut call, Input::MicrophoneAllowed), [say(VisitorRequest::Ready {})]);
    assert_eq!(feed(&mut call, Input::MicrophoneAllowed), []);
}

#[test]
fn a_microphone_denied_before_the_socket_opens_is_still_reported() {
    let mut call = Call::new(hello(), 1, T0);
    let denied = Input::Failed(ErrorCode::MicrophoneDenied, "NotAllowedError".to_owned());
    assert_eq!(feed(&mut call, denied), [ended(ErrorCode::MicrophoneDenied)]);
    assert_eq!(
        feed(&mut call, Input::SocketOpened),
        [say(hello()), failed(ErrorCode::MicrophoneDenied, "NotAllowedError"), Output::CloseSocket]
    );
    assert_eq!(call.poll_timeout(), None);
}

#[test]
fn a_goodbye_that_finds_no_open_socket_is_given_up_in_time() {
    let mut call = Call::new(hello(), 1, T0);
    feed(&mut call, Input::HungUp);
    assert_eq!(call.poll_timeout(), Some(T0 + WELCOME_WITHIN));
    call.handle_timeout(T0 + WELCOME_WITHIN);
    assert_eq!(drain(&mut call), [Output::CloseSocket]);
    assert_eq!(call.poll_timeout(), None);
}

#[test]
fn every_wait_of_the_setup_ends_in_the_error_that_names_it() {
    let mut silent = Call::new(hello(), 1, T0);
    silent.handle_timeout(T0 + WELCOME_WITHIN);
    assert_eq!(drain(&mut silent), [ended(ErrorCode::SocketLost), Output::CloseSocket]);

    let mut unanswered = welcomed();
    feed(&mut unanswered, Input::Offered(String::new(), None));
    unanswered.handle_timeout(T0 + ANSWER_WITHIN);
    let late = failed(ErrorCode::SetupTimedOut, "deadline passed");
    assert_eq!(drain(&mut unanswered), [late, ended(ErrorCode::SetupTimedOut), Output::CloseSocket]);

    let mut pathless = welcomed();
    feed(&mut pathless, Input::Received(VisitorEvent::Answer { sdp: String::new() }));
    pathless.handle_timeout(T0 + SLOW_AFTER);
    drain(&mut pathless);
    pathless.handle_timeout(T0 + SLOW_AFTER + FRAMES_WITHIN);
    let blocked = failed(ErrorCode::MediaPathFailed, "deadline passed");
    assert_eq!(drain(&mut pathless), [blocked, ended(ErrorCode::MediaPathFailed), Output::CloseSocket]);

    let mut unasked = welcomed();
    unasked.handle_timeout(T0 + MICROPHONE_WITHIN);
    assert!(drain(&mut unasked).contains(&ended(ErrorCode::SetupTimedOut)));
}

#[test]
fn a_key_that_is_heard_is_told_the_server_and_shown_when_the_server_says_so() {
    let mut call = welcomed();
    let heard = VisitorRequest::Heard { digit: "5".to_owned() };
    assert_eq!(feed(&mut call, Input::KeyHeard('5')), [say(heard)], "it may be one of a command");
    let shown = VisitorEvent::Digit { digit: "5".to_owned(), duration_ms: 0 };
    assert_eq!(feed(&mut call, Input::Received(shown)), [Output::Digit("5".to_owned())]);
}

#[test]
fn a_call_that_is_over_loses_nothing() {
    let mut over = welcomed();
    let event = VisitorEvent::Ended {
        reason: EndReason::Busy,
        code: Some(ErrorCode::Busy),
        message: "The line is busy.".to_owned(),
    };
    assert_eq!(
        feed(&mut over, Input::Received(event)),
        [Output::End(Some(ErrorCode::Busy), "The line is busy.".to_owned()), Output::CloseSocket]
    );
    assert_eq!(feed(&mut over, Input::SocketClosed(1006)), []);
    assert_eq!(feed(&mut over, Input::Path(Path::Failed)), []);
    assert_eq!(over.poll_timeout(), None);
}

#[test]
fn a_socket_that_the_server_closes_for_what_the_page_said_ends_the_call() {
    let mut call = welcomed();
    let lost = [ended(ErrorCode::SocketLost), Output::CloseSocket];
    assert_eq!(feed(&mut call, Input::SocketClosed(POLICY_VIOLATION)), lost);
}

#[test]
fn a_broken_socket_is_followed_by_another_and_only_what_got_lost_is_said_again() {
    let mut call = welcomed();
    let candidate = |n: u32| VisitorRequest::Candidate { candidate: format!("candidate:{n}") };
    for n in 1..=3 {
        let found = Input::Found(format!("candidate:{n}"));
        assert_eq!(feed(&mut call, found), [say(candidate(n))]);
    }
    feed(&mut call, Input::Relayed("{}".to_owned()));
    assert_eq!(feed(&mut call, Input::SocketClosed(1006)), []);
    assert_eq!(feed(&mut call, Input::MicrophoneAllowed), []);
    call.handle_timeout(T0);
    assert_eq!(drain(&mut call), [Output::Connect]);
    let mut again = hello();
    if let VisitorRequest::Hello { session, seen, .. } = &mut again {
        (*session, *seen) = (Some("s1".to_owned()), Some(3));
    }
    assert_eq!(feed(&mut call, Input::SocketOpened), [say(again)]);
    let reconnected = Input::Received(VisitorEvent::Reconnected { received: Some(2), sent: 3 });
    assert_eq!(feed(&mut call, reconnected), [say(candidate(3)), say(VisitorRequest::Ready {})]);
}

#[test]
fn a_server_that_remembers_nothing_is_told_what_is_unanswered() {
    let mut call = welcomed();
    feed(&mut call, Input::Offered("v=0".to_owned(), None));
    feed(&mut call, Input::MicrophoneAllowed);
    feed(&mut call, Input::Received(VisitorEvent::Answer { sdp: "v=0".to_owned() }));
    feed(&mut call, Input::SocketClosed(1006));
    call.handle_timeout(T0);
    feed(&mut call, Input::SocketOpened);
    drain(&mut call);
    let reconnected = Input::Received(VisitorEvent::Reconnected { received: None, sent: 0 });
    assert_eq!(feed(&mut call, reconnected), [say(VisitorRequest::Ready {})]);
}

#[test]
fn a_socket_that_lost_its_network_is_found_out_and_one_that_did_not_is_kept() {
    let mut call = welcomed();
    assert_eq!(feed(&mut call, Input::NetworkChanged), [say(VisitorRequest::Ping { seen: 2 })]);
    assert_eq!(feed(&mut call, Input::NetworkChanged), [], "one question at a time");
    feed(&mut call, Input::Received(VisitorEvent::Pong { received: 0 }));
    assert_eq!(call.poll_timeout(), Some(T0 + PING_AFTER));
    feed(&mut call, Input::NetworkChanged);
    let late = call.poll_timeout().unwrap_or_default();
    assert!(late <= T0 + Duration::from_secs(2), "{late:?}");
    call.handle_timeout(late);
    call.handle_timeout(late);
    assert_eq!(drain(&mut call), [Output::Connect]);
}

#[test]
fn a_doubted_socket_has_as_long_as_its_server_usually_takes() {
    for (round_trip_ms, patience_ms) in [(10, 420), (300, 1_000), (3_000, 1_500)] {
        let mut call = Call::new(hello(), 1, T0);
        feed(&mut call, Input::SocketOpened);
        let answered = T0 + Duration::from_millis(round_trip_ms);
        call.handle_input(welcome(), answered);
        call.handle_input(session(), answered);
        call.handle_input(Input::NetworkChanged, answered);
        assert_eq!(call.poll_timeout(), Some(answered + Duration::from_millis(patience_ms)), "{round_trip_ms} ms");
    }
}

#[test]
fn who_hears_the_other_outlives_the_server_for_as_long_as_it_takes() {
    let mut call = in_call();
    feed(&mut call, Input::Path(Path::Up));
    feed(&mut call, Input::SocketClosed(1006));
    let mut now = T0;
    while now < T0 + RECONNECT_WITHIN * 3 {
        now = call.poll_timeout().unwrap_or(Duration::MAX);
        call.handle_timeout(now);
        assert!(!drain(&mut call).iter().any(|output| matches!(output, Output::End(..))), "ended at {now:?}");
    }
}

/// Runs the call's own timers for so long; what it does.
fn wait(call: &mut Call, from: Duration, time: Duration) -> Vec<Output> {
    let mut done = Vec::new();
    while let Some(at) = call.poll_timeout().filter(|at| *at <= from + time) {
        call.handle_timeout(at.max(from));
        done.extend(drain(call));
    }
    done
}

fn offered() -> Input {
    Input::Offered("v=0".to_owned(), None)
}

fn answer() -> Input {
    Input::Received(VisitorEvent::Answer { sdp: "v=0".to_owned() })
}

/// A call that both hear.
fn talking() -> Call {
    let mut call = in_call();
    feed(&mut call, offered());
    feed(&mut call, answer());
    feed(&mut call, Input::Path(Path::Up));
    call
}

#[test]
fn another_network_that_changes_nothing_costs_one_restart_and_never_the_call() {
    let mut call = talking();
    let asked = feed(&mut call, Input::NetworkChanged);
    assert_eq!(asked, [Output::Restart, say(VisitorRequest::Ping { seen: 4 })]);
    feed(&mut call, offered());
    feed(&mut call, Input::Received(VisitorEvent::Pong { received: 3 }));
    // The browser has nothing to say of a path that goes on.
    assert_eq!(feed(&mut call, answer()), [Output::Accept("v=0".to_owned())]);
    let done = wait(&mut call, T0, PATH_WITHIN + PATH_BACK_WITHIN);
    let ends = |output: &&Output| matches!(output, Output::Restart | Output::End(..));
    assert_eq!(done.iter().find(ends), None, "{done:?}");
}

#[test]
fn a_description_that_the_browser_refuses_leaves_the_path_and_is_made_once_more() {
    let mut call = talking();
    assert_eq!(feed(&mut call, Input::Rejected("InvalidStateError".to_owned())), []);
    let done = wait(&mut call, T0, RESTART_AGAIN);
    assert!(done.contains(&Output::Restart), "{done:?}");
    feed(&mut call, offered());
    feed(&mut call, answer());
    let done = wait(&mut call, T0 + RESTART_AGAIN, PATH_WITHIN * 2);
    assert!(!done.iter().any(|output| matches!(output, Output::Restart | Output::End(..))), "{done:?}");
}

#[test]
fn an_offer_that_got_lost_with_its_socket_is_not_made_twice() {
    let mut call = talking();
    feed(&mut call, Input::Path(Path::Interrupted));
    feed(&mut call, offered());
    feed(&mut call, Input::Found("candidate:1".to_owned()));
    feed(&mut call, Input::SocketClosed(1006));
    feed(&mut call, Input::NetworkChanged);
    feed(&mut call, Input::SocketOpened);
    // Of offer, `ready`, the offer that got lost and its candidate, the server has the first two.
    let reconnected = Input::Received(VisitorEvent::Reconnected { received: Some(2), sent: 4 });
    wait(&mut call, T0, RESTART_AGAIN);
    let now = T0 + RESTART_AGAIN;
    call.handle_input(reconnected, now);
    assert_eq!(drain(&mut call), [Output::Restart]);
    call.handle_input(offered(), now);
    drain(&mut call);
    call.handle_input(answer(), now);
    assert_eq!(drain(&mut call), [Output::Accept("v=0".to_owned())]);
}

#[test]
fn the_answer_to_an_offer_that_another_has_followed_is_not_meant_for_that() {
    let mut call = talking();
    feed(&mut call, Input::Path(Path::Interrupted));
    feed(&mut call, offered());
    feed(&mut call, offered());
    assert_eq!(feed(&mut call, answer()), []);
    assert_eq!(feed(&mut call, answer()), [Output::Accept("v=0".to_owned())]);
}

#[test]
fn who_hangs_up_without_a_socket_is_still_heard() {
    let mut call = welcomed();
    feed(&mut call, Input::SocketClosed(1006));
    assert_eq!(feed(&mut call, Input::HungUp), [Output::End(None, EndReason::VisitorHungUp.shopper().to_owned())]);
    call.handle_timeout(T0);
    feed(&mut call, Input::SocketOpened);
    let reconnected = Input::Received(VisitorEvent::Reconnected { received: Some(0), sent: 2 });
    assert_eq!(feed(&mut call, reconnected), [say(VisitorRequest::Hangup {}), Output::CloseSocket]);
    assert_eq!(call.poll_timeout(), None);
}

#[test]
fn the_goodbye_of_an_answered_call_looks_for_its_server_for_as_long_as_that_keeps_the_call() {
    let mut call = talking();
    feed(&mut call, Input::SocketClosed(1006));
    feed(&mut call, Input::HungUp);
    let (mut now, mut connects) = (T0, false);
    while now < T0 + RECONNECT_WITHIN - Duration::from_secs(7) || !connects {
        now = call.poll_timeout().expect("it looks on");
        assert!(now < T0 + RECONNECT_WITHIN, "it has looked in vain");
        call.handle_timeout(now);
        connects = drain(&mut call).contains(&Output::Connect);
        if connects && now < T0 + RECONNECT_WITHIN - Duration::from_secs(7) {
            call.handle_input(Input::SocketClosed(1006), now);
        }
    }
    call.handle_input(Input::SocketOpened, now);
    drain(&mut call);
    call.handle_input(Input::Received(VisitorEvent::Reconnected { received: None, sent: 0 }), now);
    assert!(drain(&mut call).contains(&say(VisitorRequest::Hangup {})));
}

#[test]
fn keys_that_went_out_are_not_pressed_again_by_a_server_that_has_forgotten_them() {
    let keys = |digits: &str| VisitorRequest::Keys { digits: digits.to_owned() };
    let mut call = talking();
    feed(&mut call, Input::Path(Path::Interrupted));
    let frames = path::frames_begin(&mut call, T0 + Duration::from_secs(9));
    let now = frames.expect("audio goes as frames");
    call.handle_input(Input::Pressed("12".to_owned()), now);
    assert!(drain(&mut call).contains(&say(keys("12"))));
    call.handle_input(Input::SocketClosed(1006), now);
    call.handle_input(Input::Pressed("3".to_owned()), now);
    call.handle_timeout(now);
    call.handle_input(Input::SocketOpened, now);
    drain(&mut call);
    call.handle_input(Input::Received(VisitorEvent::Reconnected { received: None, sent: 0 }), now);
    let said = drain(&mut call);
    assert!(said.contains(&say(keys("3"))) && !said.contains(&say(keys("12"))), "{said:?}");
}

#[test]
fn a_call_that_is_taken_up_again_says_when_it_was_answered_and_waits_for_no_microphone() {
    let mut call = Call::new(hello_again(), 1, T0);
    assert_eq!(feed(&mut call, Input::SocketOpened), [say(hello_again())]);
    feed(&mut call, welcome());
    feed(&mut call, session());
    assert_eq!(call.poll_timeout(), Some(T0 + PING_AFTER));
    let resumed = VisitorEvent::Resumed { state: CallState::Answered, answered_ms: 61_000 };
    assert_eq!(feed(&mut call, Input::Received(resumed)), [Output::State(CallState::Answered, 61_000)]);
    let token = || "r2".to_owned();
    let next = Input::Received(VisitorEvent::Resume { token: token() });
    assert_eq!(feed(&mut call, next), [Output::Keep(token())]);
    assert_eq!(feed(&mut call, Input::MicrophoneAllowed), [say(VisitorRequest::Ready {})]);
}

#[test]
fn a_call_that_is_taken_up_while_the_far_end_is_rung_again_shows_so_and_then_the_answer() {
    let mut call = Call::new(hello_again(), 1, T0);
    feed(&mut call, Input::SocketOpened);
    feed(&mut call, welcome());
    feed(&mut call, session());
    let code = ErrorCode::CalledAgain;
    let again = VisitorEvent::Error { code, message: code.shopper().to_owned() };
    assert_eq!(feed(&mut call, Input::Received(again)), [Output::Warn(code, code.shopper().to_owned())]);
    let resumed = VisitorEvent::Resumed { state: CallState::Ringing, answered_ms: 0 };
    assert_eq!(feed(&mut call, Input::Received(resumed)), [Output::State(CallState::Ringing, 0)]);
    let next = Input::Received(VisitorEvent::Resume { token: "r2".to_owned() });
    assert_eq!(feed(&mut call, next), [Output::Keep("r2".to_owned())]);
    let offer = || VisitorRequest::Offer { sdp: "O".to_owned(), quality: None };
    assert_eq!(feed(&mut call, Input::Offered("O".to_owned(), None)), [say(offer())]);
    let answer = VisitorEvent::Answer { sdp: "A".to_owned() };
    assert_eq!(feed(&mut call, Input::Received(answer)), [Output::Accept("A".to_owned())]);
    assert_eq!(feed(&mut call, Input::MicrophoneAllowed), [say(VisitorRequest::Ready {})]);
    let answered = VisitorEvent::State { state: CallState::Answered };
    assert_eq!(feed(&mut call, Input::Received(answered)), [Output::State(CallState::Answered, 0)]);
}

#[test]
fn a_call_that_is_left_to_the_next_page_goes_without_a_word() {
    let mut call = welcomed();
    assert_eq!(feed(&mut call, Input::Left), [Output::CloseSocket]);
    assert_eq!(feed(&mut call, Input::SocketClosed(1006)), []);
    assert_eq!(call.poll_timeout(), None);
}

#[test]
fn a_call_that_is_in_another_tab_or_over_ends_here_with_that_word_and_tells_the_server_nothing() {
    for code in [ErrorCode::CallElsewhere, ErrorCode::CallOver] {
        let mut call = welcomed();
        let event = VisitorEvent::Error { code, message: code.shopper().to_owned() };
        assert_eq!(feed(&mut call, Input::Received(event)), [ended(code), Output::CloseSocket]);
        assert_eq!(feed(&mut call, Input::SocketClosed(1006)), []);
    }
}

#[test]
fn candidates_that_wait_for_the_socket_are_bounded_and_never_crowd_out_the_goodbye() {
    let mut call = Call::new(hello(), 1, T0);
    for _ in 0..1000 {
        feed(&mut call, Input::Found("candidate:1".to_owned()));
    }
    feed(&mut call, Input::HungUp);
    let sent = feed(&mut call, Input::SocketOpened);
    assert_eq!(sent.len(), MAX_KEPT + 3, "`hello`, the bound, the goodbye, the end");
    assert!(sent.contains(&say(VisitorRequest::Hangup {})));
}
