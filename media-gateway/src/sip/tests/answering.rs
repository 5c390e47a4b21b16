//! Calls from outside.

use super::*;

#[tokio::test]
async fn a_gateway_takes_no_calls_and_answers_options() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let ours = Ours::start(Vec::new()).await;
        Sipp::calling("calls_a_gateway", transport, ours.handle.local_addr()).succeeded().await;
    }
}

#[tokio::test]
async fn an_unknown_extension_is_refused() {
    let ours = Ours::start_with(Vec::new(), |settings| settings.accept_calls = true).await;
    Sipp::calling("calls_and_requires", Transport::Udp, ours.handle.local_addr()).succeeded().await;
}

#[tokio::test]
async fn a_caller_who_gives_up_gets_487() {
    let mut phone = Ours::start_with(Vec::new(), |settings| settings.accept_calls = true).await;
    let sipp = Sipp::calling("calls_and_cancels", Transport::Udp, phone.handle.local_addr());
    let event = phone.event().await;
    let SipEvent::Incoming { call, from, to, sdp: Some(_) } = event else { panic!("{event:?}") };
    assert_eq!((from.as_str(), to.as_str()), ("Ann", "100"));
    phone.handle.ring(&call).unwrap();
    assert_eq!(phone.event().await, SipEvent::Bye { call });
    phone.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn an_unknown_method_gets_501() {
    let ours = Ours::start(Vec::new()).await;
    Sipp::calling("asks_the_unknown", Transport::Udp, ours.handle.local_addr()).succeeded().await;
}

/// Two stacks of ours, one ringing the other.
async fn pair(transport: Transport) -> (Ours, Ours) {
    let phone = Ours::start_with(Vec::new(), |settings| settings.accept_calls = true).await;
    let port = phone.handle.local_addr().port();
    let gateway = Ours::dial_trunk(Trunk { transport, ..Trunk::new("far", "127.0.0.1", port) }).await;
    (gateway, phone)
}

#[tokio::test]
async fn a_call_between_two_stacks_is_answered_and_ended_from_either_side() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for caller_hangs_up in [true, false] {
            let (mut gateway, mut phone) = pair(transport).await;
            let SipEvent::Incoming { call: theirs, sdp: Some(offer), .. } = phone.event().await else { panic!() };
            phone.handle.ring(&theirs).unwrap();
            assert_eq!(gateway.event().await, SipEvent::Ringing { call: call() });
            let (_, answer) = sdp::answer(&offer, &local()).unwrap();
            phone.handle.answer(&theirs, answer.clone()).unwrap();
            assert_eq!(gateway.event().await, SipEvent::Answered { call: call(), sdp: answer });
            assert_eq!(phone.event().await, SipEvent::Answered { call: theirs.clone(), sdp: String::new() });
            if caller_hangs_up {
                gateway.handle.release(&call(), "done").unwrap();
                assert_eq!(phone.event().await, SipEvent::Bye { call: theirs });
            } else {
                phone.handle.release(&theirs, "done").unwrap();
                assert_eq!(gateway.event().await, SipEvent::Bye { call: call() });
            }
            gateway.closed().await;
            phone.closed().await;
        }
    }
}

#[tokio::test]
async fn both_hanging_up_at_once_leaves_nothing() {
    let (mut gateway, mut phone) = pair(Transport::Udp).await;
    let SipEvent::Incoming { call: theirs, .. } = phone.event().await else { panic!() };
    phone.handle.answer(&theirs, sdp::offer(&local())).unwrap();
    gateway.answered().await;
    phone.answered().await;
    gateway.handle.release(&call(), "done").unwrap();
    phone.handle.release(&theirs, "done").unwrap();
    for side in [&mut gateway, &mut phone] {
        match side.event().await {
            SipEvent::Bye { .. } => side.closed().await,
            SipEvent::Closed { .. } => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(side.handle.stats().calls, 0);
    }
}

#[tokio::test]
async fn a_phone_that_refuses_or_is_full_says_so() {
    let (mut gateway, mut phone) = pair(Transport::Udp).await;
    let SipEvent::Incoming { call: theirs, .. } = phone.event().await else { panic!() };
    phone.handle.reject(&theirs, 486).unwrap();
    assert!(matches!(gateway.event().await, SipEvent::Rejected { status: 486, .. }));
    gateway.closed().await;
    phone.closed().await;
}
