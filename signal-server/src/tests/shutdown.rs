//! The end of the server, and what the next one finds.

use super::harness::{OPERATOR, TestApp, closed};
use crate::store::Store;
use protocol::gateway::Command;
use protocol::visitor::{EndReason, VisitorRequest};
use reqwest::Method;
use std::time::Duration;

#[tokio::test]
async fn a_stopping_server_refuses_visitors_ends_its_calls_and_closes_their_records() {
    let mut app =
        TestApp::builder().configure(|config| config.deadlines.drain = Duration::from_millis(300)).start().await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    app.gateway.command().await;
    let mut late = app.visitor().await;
    let hello = app.hello().await;
    app.shutdown.cancel();
    late.say(&hello).await;
    assert_eq!(late.ended().await, (EndReason::ServerStopping, Some("RL-403")));
    assert_eq!(visitor.ended().await, (EndReason::ServerStopping, Some("RL-403")));
    assert!(matches!(app.gateway.command().await, Command::Release { .. }));
    app.gateway.say(closed(&call)).await;
    let folder = app.stop().await;

    let store = Store::open(&folder.path().join("ringlet.sqlite")).await.unwrap();
    let record = store.call(&call).await.unwrap().unwrap();
    assert_eq!(record.reason, Some(EndReason::ServerStopping));
    assert_eq!(record.stats.map(|it| it.visitor_packets), Some(500));
}

#[tokio::test]
async fn a_running_call_may_end_by_itself_while_the_server_stops() {
    let app = TestApp::builder().configure(|config| config.deadlines.drain = Duration::from_secs(600)).start().await;
    let (mut visitor, call) = app.welcomed().await;
    app.shutdown.cancel();
    visitor.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(visitor.ended().await, (EndReason::Cancelled, None));
    let folder = app.stop().await;
    let store = Store::open(&folder.path().join("ringlet.sqlite")).await.unwrap();
    assert_eq!(store.call(&call).await.unwrap().unwrap().reason, Some(EndReason::Cancelled));
}

#[tokio::test]
async fn a_gateway_that_never_confirms_holds_up_neither_the_end_nor_the_record() {
    let mut app = TestApp::builder().configure(|config| config.deadlines.drain = Duration::ZERO).start().await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    app.gateway.command().await;
    let folder = app.stop().await;
    let store = Store::open(&folder.path().join("ringlet.sqlite")).await.unwrap();
    let record = store.call(&call).await.unwrap().unwrap();
    assert_eq!((record.reason, record.stats), (Some(EndReason::ServerStopping), None));
}

#[tokio::test]
async fn the_next_server_knows_the_tokens_the_merchants_and_the_calls_of_the_last() {
    let app = TestApp::start().await;
    let hello = app.hello().await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Hangup {}).await;
    visitor.ended().await;
    app.record(&call).await;
    let body = serde_json::json!({"name": "Added", "origins": []});
    app.rest(Method::PUT, "/v1/merchants/added", OPERATOR, Some(body)).await;
    let folder = app.stop().await;

    let app = TestApp::builder()
        .folder(folder)
        .configure(|config| config.seed.merchants[0].name = "Renamed".to_owned())
        .start()
        .await;
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    let welcome = visitor.text().await.unwrap();
    assert!(welcome.contains("Renamed"), "{welcome}");
    assert_eq!(app.record(&call).await.reason, Some(EndReason::Cancelled));
    let (status, _) = app.rest(Method::GET, "/v1/merchants/added", OPERATOR, None).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_key_that_is_configured_no_more_opens_nothing() {
    let folder = TestApp::start().await.stop().await;
    let app = TestApp::builder()
        .folder(folder)
        .configure(|config| config.seed.api_keys.retain(|key| key.name != "operator"))
        .start()
        .await;
    assert_eq!(app.rest(Method::GET, "/v1/merchants", OPERATOR, None).await.0, 401);
}
