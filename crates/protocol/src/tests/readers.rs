//! The readers and writers without serde, held against serde: over any message, and over what is nearly one.

use crate::error::ErrorCode;
use crate::visitor::{CallState, EndReason, Quality, VisitorEvent, VisitorRequest};
use crate::{ReadError, Reader, Writer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A parsed JSON value, read as the browser reads a JavaScript object.
pub(super) struct Json<'a>(pub(super) &'a Value);

impl Reader for Json<'_> {
    fn string(&self, key: &str) -> Option<String> {
        self.0.get(key)?.as_str().map(str::to_owned)
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.0.get(key)?.as_f64()
    }

    fn boolean(&self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }
}

#[derive(Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    fn set(&mut self, key: &str, value: Value) {
        assert_eq!(self.0.insert(key.to_owned(), value), None, "{key} is written twice");
    }
}

impl Writer for Object {
    fn string(&mut self, key: &'static str, value: &str) {
        self.set(key, value.into());
    }

    fn number(&mut self, key: &'static str, value: f64) {
        // As `JSON.stringify` does, which knows no `1.0`.
        self.set(key, if value.fract() == 0.0 { (value as i64).into() } else { value.into() });
    }

    fn boolean(&mut self, key: &'static str, value: bool) {
        self.set(key, value.into());
    }
}

pub(super) fn written(write: impl FnOnce(&mut Object)) -> Value {
    let mut object = Object::default();
    write(&mut object);
    Value::Object(object.0)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z0-9:.= \r\n\"\\\\]{0,40}"]
}

fn code() -> impl Strategy<Value = ErrorCode> {
    prop::sample::select(ErrorCode::ALL)
}

fn requests() -> impl Strategy<Value = VisitorRequest> {
    let maybe = || prop::option::of(text());
    prop_oneof![
        (
            (any::<u32>(), text(), text()),
            [maybe(), maybe(), maybe(), maybe(), maybe(), maybe()],
            prop::option::of(any::<bool>()),
            prop::option::of(any::<u32>())
        )
            .prop_map(|((version, token, origin), texts, takeover, seen)| {
                let [page, customer, destination_token, resume, session, fingerprint] = texts;
                VisitorRequest::Hello {
                    version,
                    token,
                    origin,
                    page,
                    customer,
                    destination_token,
                    resume,
                    takeover,
                    session,
                    seen,
                    fingerprint,
                }
            }),
        any::<u32>().prop_map(|seen| VisitorRequest::Ping { seen }),
        (text(), proptest::option::of(proptest::sample::select(Quality::ALL)))
            .prop_map(|(sdp, quality)| VisitorRequest::Offer { sdp, quality }),
        text().prop_map(|candidate| VisitorRequest::Candidate { candidate }),
        Just(VisitorRequest::Ready {}),
        Just(VisitorRequest::Hangup {}),
        (code(), maybe()).prop_map(|(code, detail)| VisitorRequest::Failed { code, detail }),
    ]
}

fn events() -> impl Strategy<Value = VisitorEvent> {
    prop_oneof![
        (any::<u32>(), text(), text(), text()).prop_map(|(version, call, merchant, link)| VisitorEvent::Welcome {
            version,
            call,
            merchant,
            link
        }),
        text().prop_map(|sdp| VisitorEvent::Answer { sdp }),
        prop::sample::select(CallState::ALL).prop_map(|state| VisitorEvent::State { state }),
        text().prop_map(|token| VisitorEvent::Resume { token }),
        (prop::sample::select(CallState::ALL), any::<u32>())
            .prop_map(|(state, answered_ms)| VisitorEvent::Resumed { state, answered_ms }),
        (text(), any::<u32>()).prop_map(|(digit, duration_ms)| VisitorEvent::Digit { digit, duration_ms }),
        (code(), text()).prop_map(|(code, message)| VisitorEvent::Error { code, message }),
        (prop::sample::select(EndReason::ALL), prop::option::of(code()), text())
            .prop_map(|(reason, code, message)| VisitorEvent::Ended { reason, code, message }),
    ]
}

/// An object with the keys of messages and anything under them.
fn near_messages() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "version",
        "token",
        "origin",
        "page",
        "customer",
        "resume",
        "takeover",
        "session",
        "seen",
        "received",
        "sent",
        "answered_ms",
        "sdp",
        "candidate",
        "code",
        "detail",
        "call",
        "merchant",
        "link",
        "state",
        "digit",
        "duration_ms",
        "message",
        "reason",
        "extra",
    ]);
    let tags = VisitorRequest::SHAPE.iter().chain(VisitorEvent::SHAPE).map(|variant| variant.tag.to_owned());
    let tag = prop_oneof![20 => prop::sample::select(tags.collect::<Vec<_>>()).prop_map(Value::from), 1 => any::<u8>().prop_map(Value::from)];
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("RL-101")),
        Just(json!("ringing")),
        Just(json!("busy")),
        text().prop_map(Value::from),
        Just(json!([1])),
        Just(json!({"a": "b"})),
    ];
    (tag, prop::collection::btree_map(keys, value, 0..21)).prop_map(|(tag, fields)| {
        let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
        Value::Object(fields.chain([("type".to_owned(), tag)]).collect())
    })
}

proptest! {
    #[test]
    fn any_request_reads_and_writes_alike_with_and_without_serde(message in requests()) {
        let value = serde_json::to_value(&message)?;
        prop_assert_eq!(&written(|writer| message.write(writer)), &value);
        prop_assert_eq!(VisitorRequest::read(&Json(&value)), Ok(message.clone()));
        prop_assert_eq!(serde_json::from_value::<VisitorRequest>(value)?, message);
    }

    #[test]
    fn any_event_reads_and_writes_alike_with_and_without_serde(message in events()) {
        let value = serde_json::to_value(&message)?;
        prop_assert_eq!(&written(|writer| message.write(writer)), &value);
        prop_assert_eq!(VisitorEvent::read(&Json(&value)), Ok(message.clone()));
        prop_assert_eq!(serde_json::from_value::<VisitorEvent>(value)?, message);
    }

    /// The reader takes a little more: `1.0` for a whole number, and a malformed optional field for an absent one.
    #[test]
    fn what_serde_takes_for_a_message_the_reader_takes_for_the_same(value in near_messages()) {
        if let Ok(message) = serde_json::from_value::<VisitorRequest>(value.clone()) {
            prop_assert_eq!(VisitorRequest::read(&Json(&value)), Ok(message));
        }
        if let Ok(message) = serde_json::from_value::<VisitorEvent>(value.clone()) {
            prop_assert_eq!(VisitorEvent::read(&Json(&value)), Ok(message));
        }
    }
}

#[test]
fn a_message_that_cannot_be_read_names_what_is_wrong() {
    let table = [
        (json!({"sdp": "v=0"}), ReadError::UnknownType),
        (json!({"type": 7}), ReadError::UnknownType),
        (json!({"type": "answer_later"}), ReadError::UnknownType),
        (json!("answer"), ReadError::UnknownType),
        (json!({"type": "answer"}), ReadError::Field("sdp")),
        (json!({"type": "answer", "sdp": null}), ReadError::Field("sdp")),
        (json!({"type": "answer", "sdp": 1}), ReadError::Field("sdp")),
        (json!({"type": "state", "state": "dreaming"}), ReadError::Field("state")),
        (json!({"type": "digit", "digit": "1", "duration_ms": -1}), ReadError::Field("duration_ms")),
        (json!({"type": "digit", "digit": "1", "duration_ms": 0.5}), ReadError::Field("duration_ms")),
        (json!({"type": "digit", "digit": "1", "duration_ms": 4_294_967_296_u64}), ReadError::Field("duration_ms")),
        (json!({"type": "digit", "digit": "1", "duration_ms": "80"}), ReadError::Field("duration_ms")),
    ];
    for (value, error) in table {
        assert_eq!(VisitorEvent::read(&Json(&value)), Err(error), "{value}");
        assert!(serde_json::from_value::<VisitorEvent>(value.clone()).is_err(), "{value}");
    }
}

#[test]
fn an_error_code_of_a_newer_server_does_not_hide_that_the_call_ended() {
    let value = json!({"type": "ended", "reason": "busy", "code": "RL-999", "message": "Busy.", "hint": [1, 2]});
    let ended = VisitorEvent::Ended { reason: EndReason::Busy, code: None, message: "Busy.".to_owned() };
    assert_eq!(VisitorEvent::read(&Json(&value)), Ok(ended));
}

#[test]
fn every_word_stands_for_one_thing_alone() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_word(code.word()), Some(*code));
    }
    for reason in EndReason::ALL {
        assert_eq!(EndReason::from_word(reason.word()), Some(*reason));
        assert_eq!(serde_json::to_value(reason).ok(), Some(Value::from(reason.word())));
    }
    assert_eq!(CallState::from_word("Ringing"), None);
}
