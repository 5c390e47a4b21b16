//! Gateways: on other machines by WebSocket, and what their loss does to calls.

use super::harness::{Client, GATEWAY_SECRET, PUBLIC, TestApp, registered};
use protocol::gateway::{Command, Event};
use protocol::visitor::{EndReason, Quality, VisitorEvent, VisitorRequest};
use serde_json::Value;
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// How long calls wait for a gateway that will not come.
const BRIEF: Duration = Duration::from_millis(50);

pub(super) async fn connect(app: &TestApp, secret: &str) -> Result<Client, tungstenite::Error> {
    let mut request = app.socket_request("/ws/gateway");
    request.headers_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
    Client::connect(request).await
}

pub(super) async fn command(gateway: &mut Client) -> Command {
    serde_json::from_str(&gateway.text().await.expect("a command")).unwrap()
}

pub(super) async fn say(gateway: &mut Client, event: &Event) {
    gateway.say(&serde_json::to_value(event).unwrap()).await;
}

/// A gateway elsewhere.
pub(super) async fn registered_at(app: &TestApp) -> Client {
    let mut gateway = connect(app, GATEWAY_SECRET).await.unwrap();
    say(&mut gateway, &registered("far-away")).await;
    app.gateways(1).await;
    gateway
}

#[tokio::test]
async fn a_gateway_without_the_secret_does_not_get_in() {
    let app = TestApp::start().await;
    let refused = |result: Result<Client, tungstenite::Error>| match result.map(drop) {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(connect(&app, "wrong").await), 401);
    assert_eq!(refused(Client::connect(app.socket_request("/ws/gateway")).await), 401);
    // A browser has no business here, even if it knew the secret.
    let mut request = app.socket_request("/ws/gateway");
    request.headers_mut().insert("authorization", format!("Bearer {GATEWAY_SECRET}").parse().unwrap());
    request.headers_mut().insert("origin", PUBLIC.parse().unwrap());
    assert_eq!(refused(Client::connect(request).await), 401);

    let shut = TestApp::builder().configure(|config| config.gateway_secret = None).start().await;
    assert_eq!(refused(connect(&shut, "").await), 401);
}

#[tokio::test]
async fn a_call_on_a_remote_gateway_ends_when_the_gateway_does_not_come_back() {
    let app = TestApp::builder().no_gateway().configure(|config| config.deadlines.gateway = BRIEF).start().await;
    let mut gateway = connect(&app, GATEWAY_SECRET).await.unwrap();
    say(&mut gateway, &registered("far-away")).await;
    app.gateways(1).await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert_eq!(
        command(&mut gateway).await,
        Command::Offer { call: call.clone(), sdp: "offer".to_owned(), quality: Quality::Standard }
    );
    say(&mut gateway, &Event::Answer { call: call.clone(), sdp: "answer".to_owned() }).await;
    assert_eq!(visitor.event().await, VisitorEvent::Answer { sdp: "answer".to_owned() });
    drop(gateway);
    assert_eq!(visitor.ended().await, (EndReason::GatewayGone, Some("RL-401")));
    assert_eq!(app.record(&call).await.reason, Some(EndReason::GatewayGone));
    app.gateways(0).await;
}

#[tokio::test]
async fn a_gateway_that_connects_anew_takes_its_name_over() {
    let app = TestApp::builder().no_gateway().start().await;
    let mut old = connect(&app, GATEWAY_SECRET).await.unwrap();
    say(&mut old, &registered("same")).await;
    app.gateways(1).await;
    let mut new = connect(&app, GATEWAY_SECRET).await.unwrap();
    say(&mut new, &registered("same")).await;
    assert_eq!(old.text().await, None, "the old connection is closed");
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert_eq!(command(&mut new).await, Command::Offer { call, sdp: "offer".to_owned(), quality: Quality::Standard });
}

#[tokio::test]
async fn a_gateway_that_speaks_another_version_is_sent_away() {
    let app = TestApp::builder().no_gateway().start().await;
    let mut gateway = connect(&app, GATEWAY_SECRET).await.unwrap();
    let mut first: Value = serde_json::to_value(registered("new")).unwrap();
    first["version"] = 99.into();
    gateway.say(&first).await;
    assert_eq!(gateway.text().await, None);
}

#[tokio::test]
async fn a_call_without_any_gateway_ends_as_no_capacity() {
    let app = TestApp::builder().no_gateway().start().await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert_eq!(visitor.ended().await, (EndReason::NoCapacity, Some("RL-402")));
    assert_eq!(app.record(&call).await.reason, Some(EndReason::NoCapacity));
}

#[tokio::test]
async fn the_loss_of_the_gateway_in_the_process_ends_its_calls() {
    let mut app = TestApp::builder().configure(|config| config.deadlines.gateway = BRIEF).start().await;
    let (mut visitor, _) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    app.gateway.command().await;
    let (events, _) = tokio::sync::mpsc::channel(1);
    app.gateway.events = events;
    assert_eq!(visitor.ended().await, (EndReason::GatewayGone, Some("RL-401")));
    app.gateways(0).await;
}
