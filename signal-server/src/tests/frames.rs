//! Audio as frames through the server: between a visitor's socket and the gateway of this process, or one elsewhere.

use super::harness::{Client, TestApp};
use super::{gateways, resume};
use protocol::CallId;
use protocol::frame;
use protocol::gateway::{CallFrame, Command, Event};
use protocol::visitor::{FrameCodec, VisitorRequest};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

const ON: VisitorRequest = VisitorRequest::Frames { codec: Some(FrameCodec::G711) };

fn bytes(n: u8) -> Vec<u8> {
    vec![0, 0, n, 0, 0, 0, n, 0xFF]
}

/// A sign that everything before it has been read: the server answers it.
async fn settle(visitor: &mut Client) {
    visitor.request(&VisitorRequest::Ping { seen: 0 }).await;
    visitor.event().await;
}

#[tokio::test]
async fn frames_pass_between_the_page_that_has_the_call_and_the_gateway_of_the_process() {
    let mut app = TestApp::start().await;
    let (mut visitor, call, token) = resume::in_call(&mut app).await;
    let frame = |n| CallFrame { call: call.clone(), bytes: bytes(n) };
    visitor.send(Message::binary(bytes(1))).await;
    settle(&mut visitor).await;
    assert!(app.gateway.frames.try_recv().is_err(), "a frame that was not announced went through");
    visitor.request(&ON).await;
    assert_eq!(app.gateway.command().await, Command::Frames { call: call.clone(), codec: Some(FrameCodec::G711) });
    app.gateway.frames_out.send(frame(2)).await.unwrap();
    assert_eq!(visitor.binary().await, bytes(2));
    visitor.send(Message::binary(bytes(3))).await;
    assert_eq!(app.gateway.frames.recv().await, Some(frame(3)));

    visitor.leave().await;
    assert_eq!(app.gateway.command().await, Command::VisitorAway { call: call.clone() });
    let mut next = resume::resumes(&app, &token, &Value::Null).await;
    resume::resumed(&mut next, &call).await;
    assert_eq!(app.gateway.command().await, Command::Frames { call: call.clone(), codec: None });
    app.gateway.frames_out.send(frame(4)).await.unwrap();
    next.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    next.request(&ON).await;
    assert!(matches!(app.gateway.command().await, Command::Offer { .. }));
    assert!(matches!(app.gateway.command().await, Command::Frames { codec: Some(_), .. }));
    app.gateway.frames_out.send(frame(5)).await.unwrap();
    assert_eq!(next.binary().await, bytes(5), "frames of before are not for the new page");
}

#[tokio::test]
async fn frames_pass_to_a_gateway_elsewhere_with_the_calls_id_before_each() {
    let app = TestApp::builder().no_gateway().start().await;
    let mut gateway = gateways::registered_at(&app).await;
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    visitor.request(&ON).await;
    assert!(matches!(gateways::command(&mut gateway).await, Command::Offer { .. }));
    assert!(matches!(gateways::command(&mut gateway).await, Command::Frames { .. }));
    visitor.send(Message::binary(bytes(1))).await;
    let message = gateway.binary().await;
    assert_eq!(frame::read_addressed(&message), Ok((call.as_str(), bytes(1).as_slice())));
    let stranger = CallId::from("01STRANGER");
    for (call, n) in [(&stranger, 2), (&call, 3)] {
        let mut message = vec![0; 100];
        let length = frame::write_addressed(call.as_str(), &bytes(n), &mut message);
        message.truncate(length);
        gateway.send(Message::binary(message)).await;
    }
    assert_eq!(visitor.binary().await, bytes(3));
    gateway.send(Message::binary(vec![9; 3])).await;
    gateways::say(&mut gateway, &Event::Answer { call, sdp: "answer".to_owned() }).await;
    visitor.event().await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_closes_the_socket() {
    let mut app = TestApp::start().await;
    let (mut visitor, ..) = resume::in_call(&mut app).await;
    visitor.send(Message::binary(vec![0; frame::MAX_FRAME_BYTES + 1])).await;
    while visitor.text().await.is_some() {}
}
