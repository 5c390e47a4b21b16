//! Calls that we make.

use super::*;

async fn answering(scenario: &str) -> Sipp {
    Sipp::answering(scenario, Transport::Udp, &[]).await
}

#[tokio::test]
async fn a_call_is_answered_and_hung_up_by_us() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let sipp = Sipp::answering("answered_and_hung_up_by_us", transport, &[]).await;
        let mut ours = Ours::dial(&sipp).await;
        assert_eq!(ours.event().await, SipEvent::Ringing { call: call() });
        let remote = sdp::parse_answer(&ours.answered().await).unwrap();
        assert_eq!(remote.rtp, Some("127.0.0.1:16000".parse().unwrap()));
        assert_eq!(ours.handle.stats().calls, 1);
        let seen = sipp.messages();
        assert!(seen.contains("From: \"Ann \\\"A\\\" Shopper\" <sip:ringlet@127.0.0.1>;tag="), "{seen}");
        assert!(seen.contains("X-Ringlet-Page: /shoes.html"), "{seen}");
        ours.handle.release(&call(), "visitor gone").unwrap();
        ours.closed().await;
        sipp.succeeded().await;
    }
}

#[tokio::test]
async fn a_call_is_answered_and_hung_up_by_the_far_end() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let sipp = Sipp::answering("answered_and_hung_up_by_them", transport, &[]).await;
        let mut ours = Ours::dial(&sipp).await;
        ours.answered().await;
        assert_eq!(ours.event().await, SipEvent::Bye { call: call() });
        ours.closed().await;
        sipp.succeeded().await;
    }
}

#[tokio::test]
async fn early_media_comes_before_the_answer_and_no_ringing_after_it() {
    let sipp = answering("early_media").await;
    let mut ours = Ours::dial(&sipp).await;
    assert!(matches!(ours.event().await, SipEvent::Progress { sdp, .. } if sdp::parse_answer(&sdp).is_ok()));
    assert!(matches!(ours.event().await, SipEvent::Answered { .. }));
    ours.handle.release(&call(), "done").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn an_answer_without_sdp_stands_on_that_of_the_early_media() {
    let sipp = answering("answer_only_in_early_media").await;
    let mut ours = Ours::dial(&sipp).await;
    assert!(sdp::parse_answer(&ours.answered().await).is_ok());
    ours.handle.release(&call(), "done").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status_and_phrase() {
    for (status, phrase) in
        [(486, "Busy Here"), (603, "Decline"), (404, "Not Found"), (503, "Overloaded"), (302, "Moved")]
    {
        let line = format!("{status} {phrase}");
        let sipp = Sipp::answering("refused", Transport::Udp, &[("status", &line)]).await;
        let mut ours = Ours::dial(&sipp).await;
        assert_eq!(ours.event().await, SipEvent::Rejected { call: call(), status, phrase: phrase.to_owned() });
        ours.closed().await;
        sipp.succeeded().await;
    }
}

#[tokio::test]
async fn a_ringing_call_is_cancelled() {
    let sipp = answering("cancelled_while_ringing").await;
    let mut ours = Ours::dial(&sipp).await;
    assert_eq!(ours.event().await, SipEvent::Ringing { call: call() });
    ours.handle.release(&call(), "visitor gone").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_cancel_waits_for_the_first_provisional_response() {
    let sipp = answering("cancelled_before_ringing").await;
    let mut ours = Ours::dial(&sipp).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    ours.handle.release(&call(), "visitor gone").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let sipp = answering("answer_crosses_cancel").await;
    let mut ours = Ours::dial(&sipp).await;
    assert_eq!(ours.event().await, SipEvent::Ringing { call: call() });
    ours.handle.release(&call(), "visitor gone").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_release_before_anything_was_sent_sends_nothing() {
    // TEST-NET-1 does not answer a connection attempt on loopback-only machines and elsewhere alike.
    let trunk = Trunk { transport: Transport::Tcp, ..Trunk::new("far", "192.0.2.1", 5060) };
    let mut ours = Ours::dial_trunk(trunk).await;
    ours.handle.release(&call(), "visitor gone").unwrap();
    let event = ours.event().await;
    assert!(matches!(event, SipEvent::Closed { .. } | SipEvent::Unreachable { .. }), "{event:?}");
}

/// SIPp takes an ACK that it has seen before for a retransmission, and cannot count them.
#[tokio::test]
async fn a_repeated_answer_is_acknowledged_again() {
    let peer = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = peer.local_addr().unwrap().port();
    let mut ours = Ours::dial_trunk(Trunk::new("far", "127.0.0.1", port)).await;
    let mut buffer = [0; 4096];
    let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
    let invite = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let kept = |name: &str| invite.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let [via, caller, callee, id, seq] = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(kept);
    let ok = format!(
        "SIP/2.0 200 OK\r\n{via}\r\n{caller}\r\n{callee};tag=far\r\n{id}\r\n{seq}\r\n\
         Contact: <sip:far@127.0.0.1:{port}>\r\nContent-Length: 0\r\n\r\n"
    );
    for nth in 0..3 {
        peer.send_to(ok.as_bytes(), from).await.unwrap();
        let length = timeout(PATIENCE, peer.recv(&mut buffer)).await.unwrap().unwrap();
        let ack = String::from_utf8_lossy(&buffer[..length]);
        assert!(ack.starts_with(&format!("ACK sip:far@127.0.0.1:{port} SIP/2.0\r\n")), "{nth}: {ack}");
    }
    ours.answered().await;
}

#[tokio::test]
async fn the_second_branch_of_a_fork_is_hung_up() {
    let sipp = answering("answered_by_two_branches").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ours.handle.release(&call(), "done").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn whatever_the_far_end_asks_for_in_a_call_is_answered() {
    let sipp = answering("reinvited").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    let mut local = local();
    loop {
        local.version += 1;
        match ours.event().await {
            SipEvent::ReInvite { sdp: Some(offer), .. } if offer.contains("o=sipp 1 9") => {
                ours.handle.answer_reinvite(&call(), Err(488)).unwrap();
            }
            SipEvent::ReInvite { sdp: Some(offer), .. } => {
                let (_, answer) = sdp::answer(&offer, &local).unwrap();
                ours.handle.answer_reinvite(&call(), Ok(answer)).unwrap();
            }
            SipEvent::ReInvite { sdp: None, .. } => {
                ours.handle.answer_reinvite(&call(), Ok(sdp::offer(&local))).unwrap();
            }
            SipEvent::LateAnswer { sdp, .. } => assert!(sdp::parse_answer(&sdp).is_ok()),
            SipEvent::Bye { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn keys_in_info_bodies_are_told() {
    let sipp = answering("keys_by_info").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    assert_eq!(ours.event().await, SipEvent::Info { call: call(), digit: '5', duration_ms: 160 });
    assert_eq!(ours.event().await, SipEvent::Info { call: call(), digit: '#', duration_ms: 250 });
    assert_eq!(ours.event().await, SipEvent::Bye { call: call() });
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_reliable_provisional_response_gets_its_prack() {
    let sipp = answering("reliable_ringing").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    ours.handle.release(&call(), "done").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn each_branch_of_a_fork_numbers_its_reliable_responses_by_itself() {
    let sipp = answering("reliable_ringing_of_a_fork").await;
    let mut ours = Ours::dial(&sipp).await;
    let mut ports = Vec::new();
    for _ in 0..3 {
        let SipEvent::Progress { sdp, .. } = ours.event().await else { panic!("no early media") };
        ports.extend(sdp::parse_answer(&sdp).unwrap().rtp.map(|rtp| rtp.port()));
    }
    assert_eq!(ports, [16000, 16002, 16006]);
    ours.answered().await;
    ours.handle.release(&call(), "done").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_session_timer_is_kept_by_reinvite() {
    let sipp = answering("refresh_by_reinvite").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    ours.handle.release(&call(), "done").unwrap();
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_session_timer_is_kept_by_update_and_a_lost_dialog_ends_the_call() {
    let sipp = answering("refresh_by_update").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    assert_eq!(ours.event().await, SipEvent::Bye { call: call() });
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_session_whose_refreshes_are_refused_is_asked_for_longer_and_ends_when_it_expires() {
    let sipp = answering("refresh_refused").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    let answered = Instant::now();
    assert_eq!(ours.event().await, SipEvent::Bye { call: call() });
    assert!(answered.elapsed() > Duration::from_millis(4_900), "{:?}", answered.elapsed());
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_shutdown_hangs_up() {
    let sipp = answering("answered_and_hung_up_by_us").await;
    let mut ours = Ours::dial(&sipp).await;
    ours.answered().await;
    ours.handle.shutdown(Duration::from_secs(5)).await;
    sipp.succeeded().await;
    assert_eq!(ours.handle.stats().calls, 0);
    assert_eq!(ours.handle.dial(dial()), Err(SipError::Ended));
}
