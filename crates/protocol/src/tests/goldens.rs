//! Every kind of message as JSON, to be judged by eye: what another version of a peer sends must stay readable.

use super::assert_fresh;
use super::readers::{Json, written};
use crate::error::ErrorCode;
use crate::gateway::{CallStats, Carried, Command, Event, Failure, Side, Tone, TrunkLeg};
use crate::settings::{By, Change, EchoLayer};
use crate::visitor::{CallState, EndReason, FrameCodec, Quality, Transport, VisitorEvent, VisitorRequest};
use crate::{CallId, GatewayId, TrunkName, VariantShape};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Debug;

const CALL: &str = "01JD4ZT8E4X6Q7M2B9K3R5V1HC";
const FINGERPRINT: &str =
    "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF";

pub(super) fn visitor_requests() -> Vec<VisitorRequest> {
    let mut requests = vec![
        VisitorRequest::Hello {
            version: 1,
            token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned(),
            origin: "https://shop.example".to_owned(),
            page: Some("https://shop.example/shoes".to_owned()),
            customer: Some("4711".to_owned()),
            destination_token: Some("eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned()),
            resume: None,
            takeover: None,
            session: None,
            seen: None,
            fingerprint: None,
        },
        VisitorRequest::Hello {
            version: u32::MAX,
            token: String::new(),
            origin: "null".to_owned(),
            page: None,
            customer: None,
            destination_token: None,
            resume: Some("eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned()),
            takeover: Some(true),
            session: None,
            seen: None,
            fingerprint: Some(FINGERPRINT.to_owned()),
        },
        VisitorRequest::Hello {
            version: 1,
            token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned(),
            origin: "https://shop.example".to_owned(),
            page: None,
            customer: None,
            destination_token: None,
            resume: None,
            takeover: None,
            session: Some("eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned()),
            seen: Some(17),
            fingerprint: None,
        },
        VisitorRequest::Offer { sdp: "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n".to_owned(), quality: Some(Quality::Best) },
        VisitorRequest::Candidate {
            candidate: "candidate:1 1 udp 2122260223 192.0.2.1 54400 typ host generation 0".to_owned(),
        },
        VisitorRequest::Candidate { candidate: String::new() },
        VisitorRequest::Ready {},
        VisitorRequest::Frames { codec: Some(FrameCodec::G711) },
        VisitorRequest::Frames { codec: None },
        VisitorRequest::Keys { digits: "*76#".to_owned() },
        VisitorRequest::Heard { digit: "#".to_owned() },
        VisitorRequest::Hangup {},
        VisitorRequest::Failed {
            code: ErrorCode::MicrophoneDenied,
            detail: Some("NotAllowedError: \"Permission denied\" \u{2014} \u{1F3A4}".to_owned()),
        },
        VisitorRequest::Failed { code: ErrorCode::BrowserTooOld, detail: None },
        VisitorRequest::Ping { seen: 17 },
    ];
    requests.extend(reports());
    requests
}

/// What the panel says of pages and settings from afar.
fn reports() -> Vec<VisitorRequest> {
    vec![
        VisitorRequest::Next { fingerprint: FINGERPRINT.to_owned() },
        VisitorRequest::Shown { done: true },
        VisitorRequest::Settings {
            microphone_db: Some(-4),
            muted: Some(false),
            speaker_db: Some(8),
            echo: Some(EchoLayer::Suppressor),
            noise_suppression: Some(true),
            input_device: Some("Built-in Microphone".to_owned()),
            output_device: Some("Headset (Höfer)".to_owned()),
            input_devices: Some("Built-in Microphone\nHeadset (Höfer)".to_owned()),
            output_devices: Some("Headset (Höfer)".to_owned()),
            quality_test: Some(false),
            quality_score: Some(4),
            round_trip_ms: Some(84),
            jitter_ms: Some(7),
            said_lost_percent: Some(0),
            heard_lost_percent: Some(2),
            concealed_percent: Some(3),
            refused: None,
        },
        VisitorRequest::Settings {
            microphone_db: None,
            muted: None,
            speaker_db: None,
            echo: None,
            noise_suppression: None,
            input_device: None,
            output_device: None,
            input_devices: None,
            output_devices: None,
            quality_test: None,
            quality_score: None,
            round_trip_ms: None,
            jitter_ms: None,
            said_lost_percent: None,
            heard_lost_percent: None,
            concealed_percent: None,
            refused: Some(true),
        },
    ]
}

pub(super) fn visitor_events() -> Vec<VisitorEvent> {
    let mut events = vec![
        VisitorEvent::Welcome {
            version: 1,
            call: CALL.to_owned(),
            merchant: "Schuh & Söhne".to_owned(),
            link: "Returns".to_owned(),
        },
        VisitorEvent::Answer { sdp: "v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\n".to_owned() },
        VisitorEvent::Resume { token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned() },
        VisitorEvent::Resumed { state: CallState::Answered, answered_ms: 83_500 },
        VisitorEvent::Digit { digit: "#".to_owned(), duration_ms: 120 },
        VisitorEvent::Prepared {
            fingerprint: FINGERPRINT.to_owned(),
            sdp: "v=0\r\no=- 3 1 IN IP4 192.0.2.2\r\n".to_owned(),
        },
        VisitorEvent::Page { url: "https://shop.example/returns?customer=4711".to_owned(), by: By::Agent },
        Change { speaker_db: Some(-8), ..Change::default() }.into_event(By::Agent),
        Change {
            microphone_db: Some(4),
            muted: Some(true),
            speaker_db: None,
            echo: Some(EchoLayer::Canceller),
            noise_suppression: Some(false),
            input_device: Some("Headset (Höfer)".to_owned()),
            output_device: Some("Headset (Höfer)".to_owned()),
            quality_test: Some(true),
        }
        .into_event(By::Desk),
        VisitorEvent::Error {
            code: ErrorCode::MessageInvalid,
            message: ErrorCode::MessageInvalid.shopper().to_owned(),
        },
        VisitorEvent::Session { token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned() },
        VisitorEvent::Reconnected { received: Some(9), sent: 17 },
        VisitorEvent::Reconnected { received: None, sent: 0 },
        VisitorEvent::Pong { received: 9 },
    ];
    events.extend(CallState::ALL.iter().map(|state| VisitorEvent::State { state: *state }));
    events.extend(Transport::ALL.iter().map(|transport| VisitorEvent::Transport { transport: *transport }));
    events.extend(EndReason::ALL.iter().map(|reason| VisitorEvent::Ended {
        reason: *reason,
        code: reason.code(),
        message: reason.shopper().to_owned(),
    }));
    events
}

fn commands() -> Vec<Command> {
    let call = CallId::from(CALL);
    let trunk = TrunkName::from("pstn");
    vec![
        Command::Offer { call: call.clone(), sdp: "v=0\r\n".to_owned(), quality: Quality::Saver },
        Command::Candidate { call: call.clone(), candidate: "candidate:1 1 udp 1 192.0.2.1 54400 typ host".to_owned() },
        Command::Dial {
            call: call.clone(),
            trunk: trunk.clone(),
            address: "+43123456".to_owned(),
            caller_name: Some("Web shop".to_owned()),
            headers: vec![("X-Ringlet-Page".to_owned(), "/shoes".to_owned())],
        },
        Command::Dial {
            call: call.clone(),
            trunk,
            address: "sip:1001@pbx.example;transport=tcp".to_owned(),
            caller_name: None,
            headers: Vec::new(),
        },
        Command::VisitorAway { call: call.clone() },
        Command::Prepare { call: call.clone(), fingerprint: FINGERPRINT.to_owned() },
        Command::Frames { call: call.clone(), codec: Some(FrameCodec::Opus) },
        Command::Frames { call: call.clone(), codec: None },
        Command::Press { call: call.clone(), digits: "*76#".to_owned() },
        Command::Release { call: call.clone(), why: EndReason::VisitorHungUp.word().to_owned() },
        Command::Tone { call: call.clone(), tone: Tone::Done },
        Command::Tone { call: call.clone(), tone: Tone::Refused },
        Command::Tone { call: call.clone(), tone: Tone::Scored(4) },
        Command::Echo { call, sdp: "v=0\r\n".to_owned() },
    ]
}

fn gateway_events() -> Vec<Event> {
    let call = || CallId::from(CALL);
    let detail = || "192.0.2.9:5060: connection refused".to_owned();
    let mut events = vec![
        Event::Registered {
            version: 2,
            gateway: GatewayId::from("gw-1"),
            capacity: 200,
            trunks: vec![TrunkName::from("pstn"), TrunkName::from("pbx")],
            calls: vec![
                Carried { call: call(), far_end: TrunkLeg::Answered, media_up: true, away: false },
                Carried { call: call(), far_end: TrunkLeg::EarlyMedia, media_up: false, away: true },
            ],
        },
        Event::Answer { call: call(), sdp: "v=0\r\n".to_owned() },
        Event::Prepared { call: call(), fingerprint: FINGERPRINT.to_owned(), sdp: "v=0\r\n".to_owned() },
        Event::MediaUp { call: call() },
        Event::MediaDown { call: call(), detail: "ICE disconnected".to_owned() },
        Event::Ringing { call: call() },
        Event::EarlyMedia { call: call() },
        Event::Answered { call: call() },
        Event::Rejected { call: call(), status: 486, phrase: "Busy Here".to_owned() },
        Event::TrunkUnreachable { call: call(), detail: detail() },
        Event::FarEndHungUp { call: call() },
        Event::Digit { call: call(), from: Side::Agent, digit: '*', duration_ms: 100 },
        Event::Digit { call: call(), from: Side::Visitor, digit: '7', duration_ms: 1000 },
        Event::Closed { call: call(), stats: CallStats::default() },
        Event::Closed {
            call: call(),
            stats: CallStats {
                visitor_packets: 4500,
                agent_packets: 4490,
                visitor_lost: 3,
                agent_lost: 0,
                sip_call_id: Some("a84b4c76e66710@192.0.2.1".to_owned()),
            },
        },
    ];
    let failures =
        [Failure::OfferUnusable, Failure::AnswerUnusable, Failure::Full, Failure::Undialable, Failure::FarEndSilent];
    events.extend(failures.map(|failure| Event::Failed { call: call(), failure, detail: detail() }));
    events.extend(Transport::ALL.iter().map(|transport| Event::Transport { call: call(), transport: *transport }));
    events
}

/// One message a line. Compares the values that come back from the file as well as the text that goes in.
fn assert_golden<M: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, messages: &[M]) -> Vec<Value> {
    let lines: Result<Vec<_>, _> = messages.iter().map(serde_json::to_string).collect();
    let text = lines.map(|lines| format!("[\n  {}\n]\n", lines.join(",\n  "))).unwrap_or_default();
    assert_fresh(&format!("golden/{name}.json"), &text);
    let values: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
    for (value, message) in values.iter().zip(messages) {
        assert_eq!(serde_json::from_value::<M>(value.clone()).as_ref().ok(), Some(message));
    }
    assert_eq!(values.len(), messages.len());
    values
}

fn assert_every_kind(values: &[Value], shape: &[VariantShape]) {
    let found: BTreeSet<_> = values.iter().filter_map(|value| value.get("type")?.as_str()).collect();
    let declared: BTreeSet<_> = shape.iter().map(|variant| variant.tag).collect();
    assert_eq!(found, declared);
}

#[test]
fn the_visitors_requests_read_and_write_alike_with_and_without_serde() {
    let messages = visitor_requests();
    let values = assert_golden("visitor-requests", &messages);
    assert_every_kind(&values, VisitorRequest::SHAPE);
    for (value, message) in values.iter().zip(&messages) {
        assert_eq!(VisitorRequest::read(&Json(value)).as_ref(), Ok(message));
        assert_eq!(&written(|writer| message.write(writer)), value);
    }
}

#[test]
fn the_visitors_events_read_and_write_alike_with_and_without_serde() {
    let messages = visitor_events();
    let values = assert_golden("visitor-events", &messages);
    assert_every_kind(&values, VisitorEvent::SHAPE);
    for (value, message) in values.iter().zip(&messages) {
        assert_eq!(VisitorEvent::read(&Json(value)).as_ref(), Ok(message));
        assert_eq!(&written(|writer| message.write(writer)), value);
    }
}

#[test]
fn the_gateways_commands_and_events_stay_as_they_are() {
    let values = assert_golden("gateway-commands", &commands());
    for (value, command) in values.iter().zip(commands()) {
        assert_eq!(value.get("call").and_then(Value::as_str), Some(command.call().as_str()));
    }
    let values = assert_golden("gateway-events", &gateway_events());
    for (value, event) in values.iter().zip(gateway_events()) {
        assert_eq!(value.get("call").and_then(Value::as_str), event.call().map(CallId::as_str));
    }
}

#[test]
fn counts_that_an_older_gateway_does_not_send_are_zero() {
    let text = format!(r#"{{"type":"closed","call":"{CALL}","stats":{{"visitor_packets":5}}}}"#);
    let stats = CallStats { visitor_packets: 5, ..CallStats::default() };
    assert_eq!(serde_json::from_str::<Event>(&text).ok(), Some(Event::Closed { call: CallId::from(CALL), stats }));
}
