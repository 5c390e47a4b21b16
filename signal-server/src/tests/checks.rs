//! Checks: the page, the socket, the catalogue; and that nothing of them is a call.

use super::harness::*;
use crate::Limits;
use protocol::check::{CheckEvent, CheckPath, VERSION};
use protocol::gateway::{CallFrame, Command, Event, Failure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

async fn page(app: &TestApp, query: &str, referer: Option<&str>) -> reqwest::Response {
    let request = app.http.get(app.url(&format!("/check{query}")));
    referer.into_iter().fold(request, |request, referer| request.header("referer", referer)).send().await.unwrap()
}

async fn socket(app: &TestApp) -> Client {
    let mut request = app.socket_request("/ws/check");
    request.headers_mut().insert("origin", PUBLIC.parse().unwrap());
    request.headers_mut().insert("x-forwarded-for", "203.0.113.1".parse().unwrap());
    Client::connect(request).await.unwrap()
}

async fn hello(app: &TestApp, client: &mut Client, query: &str) {
    let page = page(app, query, None).await.text().await.unwrap();
    let token = attribute(&page, "data-token");
    client.say(&json!({"type": "hello", "version": VERSION, "token": token})).await;
}

async fn event(client: &mut Client) -> CheckEvent {
    serde_json::from_str(&client.text().await.expect("a message")).unwrap()
}

fn code(event: &CheckEvent) -> Option<&str> {
    if let CheckEvent::Ended { path: None, code } = event { code.as_deref() } else { panic!("{event:?}") }
}

/// A check with one leg that has its answer.
async fn answered(app: &mut TestApp, query: &str) -> (Client, protocol::CallId) {
    let mut client = socket(app).await;
    hello(app, &mut client, query).await;
    assert_eq!(event(&mut client).await, CheckEvent::Welcome { version: VERSION });
    client.say(&json!({"type": "offer", "path": "udp", "sdp": "O"})).await;
    let Command::Echo { call, sdp } = app.gateway.command().await else { panic!("no echo") };
    assert_eq!(sdp, "O");
    app.gateway.say(Event::Answer { call: call.clone(), sdp: "A".to_owned() }).await;
    assert_eq!(event(&mut client).await, CheckEvent::Answer { path: CheckPath::Udp, sdp: "A".to_owned() });
    (client, call)
}

#[tokio::test]
async fn a_check_has_a_leg_and_frames_and_leaves_no_record() {
    let mut app = TestApp::start().await;
    let (mut client, leg) = answered(&mut app, "?merchant=acme&link=sales").await;
    client.say(&json!({"type": "candidate", "path": "udp", "candidate": "c"})).await;
    assert!(
        matches!(app.gateway.command().await, Command::Candidate { call, candidate } if call == leg && candidate == "c")
    );
    client.send(Message::binary(vec![1, 2, 3])).await;
    let frame = timeout(PATIENCE, app.gateway.frames.recv()).await.unwrap().unwrap();
    assert_eq!((&frame.call, frame.bytes.as_slice()), (&leg, &[1, 2, 3][..]));
    app.gateway.frames_out.send(CallFrame { call: leg.clone(), bytes: vec![4] }).await.unwrap();
    assert_eq!(client.binary().await, [4]);
    // The second leg goes beside the first.
    client.say(&json!({"type": "offer", "path": "tcp", "sdp": "O2"})).await;
    let Command::Echo { call: second, .. } = app.gateway.command().await else { panic!("no echo") };
    assert_ne!(second, leg);
    client.leave().await;
    for leg in [&leg, &second] {
        assert!(matches!(app.gateway.command().await, Command::Release { call, .. } if call == *leg));
        app.gateway.say(closed(leg)).await;
    }
    eventually("no leg is left", async || {
        let metrics = app.get("/metrics").await.text().await.unwrap();
        metrics.contains("ringlet_check_legs 0\n").then_some(())
    })
    .await;
    let (status, calls) = app.rest(Method::GET, "/v1/calls", OPERATOR, None).await;
    assert_eq!((status, calls), (StatusCode::OK, json!({"items": []})));
}

#[tokio::test]
async fn a_check_takes_nothing_from_a_merchants_calls() {
    let limits = Limits { calls_per_address_per_minute: 1, calls_per_merchant: 1, ..Limits::default() };
    let mut app = TestApp::builder().limits(limits).start().await;
    let (_first, _) = answered(&mut app, "?merchant=acme&link=sales").await;
    let (_second, _) = answered(&mut app, "?merchant=acme&link=sales").await;
    app.welcomed().await;
}

#[tokio::test]
async fn an_address_checks_so_often_and_no_more() {
    let limits = Limits { checks_per_address_per_minute: 1, ..Limits::default() };
    let mut app = TestApp::builder().limits(limits).start().await;
    let (_first, _) = answered(&mut app, "").await;
    let mut second = socket(&app).await;
    hello(&app, &mut second, "").await;
    assert_eq!(code(&event(&mut second).await), Some("RL-519"));
    assert_eq!(second.text().await, None);
}

#[tokio::test]
async fn what_a_page_of_ours_would_not_say_ends_the_check() {
    let table = [
        json!({"type": "hello", "version": VERSION, "token": "forged"}),
        json!({"type": "hello", "version": VERSION + 1, "token": ""}),
        json!({"type": "offer", "path": "udp", "sdp": ""}),
        json!([]),
    ];
    let app = TestApp::start().await;
    for (said, expected) in table.iter().zip(["RL-203", "RL-404", "RL-405", "RL-405"]) {
        let mut client = socket(&app).await;
        client.say(said).await;
        assert_eq!(code(&event(&mut client).await), Some(expected), "{said}");
    }
    for said in [json!({"type": "candidate", "path": "tcp", "candidate": ""}), json!({"type": "dial"})] {
        let mut client = socket(&app).await;
        hello(&app, &mut client, "").await;
        event(&mut client).await;
        client.say(&said).await;
        assert_eq!(code(&event(&mut client).await), Some("RL-405"), "{said}");
    }
    let mut stranger = app.socket_request("/ws/check");
    stranger.headers_mut().insert("origin", SHOP.parse().unwrap());
    assert!(Client::connect(stranger).await.is_err(), "a page of somebody else's gets in");
}

#[tokio::test]
async fn a_leg_that_no_gateway_can_have_ends_with_a_code() {
    let app = TestApp::builder().no_gateway().start().await;
    let mut client = socket(&app).await;
    hello(&app, &mut client, "").await;
    event(&mut client).await;
    client.say(&json!({"type": "offer", "path": "tcp", "sdp": "O"})).await;
    let ended = |code: &str| CheckEvent::Ended { path: Some(CheckPath::Tcp), code: Some(code.to_owned()) };
    assert_eq!(event(&mut client).await, ended("RL-402"));

    let mut app = TestApp::start().await;
    let mut client = socket(&app).await;
    hello(&app, &mut client, "").await;
    event(&mut client).await;
    client.say(&json!({"type": "offer", "path": "tcp", "sdp": "O"})).await;
    let Command::Echo { call, .. } = app.gateway.command().await else { panic!("no echo") };
    app.gateway.say(Event::Failed { call, failure: Failure::Full, detail: String::new() }).await;
    assert_eq!(event(&mut client).await, ended("RL-519"));
}

#[tokio::test]
async fn the_page_may_be_framed_by_the_merchants_pages_and_says_where_it_may_not() {
    let app = TestApp::start().await;
    let ancestors = async |query: &str, referer: Option<&str>| {
        let response = page(&app, query, referer).await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let ancestors = policy.split("frame-ancestors ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        (ancestors, attribute(&response.text().await.unwrap(), "data-error").to_owned())
    };
    let link = "?merchant=acme&link=sales";
    let table = [
        ("".to_owned(), None, ("'none'", "")),
        (link.to_owned(), None, (SHOP, "")),
        // Whence somebody followed a link to the page says nothing.
        (link.to_owned(), Some("https://intranet.example/"), (SHOP, "")),
        (format!("{link}&framed=1"), Some("https://shop.example/shoes"), (SHOP, "")),
        (format!("{link}&framed=1"), Some("https://intranet.example/"), ("http: https:", "RL-201")),
        ("?merchant=acme&link=none".to_owned(), None, ("http: https:", "RL-202")),
    ];
    for (query, referer, (expected, error)) in table {
        assert_eq!(ancestors(&query, referer).await, (expected.to_owned(), error.to_owned()), "{query} {referer:?}");
    }
}

#[tokio::test]
async fn the_catalogue_is_served_with_an_anchor_for_each_code() {
    let app = TestApp::start().await;
    let text = app.get("/errors").await.text().await.unwrap();
    let codes = protocol::error::ErrorCode::ALL.iter().map(|it| it.word());
    for code in codes.chain(protocol::check::Finding::ALL.iter().map(|it| it.word())) {
        assert!(text.contains(&format!("<section id=\"{code}\">")), "{code}");
    }
    let page = page(&app, "", None).await.text().await.unwrap();
    let json = page.split_once("</title>").unwrap().1;
    let catalogue: Value = serde_json::from_str(json).unwrap();
    assert!(catalogue["RL-502"][0].is_string() && catalogue["RL-101"][1].is_string());
}

#[tokio::test]
async fn a_server_that_stops_ends_its_checks() {
    let mut app = TestApp::start().await;
    let (mut client, leg) = answered(&mut app, "").await;
    app.shutdown.cancel();
    let ended = CheckEvent::Ended { path: Some(CheckPath::Udp), code: Some("RL-403".to_owned()) };
    assert_eq!(event(&mut client).await, ended);
    assert!(matches!(app.gateway.command().await, Command::Release { call, .. } if call == leg));
    app.gateway.say(closed(&leg)).await;
    timeout(Duration::from_secs(20), app.server.ended()).await.expect("the server ends").unwrap();
}
