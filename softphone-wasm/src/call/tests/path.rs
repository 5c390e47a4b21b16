//! Which way the audio goes, and what the shopper is told of it.

use super::*;
use protocol::visitor::FrameCodec;

#[test]
fn without_webrtc_audio_goes_as_frames_the_shopper_is_told_and_webrtc_is_taken_when_it_comes() {
    let mut call = welcomed();
    feed(&mut call, Input::MicrophoneAllowed);
    feed(&mut call, Input::Received(VisitorEvent::Answer { sdp: String::new() }));
    let due = T0 + SLOW_AFTER;
    assert_eq!(call.poll_timeout(), Some(due));
    call.handle_timeout(due);
    let code = ErrorCode::UdpBlocked;
    let frames = |codec| say(VisitorRequest::Frames { codec });
    assert_eq!(
        drain(&mut call),
        [Output::Warn(code, code.shopper().to_owned()), Output::Frames(true), frames(Some(FrameCodec::G711)),]
    );
    let carried = VisitorEvent::Transport { transport: Transport::WebSocket };
    call.handle_input(Input::Received(carried), due);
    assert_eq!(drain(&mut call), [Output::Transport(Transport::WebSocket)]);
    let keys = VisitorRequest::Keys { digits: "12".to_owned() };
    assert_eq!(feed(&mut call, Input::Pressed("12".to_owned())), [say(keys)]);
    assert_eq!(feed(&mut call, Input::Path(Path::Failed)), [say(VisitorRequest::Ping { seen: 4 })]);
    feed(&mut call, Input::Received(VisitorEvent::Pong { received: 3 }));
    assert_eq!(feed(&mut call, Input::Path(Path::Up)), []);
    call.handle_timeout(T0 + SETTLED_AFTER);
    assert_eq!(drain(&mut call), [Output::Frames(false), frames(None)]);
}

#[test]
fn frames_are_of_g711_until_opus_runs_and_of_opus_from_then_on() {
    let frames = |codec| say(VisitorRequest::Frames { codec: Some(codec) });
    for (early, codec) in [(false, FrameCodec::G711), (true, FrameCodec::Opus)] {
        let mut call = welcomed();
        feed(&mut call, Input::Received(VisitorEvent::Answer { sdp: String::new() }));
        if early {
            assert_eq!(feed(&mut call, Input::Codec(FrameCodec::Opus)), [], "nothing goes as frames");
        }
        call.handle_timeout(T0 + SLOW_AFTER);
        assert!(drain(&mut call).contains(&frames(codec)));
        assert_eq!(feed(&mut call, Input::Codec(FrameCodec::Opus)), [frames(FrameCodec::Opus)]);
        assert_eq!(feed(&mut call, Input::Codec(FrameCodec::G711)), [frames(FrameCodec::G711)], "it has failed");
    }
}

#[test]
fn a_network_on_which_ice_finds_a_pair_has_time_for_dtls_and_is_not_called_blocked() {
    let mut call = welcomed();
    feed(&mut call, Input::Received(VisitorEvent::Answer { sdp: String::new() }));
    let paired = T0 + SLOW_AFTER / 2;
    call.handle_input(Input::Path(Path::Paired), paired);
    let due = paired + SECURED_WITHIN;
    assert_eq!(call.poll_timeout(), Some(due), "and no longer, if DTLS does not pass");
    assert_eq!(feed(&mut call, Input::Path(Path::Up)), []);
    call.handle_timeout(due);
    assert!(!drain(&mut call).contains(&Output::Frames(true)));
}

/// An answered call whose audio is heard, with its path.
fn heard() -> Call {
    let mut call = welcomed();
    feed(&mut call, Input::MicrophoneAllowed);
    feed(&mut call, Input::Received(VisitorEvent::Answer { sdp: String::new() }));
    feed(&mut call, Input::Path(Path::Up));
    feed(&mut call, Input::Received(VisitorEvent::State { state: CallState::Answered }));
    feed(&mut call, Input::Heard(1));
    call
}

fn broken() -> Input {
    Input::Received(VisitorEvent::Error { code: ErrorCode::AudioPathBroken, message: String::new() })
}

/// Lets time pass, in the course of which no audio comes, and the server answers; gives back when frames began.
pub(super) fn frames_begin(call: &mut Call, until: Duration) -> Option<Duration> {
    let pong = || Input::Received(VisitorEvent::Pong { received: 0 });
    call.handle_input(pong(), T0);
    while let Some(due) = call.poll_timeout().filter(|due| *due <= until) {
        call.handle_timeout(due);
        let outputs = drain(call);
        call.handle_input(pong(), due);
        if outputs.contains(&Output::Listen) {
            call.handle_input(Input::Heard(call.heard.0), due);
        }
        if outputs.contains(&Output::Frames(true)) {
            return Some(due);
        }
    }
    None
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_that_loses_its_path_goes_on_as_frames_unless_another_path_comes_soon() {
    let mut call = heard();
    assert_eq!(frames_begin(&mut call, T0 + 5 * SECOND / 2), None, "the far end may be silent");
    call.handle_input(broken(), T0 + 5 * SECOND / 2);
    assert!(frames_begin(&mut call, T0 + 10 * SECOND).is_some_and(|at| at <= T0 + 7 * SECOND / 2), "a gap of 3.5 s");

    let mut restored = heard();
    feed(&mut restored, broken());
    feed(&mut restored, Input::Heard(2));
    assert_eq!(frames_begin(&mut restored, T0 + 4 * SECOND), None, "audio came again");

    let mut interrupted = heard();
    feed(&mut interrupted, Input::Path(Path::Interrupted));
    feed(&mut interrupted, Input::Heard(2));
    assert!(frames_begin(&mut interrupted, T0 + 4 * SECOND).is_some(), "one packet is no path");
}

#[test]
fn frames_wait_for_a_socket_and_their_answer_for_as_long_as_that_is_looked_for() {
    let mut call = heard();
    feed(&mut call, Input::Path(Path::Interrupted));
    feed(&mut call, Input::SocketClosed(1006));
    let done = wait(&mut call, T0, RECONNECT_WITHIN - SECOND);
    assert!(!call.is_frames() && !done.iter().any(|output| matches!(output, Output::End(..))), "{done:?}");
    feed(&mut call, Input::SocketOpened);
    let now = T0 + RECONNECT_WITHIN - SECOND;
    call.handle_input(Input::Received(VisitorEvent::Reconnected { received: Some(9), sent: 9 }), now);
    assert!(wait(&mut call, now, FRAMES_AGAIN).contains(&Output::Frames(true)));

    call.handle_input(Input::SocketClosed(1006), now + SECOND);
    let done = wait(&mut call, now + SECOND, FRAMES_WITHIN);
    assert!(!done.iter().any(|output| matches!(output, Output::End(..))), "{done:?}");
    call.handle_input(Input::SocketOpened, now + FRAMES_WITHIN + SECOND);
    let reconnected = VisitorEvent::Reconnected { received: Some(9), sent: 9 };
    call.handle_input(Input::Received(reconnected), now + FRAMES_WITHIN + SECOND);
    let done = wait(&mut call, now + FRAMES_WITHIN + SECOND, 2 * FRAMES_WITHIN);
    assert!(done.contains(&ended(ErrorCode::MediaPathFailed)), "{done:?}");
}

#[test]
fn a_path_that_the_browser_never_gave_up_ends_frames_after_a_while_and_one_that_it_gave_up_when_it_is_back() {
    let mut claimed = heard();
    feed(&mut claimed, broken());
    let begun = frames_begin(&mut claimed, T0 + 4 * SECOND).unwrap_or_default();
    assert!(claimed.is_frames());
    feed(&mut claimed, Input::Received(VisitorEvent::Transport { transport: Transport::WebSocket }));
    claimed.handle_input(Input::Path(Path::Interrupted), begun + SECOND);
    frames_begin(&mut claimed, begun + BELIEVED_AFTER);
    assert!(claimed.is_frames());
    claimed.handle_input(Input::Path(Path::Up), begun + BELIEVED_AFTER);
    frames_begin(&mut claimed, begun + BELIEVED_AFTER + SETTLED_AFTER);
    assert!(!claimed.is_frames());

    let mut believed = heard();
    feed(&mut believed, broken());
    let begun = frames_begin(&mut believed, T0 + 4 * SECOND).unwrap_or_default();
    assert!(believed.is_frames());
    feed(&mut believed, Input::Received(VisitorEvent::Transport { transport: Transport::WebSocket }));
    frames_begin(&mut believed, begun + BELIEVED_AFTER);
    assert!(!believed.is_frames());
}

#[test]
fn the_next_page_of_a_slow_call_loses_no_time() {
    let mut call = welcomed();
    call.expect_slow();
    assert!(
        feed(&mut call, Input::Received(VisitorEvent::Answer { sdp: String::new() })).contains(&Output::Frames(true))
    );
}

#[test]
fn frames_are_asked_for_anew_of_a_server_that_has_forgotten_them() {
    let mut call = heard();
    feed(&mut call, Input::Path(Path::Interrupted));
    let now = frames_begin(&mut call, T0 + 4 * SECOND).unwrap_or_default();
    assert!(call.is_frames());
    let back = |call: &mut Call, received| {
        call.handle_input(Input::SocketClosed(1006), now);
        wait(call, now, Duration::ZERO);
        call.handle_input(Input::SocketOpened, now);
        drain(call);
        call.handle_input(Input::Received(VisitorEvent::Reconnected { received, sent: 0 }), now);
        drain(call)
    };
    let asked = say(VisitorRequest::Frames { codec: Some(FrameCodec::G711) });
    assert!(!back(&mut call, Some(99)).contains(&asked), "it knows");
    assert!(back(&mut call, None).contains(&asked), "it does not");
    let mut call = heard();
    feed(&mut call, Input::Path(Path::Up));
    assert!(!back(&mut call, None).contains(&asked), "nobody wanted frames");
}

fn over(transport: Transport) -> Input {
    Input::Received(VisitorEvent::Transport { transport })
}

#[test]
fn over_tcp_the_shopper_is_told_once_and_udp_is_tried_until_it_passes() {
    let mut call = heard();
    assert_eq!(feed(&mut call, over(Transport::Tcp)), [Output::Transport(Transport::Tcp)]);
    let told = Output::Warn(ErrorCode::UdpBlocked, ErrorCode::UdpBlocked.shopper().to_owned());
    let done = wait(&mut call, T0, TCP_FOR);
    assert!(done.contains(&told) && !done.contains(&Output::Restart), "{done:?}");
    let (mut now, mut restarts) = (T0 + TCP_FOR, 0);
    for _ in 0..10 {
        // Audio comes all the while, and the server answers.
        call.handle_input(Input::Heard(now.as_secs() as u32), now);
        call.handle_input(Input::Received(VisitorEvent::Pong { received: 0 }), now);
        let done = wait(&mut call, now, 9 * SECOND);
        now += 9 * SECOND;
        restarts += done.iter().filter(|output| **output == Output::Restart).count();
        assert!(!done.contains(&told), "{done:?}");
    }
    assert_eq!(restarts, 3, "each half minute");
    call.handle_input(over(Transport::Udp), now);
    assert!(!call.runs(Timer::Slow));
}

#[test]
fn tcp_that_carries_the_audio_only_until_udp_does_is_no_matter() {
    let mut call = heard();
    feed(&mut call, over(Transport::Tcp));
    call.handle_input(over(Transport::Udp), T0 + TCP_FOR / 2);
    drain(&mut call);
    assert!(!wait(&mut call, T0, SECOND).iter().any(|output| matches!(output, Output::Warn(..))));
}

#[test]
fn the_first_path_has_as_long_as_its_server_is_far_but_the_shopper_knows_within_three_seconds() {
    for (round_trip_ms, slow_ms) in [(20, 2_000), (300, 2_500), (600, 2_800), (3_000, 2_800)] {
        let mut call = Call::new(hello(), 1, T0);
        feed(&mut call, Input::SocketOpened);
        let now = T0 + Duration::from_millis(round_trip_ms);
        for input in [welcome(), session(), Input::Received(VisitorEvent::Answer { sdp: String::new() })] {
            call.handle_input(input, now);
        }
        drain(&mut call);
        let slow = Duration::from_millis(slow_ms);
        assert!(!wait(&mut call, now, slow - Duration::from_millis(1)).contains(&Output::Frames(true)));
        assert!(wait(&mut call, now, slow).contains(&Output::Frames(true)), "{round_trip_ms} ms");
    }
}
