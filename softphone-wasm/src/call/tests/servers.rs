//! How a page looks for its server.

use super::*;

#[test]
fn the_server_is_looked_for_with_growing_pauses_and_the_shopper_is_told_once() {
    let mut call = in_call();
    feed(&mut call, Input::SocketClosed(1006));
    let (mut tries, mut warnings) = (Vec::new(), 0);
    let over = loop {
        let now = call.poll_timeout().unwrap_or(Duration::MAX);
        call.handle_timeout(now);
        for output in drain(&mut call) {
            if output == Output::Connect {
                tries.push((now - T0).as_millis());
                // Refused at once.
                call.handle_input(Input::SocketClosed(1006), now);
            }
            warnings += u32::from(matches!(output, Output::Warn(ErrorCode::Reconnecting, _)));
        }
        if call.closed {
            break now;
        }
    };
    assert_eq!(over, T0 + RECONNECT_WITHIN);
    assert_eq!(warnings, 1);
    assert!(tries.iter().take(4).is_sorted_by(|a, b| a < b) && tries.first() == Some(&0), "{tries:?}");
    assert!(tries.iter().filter(|at| **at < 1_000).count() >= 3, "{tries:?}");
    assert!((40..60).contains(&tries.len()), "{tries:?}");
    let longest = tries.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).max();
    assert!(longest.is_some_and(|longest| (1_000..=1_600).contains(&longest)), "{tries:?}");
}

#[test]
fn while_somebody_listens_each_try_lasts_until_a_syn_was_repeated_twice_and_not_much_longer() {
    let mut call = in_call();
    feed(&mut call, Input::SocketClosed(1006));
    let mut tries = Vec::new();
    // Nothing answers: each try lasts for as long as it may.
    while let Some(now) = call.poll_timeout().filter(|now| *now < T0 + RECONNECT_WITHIN) {
        call.handle_timeout(now);
        tries.extend(drain(&mut call).contains(&Output::Connect).then_some(now));
    }
    let gaps: Vec<_> = tries.windows(2).filter_map(|pair| Some((*pair.last()? - *pair.first()?).as_millis())).collect();
    assert!(gaps.len() > 10, "{gaps:?}");
    for (n, gap) in gaps.iter().enumerate() {
        let longest = if n % 4 == 3 { 6_500 } else { 5_100 };
        assert!((3_600..=longest).contains(gap), "{n}: {gaps:?}");
    }
    // One that has opened may take its time.
    let mut call = in_call();
    feed(&mut call, Input::SocketClosed(1006));
    assert!(wait(&mut call, T0, Duration::ZERO).contains(&Output::Connect));
    let now = T0 + Duration::from_millis(3_500);
    call.handle_input(Input::SocketOpened, now);
    drain(&mut call);
    assert!(!wait(&mut call, now, Duration::from_millis(4_400)).contains(&Output::Connect));
}

#[test]
fn a_page_that_takes_a_call_up_looks_for_its_server_for_as_long_as_the_call_waits() {
    let mut call = Call::new(hello_again(), 1, T0);
    let mut tries = 0;
    feed(&mut call, Input::SocketClosed(1006));
    let mut now = T0;
    while now < T0 + RECONNECT_WITHIN - Duration::from_secs(3) {
        now = call.poll_timeout().unwrap_or(Duration::MAX);
        call.handle_timeout(now);
        for output in drain(&mut call) {
            assert!(!matches!(output, Output::End(..)), "given up after {:?}", now - T0);
            if output == Output::Connect {
                tries += 1;
                call.handle_input(Input::SocketClosed(1006), now);
            }
        }
    }
    assert!(tries > 35, "{tries}");
    call.handle_timeout(now);
    call.handle_input(Input::SocketOpened, now);
    assert!(drain(&mut call).contains(&say(hello_again())));
    call.handle_input(welcome(), now);
    call.handle_input(session(), now);
    let resumed = VisitorEvent::Resumed { state: CallState::Answered, answered_ms: 61_000 };
    call.handle_input(Input::Received(resumed), now);
    assert!(drain(&mut call).contains(&Output::State(CallState::Answered, 61_000)));
    // Who only begins to call is told sooner.
    let mut fresh = Call::new(hello(), 1, T0);
    fresh.handle_timeout(T0 + WELCOME_WITHIN);
    assert!(drain(&mut fresh).contains(&ended(ErrorCode::SocketLost)));
}
