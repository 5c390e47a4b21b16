//! Messages of `protocol` as JavaScript objects, and those as JSON: the browser's own parser and printer do the work.

use alloc::string::String;
use js_sys::{JSON, Object, Reflect};
use protocol::visitor::{VisitorEvent, VisitorRequest};
use protocol::{ReadError, Reader, Writer};
use wasm_bindgen::JsValue;

struct Message(JsValue);

impl Message {
    fn get(&self, key: &str) -> Option<JsValue> {
        Reflect::get(&self.0, &JsValue::from_str(key)).ok()
    }

    fn set(&self, key: &str, value: &JsValue) {
        // Fails on frozen objects and on proxies; this is a fresh plain one.
        let _ = Reflect::set(&self.0, &JsValue::from_str(key), value);
    }
}

impl Reader for Message {
    fn string(&self, key: &str) -> Option<String> {
        self.get(key)?.as_string()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    fn boolean(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }
}

impl Writer for Message {
    fn string(&mut self, key: &'static str, value: &str) {
        self.set(key, &JsValue::from_str(value));
    }

    fn number(&mut self, key: &'static str, value: f64) {
        self.set(key, &JsValue::from_f64(value));
    }

    fn boolean(&mut self, key: &'static str, value: bool) {
        self.set(key, &JsValue::from_bool(value));
    }
}

/// Reads what the server sent. A text that is no JSON counts as one without a `type`.
pub(crate) fn read(text: &str) -> Result<VisitorEvent, ReadError> {
    VisitorEvent::read(&Message(object(text)))
}

/// A message as the panel's script reads it; `undefined` where the text is no JSON.
pub(crate) fn object(text: &str) -> JsValue {
    JSON::parse(text).unwrap_or(JsValue::UNDEFINED)
}

/// Writes what the server is to read, as JSON.
pub(crate) fn write(request: &VisitorRequest) -> String {
    let mut message = Message(Object::new().into());
    request.write(&mut message);
    JSON::stringify(&message.0).map(String::from).unwrap_or_default()
}
