//! Visitors: who is admitted, what a call looks like from here, what its record tells.

use super::harness::{Client, PUBLIC, SHOP, SIGNING_SECRET, TestApp, closed};
use crate::Limits;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use protocol::gateway::{Command, Event, Side, Transport};
use protocol::visitor::{CallState, EndReason, MAX_MESSAGE_BYTES, Quality, VisitorEvent, VisitorRequest};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

#[tokio::test]
async fn a_call_is_carried_from_hello_to_its_record() {
    let mut app = TestApp::start().await;
    let mut visitor = app.visitor().await;
    visitor.say(&app.hello().await).await;
    let VisitorEvent::Welcome { call, merchant, link, .. } = visitor.event().await else { panic!("no welcome") };
    assert_eq!((merchant.as_str(), link.as_str()), ("The shop acme", "Sales"));
    let call: protocol::CallId = call.as_str().into();

    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert_eq!(
        app.gateway.command().await,
        Command::Offer { call: call.clone(), sdp: "offer".to_owned(), quality: Quality::Standard }
    );
    app.gateway.say(Event::Answer { call: call.clone(), sdp: "answer".to_owned() }).await;
    assert_eq!(visitor.event().await, VisitorEvent::Answer { sdp: "answer".to_owned() });
    app.gateway.say(Event::MediaUp { call: call.clone() }).await;
    visitor.request(&VisitorRequest::Ready {}).await;
    let Command::Dial { trunk, address, .. } = app.gateway.command().await else { panic!("no dial") };
    assert_eq!((trunk.as_str(), address.as_str()), ("pbx", "1001"));
    assert_eq!(visitor.event().await, VisitorEvent::State { state: CallState::Dialing });
    app.gateway.say(Event::Ringing { call: call.clone() }).await;
    assert_eq!(visitor.event().await, VisitorEvent::State { state: CallState::Ringing });
    app.gateway.say(Event::Answered { call: call.clone() }).await;
    assert_eq!(visitor.event().await, VisitorEvent::State { state: CallState::Answered });
    assert!(matches!(visitor.event().await, VisitorEvent::Resume { .. }));
    app.gateway.say(Event::Digit { call: call.clone(), from: Side::Agent, digit: '7', duration_ms: 100 }).await;
    assert_eq!(visitor.event().await, VisitorEvent::Digit { digit: "7".to_owned(), duration_ms: 100 });
    for transport in [Transport::Tcp, Transport::Udp] {
        app.gateway.say(Event::Transport { call: call.clone(), transport }).await;
        assert_eq!(visitor.event().await, VisitorEvent::Transport { transport });
    }
    app.gateway.say(Event::FarEndHungUp { call: call.clone() }).await;
    assert_eq!(visitor.ended().await, (EndReason::AgentHungUp, None));
    assert!(matches!(app.gateway.command().await, Command::Release { .. }));
    app.gateway.say(closed(&call)).await;

    let record = app.record(&call).await;
    assert_eq!(record.page.as_deref(), Some("https://shop.example/shoes"));
    assert_eq!((record.customer.as_deref(), record.origin.as_str()), (Some("c-1"), SHOP));
    assert_eq!((record.reason, record.code), (Some(EndReason::AgentHungUp), None));
    assert_eq!(record.gateway.as_ref().map(|it| it.as_str()), Some("gateway-1"));
    assert_eq!(record.sip_call_id.as_deref(), Some("abc@10.0.0.1"));
    assert_eq!(record.stats.map(|it| (it.visitor_packets, it.agent_lost)), Some((500, 2)));
    assert_eq!(record.transport, Some(Transport::Udp), "the last that carried the audio");
    let times = [Some(record.started_at), record.dialed_at, record.ringing_at, record.answered_at, record.ended_at];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{times:?}");
}

/// What is wrong with a `hello`, and how it is refused.
#[tokio::test]
async fn a_visitor_who_may_not_call_is_told_why_and_leaves_no_record() {
    let app = TestApp::start().await;
    let good = app.hello().await;
    let with = |field: &str, value: Value| {
        let mut hello = good.clone();
        hello[field] = value;
        hello.to_string()
    };
    let other_secret = "somebody else's secret text";
    let signed = |claims: Value, secret: &str| json!(destination_token(&claims, secret));
    let table = [
        (with("origin", json!("https://evil.example")), "RL-201"),
        (with("origin", json!("null")), "RL-201"),
        (with("token", json!("forged")), "RL-203"),
        (with("version", json!(99)), "RL-404"),
        (with("token", json!(7)), "RL-405"),
        (json!({"type": "hello"}).to_string(), "RL-405"),
        (json!({"type": "ready"}).to_string(), "RL-405"),
        (json!({"type": "unheard-of"}).to_string(), "RL-405"),
        ("no JSON".to_owned(), "RL-405"),
        (with("destination_token", json!("forged")), "RL-204"),
        (with("destination_token", signed(json!({"destination": "vip"}), other_secret)), "RL-204"),
        (with("destination_token", signed(json!({"destination": "nowhere"}), SIGNING_SECRET)), "RL-204"),
        // The trunk of another merchant, and an address that adds a header.
        (with("destination_token", signed(json!({"destination": "1", "trunk": "pstn"}), SIGNING_SECRET)), "RL-204"),
        (
            with("destination_token", signed(json!({"destination": "sip:1@x?a=b", "trunk": "pbx"}), SIGNING_SECRET)),
            "RL-204",
        ),
    ];
    for (number, (hello, code)) in table.into_iter().enumerate() {
        let mut visitor = app.visitor_from(&format!("198.51.100.{number}")).await;
        visitor.send(Message::text(hello.clone())).await;
        assert_eq!(visitor.ended().await, (EndReason::Refused, Some(code)), "{hello}");
    }
    let (_, calls) = app.rest(reqwest::Method::GET, "/v1/calls", super::harness::OPERATOR, None).await;
    assert_eq!(calls["items"], json!([]));
}

#[tokio::test]
async fn a_token_for_a_link_that_is_gone_is_refused() {
    let app = TestApp::start().await;
    let hello = app.hello().await;
    let path = "/v1/merchants/acme/links/sales";
    app.rest(reqwest::Method::DELETE, path, super::harness::OPERATOR, None).await;
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    assert_eq!(visitor.ended().await, (EndReason::Refused, Some("RL-202")));
}

#[tokio::test]
async fn a_panel_made_for_one_origin_serves_no_other() {
    let app = TestApp::builder()
        .configure(|config| config.seed.merchants[0].origins.push("https://second.example".parse().unwrap()))
        .start()
        .await;
    let page = app.panel("acme", "sales", Some("https://second.example/")).await.text().await.unwrap();
    let mut hello = app.hello().await;
    hello["token"] = json!(super::harness::attribute(&page, "data-token"));
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    assert_eq!(visitor.ended().await, (EndReason::Refused, Some("RL-203")));
}

#[tokio::test]
async fn a_merchants_token_names_the_destination_or_an_address_on_the_merchants_trunk() {
    let mut app = TestApp::start().await;
    let table = [
        (json!({"destination": "vip", "customer": "signed-1"}), "2002", "vip"),
        (json!({"destination": "+4312345", "trunk": "pbx"}), "+4312345", "signed"),
    ];
    for (claims, dialled, destination) in table {
        let mut hello = app.hello().await;
        hello["destination_token"] = json!(destination_token(&claims, SIGNING_SECRET));
        let mut visitor = app.visitor().await;
        visitor.say(&hello).await;
        let VisitorEvent::Welcome { call, .. } = visitor.event().await else { panic!("no welcome") };
        let call: protocol::CallId = call.as_str().into();
        visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
        visitor.request(&VisitorRequest::Ready {}).await;
        assert!(matches!(app.gateway.command().await, Command::Offer { .. }));
        app.gateway.say(Event::Answer { call: call.clone(), sdp: "answer".to_owned() }).await;
        let Command::Dial { address, .. } = app.gateway.command().await else { panic!("no dial") };
        assert_eq!(address, dialled);
        visitor.request(&VisitorRequest::Hangup {}).await;
        assert_eq!(visitor.ended().await, (EndReason::Cancelled, None));
        assert!(matches!(app.gateway.command().await, Command::Release { .. }));
        app.gateway.say(closed(&call)).await;
        let record = app.record(&call).await;
        assert_eq!(record.destination.as_str(), destination);
        assert_eq!(record.customer.as_deref(), claims["customer"].as_str().or(Some("c-1")));
    }
}

#[tokio::test]
async fn one_address_starts_so_many_calls_a_minute_and_others_are_not_disturbed() {
    let limits = Limits { calls_per_address_per_minute: 2, ..Limits::default() };
    let app = TestApp::builder().limits(limits).start().await;
    let hello = app.hello().await;
    let mut kept = Vec::new();
    for (client, welcome) in [("192.0.2.1", true), ("192.0.2.1", true), ("192.0.2.1", false), ("192.0.2.2", true)] {
        // The first entry is the client's own claim and changes nothing.
        let mut visitor = app.visitor_from(&format!("192.0.2.99, {client}")).await;
        visitor.say(&hello).await;
        match welcome {
            true => assert!(matches!(visitor.event().await, VisitorEvent::Welcome { .. })),
            false => assert_eq!(visitor.ended().await, (EndReason::Refused, Some("RL-205"))),
        }
        kept.push(visitor);
    }
}

#[tokio::test]
async fn a_merchant_has_so_many_calls_at_once_and_a_place_comes_free_when_a_call_ends() {
    let limits = Limits { calls_per_merchant: 1, ..Limits::default() };
    let app = TestApp::builder().limits(limits).start().await;
    let (mut first, call) = app.welcomed().await;
    let mut second = app.visitor().await;
    second.say(&app.hello().await).await;
    assert_eq!(second.ended().await, (EndReason::Refused, Some("RL-205")));
    first.request(&VisitorRequest::Hangup {}).await;
    first.ended().await;
    app.record(&call).await;
    app.welcomed().await;
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_open_the_visitors_socket() {
    let app = TestApp::start().await;
    for origin in [None, Some("https://evil.example"), Some(SHOP), Some("null")] {
        let mut request = app.socket_request("/ws/visitor");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let Err(tungstenite::Error::Http(response)) = Client::connect(request).await.map(drop) else {
            panic!("{origin:?} got in")
        };
        let problem: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
        assert_eq!((response.status().as_u16(), &problem["code"]), (403, &json!("forbidden")));
        assert!(problem["cure"].as_str().unwrap().contains(PUBLIC));
    }
}

#[tokio::test]
async fn an_unreadable_message_ends_the_socket_and_an_unknown_one_does_not() {
    let app = TestApp::start().await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.say(&json!({"type": "from-the-future", "x": 1})).await;
    visitor.say(&json!({"type": "candidate"})).await;
    let VisitorEvent::Error { code, .. } = visitor.event().await else { panic!("no error") };
    assert_eq!(code.word(), "RL-405");
    assert_eq!(visitor.text().await, None);
    assert_eq!(app.record(&call).await.reason, Some(EndReason::VisitorGone));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_call() {
    let app = TestApp::start().await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "x".repeat(MAX_MESSAGE_BYTES), quality: None }).await;
    assert_eq!(visitor.text().await, None);
    assert_eq!(app.record(&call).await.reason, Some(EndReason::VisitorGone));
}

#[tokio::test]
async fn who_says_no_hello_is_sent_away() {
    let app = TestApp::start().await;
    let mut visitor = app.visitor().await;
    assert_eq!(visitor.ended().await, (EndReason::Refused, Some("RL-405")));
}

fn destination_token(claims: &Value, secret: &str) -> String {
    let mut claims = claims.clone();
    claims["exp"] = json!(get_current_timestamp() + 60);
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}
