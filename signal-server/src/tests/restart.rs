//! Servers that are killed or stopped while calls run on gateways elsewhere, and the next one that goes on with them.

use super::gateways::{command, connect, say};
use super::harness::{Client, GATEWAY_SECRET, SHOP, TestApp, closed, eventually, registered};
use crate::store::Store;
use protocol::CallId;
use protocol::gateway::{Carried, Command, Event, Side, TrunkLeg};
use protocol::rest::Call;
use protocol::visitor::{CallState, EndReason, Quality, VisitorEvent, VisitorRequest};
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;

async fn remote(app: &TestApp, calls: Vec<Carried>) -> Client {
    let mut gateway = connect(app, GATEWAY_SECRET).await.unwrap();
    let Event::Registered { version, gateway: name, capacity, trunks, .. } = registered("far-away") else { panic!() };
    say(&mut gateway, &Event::Registered { version, gateway: name, capacity, trunks, calls }).await;
    app.gateways(1).await;
    gateway
}

fn carried(call: &CallId) -> Carried {
    Carried { call: call.clone(), far_end: TrunkLeg::Answered, media_up: true, away: false }
}

/// A server with a gateway elsewhere, and an answered call on it with its newest token.
async fn in_call(app: &TestApp) -> (Client, Client, CallId, String) {
    let mut gateway = remote(app, Vec::new()).await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    visitor.request(&VisitorRequest::Ready {}).await;
    assert!(matches!(command(&mut gateway).await, Command::Offer { .. }));
    assert!(matches!(command(&mut gateway).await, Command::Dial { .. }));
    say(&mut gateway, &Event::Answer { call: call.clone(), sdp: "answer".to_owned() }).await;
    say(&mut gateway, &Event::MediaUp { call: call.clone() }).await;
    say(&mut gateway, &Event::Answered { call: call.clone() }).await;
    loop {
        if let VisitorEvent::Resume { token } = visitor.event().await {
            return (visitor, gateway, call, token);
        }
    }
}

/// The database as a server finds it that starts after this one was killed now: once that tells of the answer.
async fn killed(app: &TestApp, call: &CallId) -> TempDir {
    let database = app.folder.path().join("ringlet.sqlite");
    let store = Store::open(&database).await.unwrap();
    eventually("the token is written", async || {
        let open = store.open_calls(crate::store::Millis::now()).await.unwrap();
        open.into_iter().find(|it| it.call == *call && it.restored.epoch.0 == 1)
    })
    .await;
    let copy = TempDir::new().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("ringlet.sqlite{suffix}");
        std::fs::copy(app.folder.path().join(&name), copy.path().join(&name)).unwrap();
    }
    copy
}

async fn resumes(app: &TestApp, token: &str) -> Client {
    let mut hello = app.hello().await;
    (hello["resume"], hello["origin"]) = (json!(token), json!(SHOP));
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    visitor
}

#[tokio::test]
async fn the_next_server_goes_on_with_the_calls_of_one_that_was_killed() {
    let first = TestApp::builder().no_gateway().start().await;
    let (_visitor, _gateway, call, token) = in_call(&first).await;
    let folder = killed(&first, &call).await;

    let app = TestApp::builder().no_gateway().folder(folder).start().await;
    let mut visitor = resumes(&app, &token).await;
    assert!(matches!(visitor.event().await, VisitorEvent::Welcome { .. }));
    let event = visitor.event().await;
    assert!(matches!(event, VisitorEvent::Resumed { state: CallState::Answered, .. }), "{event:?}");
    visitor.request(&VisitorRequest::Offer { sdp: "next".to_owned(), quality: None }).await;
    let mut gateway = remote(&app, vec![carried(&call)]).await;
    // Whether the earlier page's audio went as frames is not known.
    assert_eq!(command(&mut gateway).await, Command::Frames { call: call.clone(), codec: None });
    assert_eq!(
        command(&mut gateway).await,
        Command::Offer { call: call.clone(), sdp: "next".to_owned(), quality: Quality::Standard }
    );
    say(&mut gateway, &Event::Digit { call: call.clone(), from: Side::Agent, digit: '7', duration_ms: 80 }).await;
    loop {
        if let VisitorEvent::Digit { digit, .. } = visitor.event().await {
            assert_eq!(digit, "7");
            break;
        }
    }
    visitor.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(visitor.ended().await, (EndReason::VisitorHungUp, None));
    assert!(matches!(command(&mut gateway).await, Command::Release { .. }));
    say(&mut gateway, &closed(&call)).await;
    let record = app.record(&call).await;
    assert_eq!(record.reason, Some(EndReason::VisitorHungUp));
    let times = [Some(record.started_at), record.dialed_at, record.answered_at, record.ended_at];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{record:?}");
    assert_eq!(record.stats.map(|stats| stats.visitor_packets), Some(500));
}

#[tokio::test]
async fn the_next_server_gives_the_call_to_the_browser_alone_that_has_its_certificate() {
    let fingerprint = format!("sha-256 {}", ["4A"; 32].join(":"));
    let first = TestApp::builder().no_gateway().start().await;
    let (mut visitor, mut gateway, call, token) = in_call(&first).await;
    visitor.request(&VisitorRequest::Next { fingerprint: fingerprint.clone() }).await;
    assert!(matches!(command(&mut gateway).await, Command::Prepare { .. }));
    let store = Store::open(&first.folder.path().join("ringlet.sqlite")).await.unwrap();
    eventually("the certificate is written", async || {
        let open = store.open_calls(crate::store::Millis::now()).await.unwrap();
        open.into_iter().find(|it| it.call == call && it.restored.certificates == [fingerprint.as_str()])
    })
    .await;
    let folder = killed(&first, &call).await;

    let app = TestApp::builder().no_gateway().folder(folder).start().await;
    let mut thief = resumes(&app, &token).await;
    assert_eq!(thief.ended().await, (EndReason::VisitorGone, Some("RL-309")));
    let mut hello = app.hello().await;
    (hello["resume"], hello["origin"], hello["fingerprint"]) = (json!(token), json!(SHOP), json!(fingerprint));
    let mut next = app.visitor().await;
    next.say(&hello).await;
    assert!(matches!(next.event().await, VisitorEvent::Welcome { .. }));
}

#[tokio::test]
async fn a_call_that_no_gateway_claims_ends_as_gateway_gone() {
    let first = TestApp::builder().no_gateway().start().await;
    let (_visitor, _gateway, call, token) = in_call(&first).await;
    let folder = killed(&first, &call).await;
    let brief = Duration::from_secs(3);
    let app = TestApp::builder().no_gateway().folder(folder).configure(|it| it.deadlines.gateway = brief).start().await;
    let mut visitor = resumes(&app, &token).await;
    assert_eq!(visitor.ended().await, (EndReason::GatewayGone, Some("RL-401")));
    assert_eq!(app.record(&call).await.reason, Some(EndReason::GatewayGone));
}

#[tokio::test]
async fn a_call_whose_server_is_killed_before_the_answer_is_rung_and_answered_with_the_next() {
    let first = TestApp::builder().no_gateway().start().await;
    let mut gateway = remote(&first, Vec::new()).await;
    let (mut visitor, call) = first.welcomed().await;
    let token = visitor.session.clone().unwrap();
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert!(matches!(command(&mut gateway).await, Command::Offer { .. }));
    let store = Store::open(&first.folder.path().join("ringlet.sqlite")).await.unwrap();
    eventually("the gateway is written", async || store.call(&call).await.unwrap().and_then(|it| it.gateway)).await;
    let copy = TempDir::new().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("ringlet.sqlite{suffix}");
        std::fs::copy(first.folder.path().join(&name), copy.path().join(&name)).unwrap();
    }

    let app = TestApp::builder().no_gateway().folder(copy).start().await;
    let mut gateway = remote(&app, vec![Carried { far_end: TrunkLeg::Idle, ..carried(&call) }]).await;
    assert_eq!(command(&mut gateway).await, Command::Frames { call: call.clone(), codec: None });
    let mut hello = app.hello().await;
    (hello["session"], hello["seen"], hello["origin"]) = (json!(token), json!(2), json!(SHOP));
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    let event = visitor.event().await;
    assert!(matches!(event, VisitorEvent::Reconnected { received: None, .. }), "{event:?}");
    visitor.request(&VisitorRequest::Ready {}).await;
    assert!(matches!(command(&mut gateway).await, Command::Dial { .. }));
    say(&mut gateway, &Event::Answered { call: call.clone() }).await;
    while !matches!(visitor.event().await, VisitorEvent::State { state: CallState::Answered }) {}
    visitor.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(visitor.ended().await, (EndReason::VisitorHungUp, None));
    say(&mut gateway, &closed(&call)).await;
    let record: Call = app.record(&call).await;
    let times = [Some(record.started_at), record.dialed_at, record.answered_at, record.ended_at];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{record:?}");
}

#[tokio::test]
async fn a_server_that_is_stopped_leaves_the_calls_on_gateways_elsewhere_to_the_next() {
    let first =
        TestApp::builder().no_gateway().configure(|it| it.deadlines.drain = Duration::from_secs(600)).start().await;
    let (mut visitor, mut gateway, call, _) = in_call(&first).await;
    let folder = first.stop().await;
    assert_eq!(visitor.text().await, None, "the page is not told of an end");
    assert_eq!(gateway.text().await, None, "the gateway is told to go on");
    let app = TestApp::builder().no_gateway().folder(folder).start().await;
    let mut gateway = remote(&app, vec![carried(&call)]).await;
    assert_eq!(command(&mut gateway).await, Command::Frames { call: call.clone(), codec: None });
    say(&mut gateway, &Event::FarEndHungUp { call: call.clone() }).await;
    assert!(matches!(command(&mut gateway).await, Command::Release { .. }));
    say(&mut gateway, &closed(&call)).await;
    assert_eq!(app.record(&call).await.reason, Some(EndReason::AgentHungUp));
}

#[tokio::test]
async fn calls_go_on_over_a_gateways_broken_connection() {
    let app = TestApp::builder().no_gateway().start().await;
    let (mut visitor, gateway, call, _) = in_call(&app).await;
    drop(gateway);
    app.gateways(0).await;
    visitor.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(visitor.ended().await, (EndReason::VisitorHungUp, None));
    let mut gateway = remote(&app, vec![carried(&call)]).await;
    assert!(matches!(command(&mut gateway).await, Command::Release { .. }));
    say(&mut gateway, &closed(&call)).await;
    assert_eq!(app.record(&call).await.reason, Some(EndReason::VisitorHungUp));
}
