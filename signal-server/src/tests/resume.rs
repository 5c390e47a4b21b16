//! An answered call over page loads, as browsers see it: tokens, duplicated tabs, pages that come too late.

use super::harness::{Client, SHOP, TestApp, closed};
use crate::Limits;
use protocol::CallId;
use protocol::error::ErrorCode;
use protocol::gateway::{Command, Event};
use protocol::visitor::{CallState, EndReason, VisitorEvent, VisitorRequest};
use serde_json::{Value, json};

/// A visitor in an answered call, and the token for the next page.
pub(super) async fn in_call(app: &mut TestApp) -> (Client, CallId, String) {
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned() }).await;
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
        drop(visitor);
        assert_eq!(app.gateway.command().await, Command::VisitorAway { call: call.clone() });
        visitor = resumes(&app, &token, &Value::Null).await;
        let next = resumed(&mut visitor, &call).await;
        assert_ne!(std::mem::replace(&mut token, next), token);
        visitor.request(&VisitorRequest::Offer { sdp: format!("offer {page}") }).await;
        visitor.request(&VisitorRequest::Ready {}).await;
        let offer = Command::Offer { call: call.clone(), sdp: format!("offer {page}") };
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
    second.request(&VisitorRequest::Offer { sdp: "second".to_owned() }).await;
    assert_eq!(app.gateway.command().await, Command::Offer { call, sdp: "second".to_owned() });
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
    drop(visitor);
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
    next.request(&VisitorRequest::Offer { sdp: "offer".to_owned() }).await;
    assert!(matches!(app.gateway.command().await, Command::Offer { .. }));
    let mut again = resumes(&app, &token, &Value::Null).await;
    assert_eq!(again.ended().await, (EndReason::VisitorGone, Some("RL-309")));
}
