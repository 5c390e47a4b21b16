//! A page for which the page before it has had a path prepared.

use super::*;

/// It has taken the prepared answer, and waits for the server's word.
fn prepared() -> Call {
    let mut call = Call::new(hello_again(), 1, T0);
    call.expect_answer("p".to_owned());
    assert_eq!(feed(&mut call, Input::Offered("v=0".to_owned(), None)), [Output::Accept("p".to_owned())]);
    call
}

fn resumed(call: &mut Call) -> Vec<Output> {
    feed(call, Input::SocketOpened);
    feed(call, welcome());
    feed(call, Input::Received(VisitorEvent::Resumed { state: CallState::Answered, answered_ms: 9 }))
}

fn answer(sdp: &str) -> Input {
    Input::Received(VisitorEvent::Answer { sdp: sdp.to_owned() })
}

#[test]
fn the_path_is_there_before_the_server_and_the_answer_changes_nothing() {
    let mut call = prepared();
    assert_eq!(feed(&mut call, Input::Path(Path::Up)), []);
    resumed(&mut call);
    assert_eq!(feed(&mut call, answer("p")), []);
    // It is an ordinary path from now on.
    let outputs = feed(&mut call, Input::Path(Path::Interrupted));
    assert!(outputs.contains(&Output::Restart), "{outputs:?}");
    feed(&mut call, Input::Offered("v=1".to_owned(), None));
    assert_eq!(feed(&mut call, answer("q")), [Output::Accept("q".to_owned())]);
}

#[test]
fn a_gateway_that_has_forgotten_is_asked_for_another_path() {
    let mut call = prepared();
    resumed(&mut call);
    assert_eq!(feed(&mut call, answer("q")), [Output::Restart]);
    feed(&mut call, Input::Offered("v=1".to_owned(), None));
    assert_eq!(feed(&mut call, answer("r")), [Output::Accept("r".to_owned())]);
}

#[test]
fn a_browser_that_cannot_use_what_was_prepared_waits_for_the_answer() {
    let mut call = prepared();
    assert_eq!(feed(&mut call, Input::Rejected("InvalidAccessError".to_owned())), []);
    resumed(&mut call);
    assert_eq!(feed(&mut call, answer("p")), [Output::Accept("p".to_owned())]);
}
