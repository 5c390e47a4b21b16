//! Trunks that want credentials, and trunks that are not there.

use super::*;
use md5::{Digest as _, Md5};
use sha2::Sha256;

fn trunk(sipp: &Sipp, password: &str) -> Trunk {
    let (username, password) = (Some("alice".to_owned()), Some(Password::new(password)));
    Trunk { username, password, ..Trunk::new("far", "127.0.0.1", sipp.port) }
}

async fn hang_up(mut ours: Ours, sipp: Sipp) -> String {
    ours.answered().await;
    ours.handle.release(&call(), "done").unwrap();
    ours.closed().await;
    sipp.succeeded().await
}

/// What the response of a logged Authorization header should be, worked out without our own digest code.
fn expected(line: &str, hash: impl Fn(String) -> String) -> String {
    let field = |name: &str| {
        line.split(&format!("{name}="))
            .nth(1)
            .and_then(|rest| rest.split([',', '\n']).next())
            .unwrap()
            .trim_matches('"')
            .to_owned()
    };
    let (ha1, ha2) = (hash("alice:far:secret".to_owned()), hash(format!("INVITE:{}", field("uri"))));
    match line.contains("qop=auth") {
        true => hash(format!("{ha1}:n1:{}:{}:auth:{ha2}", field("nc"), field("cnonce"))),
        false => hash(format!("{ha1}:n1:{ha2}")),
    }
}

fn md5(text: String) -> String {
    hex::encode(Md5::digest(text))
}

fn sha256(text: String) -> String {
    hex::encode(Sha256::digest(text))
}

#[tokio::test]
async fn sipp_itself_accepts_our_md5_credentials() {
    let sipp = Sipp::answering("challenged_md5", Transport::Udp, &[]).await;
    let ours = Ours::dial_trunk(trunk(&sipp, "secret")).await;
    hang_up(ours, sipp).await;
}

#[tokio::test]
async fn sipp_itself_refuses_wrong_credentials() {
    let sipp = Sipp::answering("challenged_md5", Transport::Udp, &[]).await;
    let mut ours = Ours::dial_trunk(trunk(&sipp, "guess")).await;
    assert!(matches!(ours.event().await, SipEvent::Rejected { status: 403, .. }));
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn challenges_of_both_kinds_and_algorithms_are_met() {
    let both = "Digest realm=\"far\", nonce=\"n1\", algorithm=MD5, qop=\"auth\", Digest realm=\"far\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    type Case<'a> = (&'a str, &'a str, &'a str, &'a str, fn(String) -> String);
    let cases: [Case<'_>; 5] = [
        ("401 Unauthorized", "WWW-Authenticate", "Digest realm=\"far\", nonce=\"n1\"", "Authorization", md5),
        (
            "401 Unauthorized",
            "WWW-Authenticate",
            "Digest realm=\"far\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth,auth-int\"",
            "Authorization",
            sha256,
        ),
        (
            "407 Proxy Authentication Required",
            "Proxy-Authenticate",
            "Digest realm=\"far\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"",
            "Proxy-Authorization",
            md5,
        ),
        (
            "407 Proxy Authentication Required",
            "Proxy-Authenticate",
            "Digest realm=\"far\", nonce=\"n1\", algorithm=SHA-256",
            "Proxy-Authorization",
            sha256,
        ),
        ("401 Unauthorized", "WWW-Authenticate", both, "Authorization", sha256),
    ];
    for (status, field, challenge, answer, hash) in cases {
        let keys = [("status", status), ("field", field), ("challenge", challenge)];
        let sipp = Sipp::answering("challenged", Transport::Udp, &keys).await;
        let ours = Ours::dial_trunk(trunk(&sipp, "secret")).await;
        let line = hang_up(ours, sipp).await;
        assert!(line.trim_start().starts_with(&format!("{answer}: ")), "{line}");
        assert!(line.contains(&format!("response=\"{}\"", expected(&line, hash))), "{line}");
    }
}

#[tokio::test]
async fn refused_credentials_end_the_call_at_once() {
    for (status, field) in [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")] {
        let line = format!("{status} No");
        let keys = [("status", line.as_str()), ("field", field), ("challenge", "Digest realm=\"far\", nonce=\"n1\"")];
        let sipp = Sipp::answering("challenged_again", Transport::Udp, &keys).await;
        let mut ours = Ours::dial_trunk(trunk(&sipp, "guess")).await;
        assert_eq!(ours.event().await, SipEvent::Rejected { call: call(), status, phrase: "No".to_owned() });
        ours.closed().await;
        sipp.succeeded().await;
    }
}

#[tokio::test]
async fn a_challenge_without_credentials_is_a_rejection() {
    let sipp = Sipp::answering("refused", Transport::Udp, &[("status", "401 Unauthorized")]).await;
    let mut ours = Ours::dial(&sipp).await;
    assert!(matches!(ours.event().await, SipEvent::Rejected { status: 401, .. }));
    ours.closed().await;
    sipp.succeeded().await;
}

#[tokio::test]
async fn a_stale_nonce_is_replaced() {
    let sipp = Sipp::answering("stale_nonce", Transport::Udp, &[]).await;
    let ours = Ours::dial_trunk(trunk(&sipp, "secret")).await;
    hang_up(ours, sipp).await;
}

#[tokio::test]
async fn a_challenged_bye_is_sent_again() {
    let sipp = Sipp::answering("bye_challenged", Transport::Udp, &[]).await;
    let ours = Ours::dial_trunk(trunk(&sipp, "secret")).await;
    hang_up(ours, sipp).await;
}

#[tokio::test]
async fn a_silent_trunk_is_unreachable_long_before_timer_b_and_hears_doubling_intervals() {
    let silent = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let trunk = Trunk::new("far", "127.0.0.1", silent.local_addr().unwrap().port());
    let t1 = Duration::from_millis(20);
    let mut ours = Ours::start_with(vec![trunk], |settings| settings.t1 = t1).await;
    let started = Instant::now();
    ours.handle.dial(dial()).unwrap();
    let (mut buffer, mut arrivals) = ([0; 4096], Vec::new());
    let mut told_at = None;
    loop {
        tokio::select! {
            packet = silent.recv(&mut buffer) => arrivals.push((packet.unwrap(), started.elapsed())),
            event = ours.event() => match event {
                SipEvent::Unreachable { detail, .. } if detail.contains("nobody answers") => told_at = Some(started.elapsed()),
                SipEvent::Closed { .. } => break,
                other => panic!("{other:?}"),
            },
        }
    }
    let told_at = told_at.unwrap();
    assert!((16 * t1..48 * t1).contains(&told_at), "{told_at:?}");
    assert!(started.elapsed() >= 64 * t1, "the transaction ended before timer B: {:?}", started.elapsed());
    // RFC 3261 section 17.1.1.2: at 0, 1, 3, 7, 15, 31 and 63 times T1. A busy machine may be late, and the last may not come
    // before timer B; nothing may be early, and intervals that do not double would make more of them.
    assert!((5..=7).contains(&arrivals.len()), "{arrivals:?}");
    for ((_, at), times) in arrivals.iter().zip([0, 1, 3, 7, 15, 31, 63]) {
        assert!(*at >= t1 * times, "{times} T1: {arrivals:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_name_are_unreachable_at_once() {
    let refused = Trunk { transport: Transport::Tcp, ..Trunk::new("far", "127.0.0.1", 9) };
    let unknown = Trunk::new("far", "nobody.invalid", 5060);
    for (trunk, words) in [(refused, "no connection to TCP 127.0.0.1"), (unknown, "nobody.invalid has no address")] {
        let mut ours = Ours::dial_trunk(trunk).await;
        let event = ours.event().await;
        assert!(matches!(&event, SipEvent::Unreachable { detail, .. } if detail.contains(words)), "{event:?}");
        ours.closed().await;
    }
}

#[tokio::test]
async fn what_cannot_be_dialled_is_an_error_at_once() {
    let ours = Ours::start(vec![Trunk::new("far", "127.0.0.1", 9)]).await;
    assert_eq!(ours.handle.dial(Dial { trunk: "near".into(), ..dial() }), Err(SipError::NoSuchTrunk("near".into())));
    assert_eq!(ours.handle.dial(Dial { address: "1 2".to_owned(), ..dial() }), Err(SipError::BadAddress));
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let ours = Ours::start(Vec::new()).await;
    let listen = ours.handle.local_addr();
    let settings = Settings { listen, ..ours.handle.shared.settings.clone() };
    assert!(matches!(SipStack::start(settings).await, Err(SipError::Listen { address, .. }) if address == listen));
}

#[tokio::test]
async fn options_tells_what_is_wrong_with_a_trunk() {
    let name = TrunkName::new("far");
    let wait = Duration::from_secs(2);
    let sipp = Sipp::answering("asked_with_options", Transport::Udp, &[("status", "200 OK")]).await;
    let ours = Ours::start(vec![Trunk::new("far", "127.0.0.1", sipp.port)]).await;
    let outcome = ours.handle.options(&name, wait).await.unwrap();
    assert_eq!((outcome.status, outcome.product.as_deref()), (200, Some("sipp")));
    sipp.succeeded().await;

    for (status, words) in [
        ("401 Unauthorized", "set username and password"),
        ("503 Too Busy", "in trouble itself: it answered 503 Too Busy"),
    ] {
        let sipp = Sipp::answering("asked_with_options", Transport::Tcp, &[("status", status)]).await;
        let trunk = Trunk { transport: Transport::Tcp, ..Trunk::new("far", "127.0.0.1", sipp.port) };
        let ours = Ours::start(vec![trunk]).await;
        let error = ours.handle.options(&name, wait).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        sipp.succeeded().await;
    }

    let silent = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let ours = Ours::start(vec![Trunk::new("far", "127.0.0.1", silent.local_addr().unwrap().port())]).await;
    let error = ours.handle.options(&name, Duration::from_millis(200)).await.unwrap_err();
    assert!(error.to_string().contains("did not answer OPTIONS within 0.2 s"), "{error}");
}
