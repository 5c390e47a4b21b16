//! An answered call over page loads, as browsers see it: tokens, duplicated tabs, pages that come too late.

use super::harness::{Client, SHOP, TestApp, closed, eventually};
use crate::Limits;
use protocol::CallId;
use protocol::error::ErrorCode;
use protocol::gateway::{Command, Event};
use protocol::visitor::{CallState, EndReason, Quality, VisitorEvent, VisitorRequest};
use serde_json::{Value, json};
use switchboard::MAX_REPLAY;

/// A visitor in an answered call, and the token for the next page.
pub(super) async fn in_call(app: &mut TestApp) -> (Client, CallId, String) {
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    visitor.request(&VisitorRequest::Ready {}).await;
    assert!(matches!(app.gateway.command().await, Command::Offer { .. }));
    assert!(matches!(app.gateway.command().await, Command::Dial { .. }));
    app.gateway.say(Event::Answer { call: call.clone(), sdp: "answer".to_owned() }).await;
    app.gateway.say(Event::MediaUp { call: call.clone() }).await;
    app.gateway.say(Event::Answered { call: call.clone() }).await;
    let token = token(&mut visitor).await;
    (visitor, call, token)
}

/// Skips to the next `resume`.
async fn token(visitor: &mut Client) -> String {
    loop {
        if let VisitorEvent::Resume { token } = visitor.event().await {
            return token;
        }
    }
}

pub(super) async fn resumes(app: &TestApp, token: &str, more: &Value) -> Client {
    let mut hello = app.hello().await;
    hello["resume"] = json!(token);
    for (key, value) in more.as_object().into_iter().flatten() {
        hello[key] = value.clone();
    }
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    visitor
}

/// Expects the call, and gives back the token that comes with it.
pub(super) async fn resumed(visitor: &mut Client, call: &CallId) -> String {
    let VisitorEvent::Welcome { call: welcomed, .. } = visitor.event().await else { panic!("no welcome") };
    assert_eq!(welcomed, call.to_string());
    let event = visitor.event().await;
    assert!(matches!(event, VisitorEvent::Resumed { state: CallState::Answered, .. }), "{event:?}");
    token(visitor).await
}

async fn elsewhere(visitor: &mut Client) {
    let event = visitor.event().await;
    assert!(matches!(event, VisitorEvent::Error { code: ErrorCode::CallElsewhere, .. }), "{event:?}");
    assert_eq!(visitor.text().await, None, "the socket closes");
}

#[tokio::test]
async fn a_call_goes_from_page_to_page_and_stays_one_call_with_one_record() {
    let limits = Limits { calls_per_address_per_minute: 1, calls_per_merchant: 1, ..Limits::default() };
    let mut app = TestApp::builder().limits(limits).start().await;
    let (mut visitor, call, mut token) = in_call(&mut app).await;
    for page in 0..3 {
        visitor.leave().await;
        assert_eq!(app.gateway.command().await, Command::VisitorAway { call: call.clone() });
        visitor = resumes(&app, &token, &Value::Null).await;
        let next = resumed(&mut visitor, &call).await;
        assert_ne!(std::mem::replace(&mut token, next), token);
        visitor.request(&VisitorRequest::Offer { sdp: format!("offer {page}"), quality: None }).await;
        visitor.request(&VisitorRequest::Ready {}).await;
        let offer = Command::Offer { call: call.clone(), sdp: format!("offer {page}"), quality: Quality::Standard };
        assert_eq!(app.gateway.command().await, offer);
        app.gateway.say(Event::Answer { call: call.clone(), sdp: "answer".to_owned() }).await;
        assert_eq!(visitor.event().await, VisitorEvent::Answer { sdp: "answer".to_owned() });
        app.gateway.say(Event::MediaUp { call: call.clone() }).await;
    }
    visitor.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(visitor.ended().await, (EndReason::VisitorHungUp, None));
    assert!(matches!(app.gateway.command().await, Command::Release { .. }));
    app.gateway.say(closed(&call)).await;
    assert_eq!(app.record(&call).await.reason, Some(EndReason::VisitorHungUp));
    let (_, calls) = app.rest(reqwest::Method::GET, "/v1/calls", super::harness::OPERATOR, None).await;
    assert_eq!(calls["items"].as_array().map(Vec::len), Some(1), "{calls}");
    let mut late = resumes(&app, &token, &Value::Null).await;
    assert_eq!(late.ended().await, (EndReason::VisitorGone, Some("RL-309")));
}

#[tokio::test]
async fn a_duplicated_tab_is_refused_and_may_move_the_call() {
    let mut app = TestApp::start().await;
    let (mut visitor, call, token) = in_call(&mut app).await;
    // Reading, the first tab answers pings as a browser does.
    let first = tokio::spawn(async move {
        elsewhere(&mut visitor).await;
    });
    elsewhere(&mut resumes(&app, &token, &Value::Null).await).await;
    let mut second = resumes(&app, &token, &json!({"takeover": true})).await;
    resumed(&mut second, &call).await;
    first.await.unwrap();
    second.request(&VisitorRequest::Offer { sdp: "second".to_owned(), quality: None }).await;
    assert_eq!(
        app.gateway.command().await,
        Command::Offer { call, sdp: "second".to_owned(), quality: Quality::Standard }
    );
}

#[tokio::test]
async fn a_page_that_does_not_answer_loses_the_call_to_the_one_that_asks_for_it() {
    let mut app = TestApp::start().await;
    let (silent, call, token) = in_call(&mut app).await;
    let mut next = resumes(&app, &token, &Value::Null).await;
    resumed(&mut next, &call).await;
    drop(silent);
}

#[tokio::test]
async fn a_token_is_worth_nothing_elsewhere_or_a_second_time() {
    let mut app = TestApp::start().await;
    let (visitor, call, token) = in_call(&mut app).await;
    visitor.leave().await;
    assert!(matches!(app.gateway.command().await, Command::VisitorAway { .. }));
    let panel = app.token().await;
    for (token, more) in [
        (token.as_str(), json!({"origin": "https://other.example"})),
        (token.as_str(), json!({"origin": "null"})),
        (panel.as_str(), Value::Null),
        ("forged", Value::Null),
    ] {
        let mut stranger = resumes(&app, token, &more).await;
        assert_eq!(stranger.ended().await, (EndReason::VisitorGone, Some("RL-309")), "{token} {more}");
    }
    let mut next = resumes(&app, &token, &json!({"origin": SHOP})).await;
    resumed(&mut next, &call).await;
    next.request(&VisitorRequest::Ready {}).await;
    next.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert!(matches!(app.gateway.command().await, Command::Offer { .. }));
    let mut again = resumes(&app, &token, &Value::Null).await;
    assert_eq!(again.ended().await, (EndReason::VisitorGone, Some("RL-309")));
}

async fn comes_back(app: &TestApp, session: &str, seen: u32, more: &Value) -> Client {
    let mut hello = app.hello().await;
    hello["session"] = json!(session);
    hello["seen"] = json!(seen);
    for (key, value) in more.as_object().into_iter().flatten() {
        hello[key] = value.clone();
    }
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    visitor
}

#[tokio::test]
async fn a_page_whose_socket_breaks_goes_on_over_the_next_one_and_misses_nothing() {
    let limits = Limits { calls_per_address_per_minute: 1, calls_per_merchant: 1, ..Limits::default() };
    let mut app = TestApp::builder().limits(limits).start().await;
    let (visitor, call, _) = in_call(&mut app).await;
    let session = visitor.session.clone().expect("a session");
    // As networks go.
    drop(visitor);
    let key =
        |digit| Event::Digit { call: call.clone(), from: protocol::gateway::Side::Agent, digit, duration_ms: 100 };
    app.gateway.say(key('1')).await;
    app.gateway.say(key('2')).await;
    // It has seen welcome, session, dialing, answer, answered and token.
    let mut visitor = comes_back(&app, &session, 6, &Value::Null).await;
    assert_eq!(visitor.event().await, VisitorEvent::Reconnected { received: Some(2), sent: 6 });
    for digit in ["1", "2"] {
        assert_eq!(visitor.event().await, VisitorEvent::Digit { digit: digit.to_owned(), duration_ms: 100 });
    }
    visitor.request(&VisitorRequest::Ping { seen: 8 }).await;
    assert_eq!(visitor.event().await, VisitorEvent::Pong { received: 2 });
    // The server believes in this socket when the next one comes.
    let mut next = comes_back(&app, &session, 4, &Value::Null).await;
    assert_eq!(visitor.text().await, None);
    let VisitorEvent::Reconnected { received: Some(2), sent: 8 } = next.event().await else {
        panic!("not as it stands")
    };
    assert_eq!(next.event().await, VisitorEvent::State { state: CallState::Answered });
    token(&mut next).await;
    next.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(next.ended().await, (EndReason::VisitorHungUp, None));
    assert!(matches!(app.gateway.command().await, Command::Release { .. }), "the far end noticed nothing");
}

#[tokio::test]
async fn a_page_is_told_all_that_is_kept_for_it_at_once() {
    let mut app = TestApp::start().await;
    let (visitor, call, _) = in_call(&mut app).await;
    let session = visitor.session.clone().expect("a session");
    drop(visitor);
    let key = Event::Digit { call, from: protocol::gateway::Side::Agent, digit: '5', duration_ms: 100 };
    for _ in 0..MAX_REPLAY {
        app.gateway.say(key.clone()).await;
    }
    // What was said last has come to the hub before the page comes back.
    eventually("the keys are kept", async || {
        (app.gateway.events.capacity() == app.gateway.events.max_capacity()).then_some(())
    })
    .await;
    let mut visitor = comes_back(&app, &session, 6, &Value::Null).await;
    assert_eq!(visitor.event().await, VisitorEvent::Reconnected { received: Some(2), sent: 6 });
    for _ in 0..MAX_REPLAY {
        assert_eq!(visitor.event().await, VisitorEvent::Digit { digit: "5".to_owned(), duration_ms: 100 });
    }
    visitor.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(visitor.ended().await, (EndReason::VisitorHungUp, None));
}

#[tokio::test]
async fn a_call_that_is_not_answered_outlives_a_socket_that_breaks() {
    let app = TestApp::start().await;
    let (visitor, call) = app.welcomed().await;
    let session = visitor.session.clone();
    drop(visitor);
    let mut visitor = comes_back(&app, &session.expect("a session"), 2, &Value::Null).await;
    assert_eq!(visitor.event().await, VisitorEvent::Reconnected { received: Some(0), sent: 2 });
    visitor.leave().await;
    assert_eq!(app.record(&call).await.reason, Some(EndReason::VisitorGone));
}

#[tokio::test]
async fn a_session_is_worth_nothing_elsewhere_or_as_a_token_for_another_page() {
    let mut app = TestApp::start().await;
    let (visitor, _call, resume) = in_call(&mut app).await;
    let session = visitor.session.clone().expect("a session");
    for (token, more) in [
        (session.as_str(), json!({"origin": "https://other.example"})),
        (session.as_str(), json!({"origin": "null"})),
        (resume.as_str(), Value::Null),
        ("forged", Value::Null),
    ] {
        let mut stranger = comes_back(&app, token, 0, &more).await;
        assert_eq!(stranger.ended().await, (EndReason::VisitorGone, Some("RL-309")), "{token} {more}");
    }
    let mut thief = resumes(&app, &session, &Value::Null).await;
    assert_eq!(thief.ended().await, (EndReason::VisitorGone, Some("RL-309")));
}
