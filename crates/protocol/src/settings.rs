//! What can be set on the shopper's side from afar, by the keys of an ordinary phone or by a desk.
//!
//! Not here: who may set what (the merchant decides), and how it comes about (the panel's business).

use crate::visitor::{VisitorEvent, VisitorRequest};

/// The softest that something can be set, in dB: still heard in a quiet room.
pub const MIN_DB: i32 = -24;

/// The loudest, in dB: four times the amplitude; beyond, ordinary speech clips.
pub const MAX_DB: i32 = 12;

/// One step of a key, in dB: heard at once, and not startling.
pub const STEP_DB: i32 = 4;

/// The best score of a connection; 1 is the worst (ITU-T G.109 has as many categories).
pub const MAX_SCORE: u32 = 5;

/// The longest name of a device that is passed on, in bytes.
pub const MAX_DEVICE_BYTES: usize = 256;

/// Devices of one kind that are listed: studios have some twenty.
const MAX_DEVICES: usize = 64;

words! {
    /// What keeps the far end from hearing itself, from the weakest to the strongest.
    pub enum EchoLayer {
        /// Nothing: for headsets, and for comparing.
        Off = "off",
        /// The browser's own canceller; the default.
        Browser = "browser",
        /// Half duplex: while the far end speaks, the shopper is turned down.
        Suppressor = "suppressor",
        /// Our own canceller in the browser's place.
        Canceller = "canceller",
    }
}

words! {
    /// Whose doing it is that the shopper's page or settings change.
    pub enum By {
        /// Somebody at the far end, by keys.
        Agent = "agent",
        /// A desk, over the REST API.
        Desk = "desk",
    }
}

words! {
    /// What a merchant may forbid to be done from afar.
    pub enum Setting {
        /// Showing pages.
        Page = "page",
        /// The level of what the shopper says.
        Microphone = "microphone",
        /// The level of what the shopper hears.
        Speaker = "speaker",
        /// The layer that keeps the echo away.
        Echo = "echo",
        /// The browser's noise suppression.
        NoiseSuppression = "noise_suppression",
        /// Which microphone.
        InputDevice = "input_device",
        /// Which loudspeaker.
        OutputDevice = "output_device",
        /// Muting the microphone.
        Mute = "mute",
        /// Testing the connection's quality.
        QualityTest = "quality_test",
    }
}

impl EchoLayer {
    /// The next stronger layer, or the next weaker one; `None` at the end.
    pub fn step(self, up: bool) -> Option<Self> {
        let at = Self::ALL.iter().position(|layer| *layer == self)?;
        let to = if up { at.checked_add(1) } else { at.checked_sub(1) };
        to.and_then(|to| Self::ALL.get(to)).copied()
    }
}

/// What `PATCH /v1/calls/{call}/settings` takes, and `set` carries: what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// The amplification of what the shopper says, −24 to 12 dB.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub microphone_db: Option<i32>,
    /// `true` mutes the microphone. `false` is refused: only the shopper opens it again.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub muted: Option<bool>,
    /// The amplification of what the shopper hears, −24 to 12 dB.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub speaker_db: Option<i32>,
    /// What shall keep the echo away.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub echo: Option<EchoLayer>,
    /// Whether the browser shall take noise out of what the shopper says.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub noise_suppression: Option<bool>,
    /// The microphone, by one of the names in `input_devices`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub input_device: Option<String>,
    /// The loudspeaker or headset, by one of the names in `output_devices`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub output_device: Option<String>,
    /// `true` tests the connection's quality.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub quality_test: Option<bool>,
}

impl Change {
    /// The message that asks the panel for it.
    pub fn into_event(self, by: By) -> VisitorEvent {
        let Self {
            microphone_db,
            muted,
            speaker_db,
            echo,
            noise_suppression,
            input_device,
            output_device,
            quality_test,
        } = self;
        VisitorEvent::Set {
            by,
            microphone_db,
            muted,
            speaker_db,
            echo,
            noise_suppression,
            input_device,
            output_device,
            quality_test,
        }
    }

    /// The change that does both: what `before` asks for, as far as this does not ask for something else.
    #[must_use]
    pub fn over(self, before: Self) -> Self {
        Self {
            microphone_db: self.microphone_db.or(before.microphone_db),
            muted: self.muted.or(before.muted),
            speaker_db: self.speaker_db.or(before.speaker_db),
            echo: self.echo.or(before.echo),
            noise_suppression: self.noise_suppression.or(before.noise_suppression),
            input_device: self.input_device.or(before.input_device),
            output_device: self.output_device.or(before.output_device),
            quality_test: self.quality_test.or(before.quality_test),
        }
    }

    /// What it touches, for what the merchant forbids.
    pub fn touches(&self) -> impl Iterator<Item = Setting> {
        [
            self.microphone_db.is_some().then_some(Setting::Microphone),
            self.muted.is_some().then_some(Setting::Mute),
            self.speaker_db.is_some().then_some(Setting::Speaker),
            self.echo.is_some().then_some(Setting::Echo),
            self.noise_suppression.is_some().then_some(Setting::NoiseSuppression),
            self.input_device.is_some().then_some(Setting::InputDevice),
            self.output_device.is_some().then_some(Setting::OutputDevice),
            self.quality_test.is_some().then_some(Setting::QualityTest),
        ]
        .into_iter()
        .flatten()
    }
}

/// What is really set on the shopper's side, as the panel told last. What is absent, it has not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct State {
    /// The amplification of what the shopper says, in dB.
    pub microphone_db: Option<i32>,
    /// The microphone is muted.
    pub muted: Option<bool>,
    /// The amplification of what the shopper hears, in dB.
    pub speaker_db: Option<i32>,
    /// What keeps the echo away.
    pub echo: Option<EchoLayer>,
    /// The browser takes noise out of what the shopper says.
    pub noise_suppression: Option<bool>,
    /// The microphone's name.
    pub input_device: Option<String>,
    /// The loudspeaker's name.
    pub output_device: Option<String>,
    /// What could be `input_device`.
    pub input_devices: Vec<String>,
    /// What could be `output_device`.
    pub output_devices: Vec<String>,
    /// A test of the connection's quality runs.
    pub quality_test: Option<bool>,
    /// What the last test has found: how good the connection is, from 1 to 5. Gone when another begins.
    pub quality_score: Option<u32>,
    /// The round trip between browser and gateway, in ms.
    pub round_trip_ms: Option<u32>,
    /// How unevenly packets come to the browser, in ms.
    pub jitter_ms: Option<u32>,
    /// What is lost of what the shopper says, in percent.
    pub said_lost_percent: Option<u32>,
    /// What is lost of what the shopper hears, in percent.
    pub heard_lost_percent: Option<u32>,
    /// What the shopper hears in the place of sound that was not there in time, in percent.
    pub concealed_percent: Option<u32>,
}

impl State {
    /// Takes in what a `settings` tells; other messages tell nothing.
    pub fn learn(&mut self, told: VisitorRequest) {
        fn put<T>(slot: &mut Option<T>, told: Option<T>) {
            if told.is_some() {
                *slot = told;
            }
        }
        let name = |name: String| name.chars().take(MAX_DEVICE_BYTES / 4).collect::<String>();
        let lines = |text: String| text.lines().map(|line| name(line.to_owned())).take(MAX_DEVICES).collect();
        if let VisitorRequest::Settings {
            microphone_db,
            muted,
            speaker_db,
            echo,
            noise_suppression,
            input_device,
            output_device,
            input_devices,
            output_devices,
            quality_test,
            quality_score,
            round_trip_ms,
            jitter_ms,
            said_lost_percent,
            heard_lost_percent,
            concealed_percent,
            refused: _,
        } = told
        {
            if quality_test == Some(true) {
                (self.quality_score, self.round_trip_ms, self.jitter_ms) = (None, None, None);
                (self.said_lost_percent, self.heard_lost_percent, self.concealed_percent) = (None, None, None);
            }
            put(&mut self.microphone_db, microphone_db);
            put(&mut self.muted, muted);
            put(&mut self.speaker_db, speaker_db);
            put(&mut self.echo, echo);
            put(&mut self.noise_suppression, noise_suppression);
            put(&mut self.input_device, input_device.map(name));
            put(&mut self.output_device, output_device.map(name));
            put(&mut self.quality_test, quality_test);
            put(&mut self.quality_score, quality_score.filter(|score| (1..=MAX_SCORE).contains(score)));
            put(&mut self.round_trip_ms, round_trip_ms);
            put(&mut self.jitter_ms, jitter_ms);
            put(&mut self.said_lost_percent, said_lost_percent);
            put(&mut self.heard_lost_percent, heard_lost_percent);
            put(&mut self.concealed_percent, concealed_percent);
            self.input_devices = input_devices.map_or_else(|| core::mem::take(&mut self.input_devices), lines);
            self.output_devices = output_devices.map_or_else(|| core::mem::take(&mut self.output_devices), lines);
        }
    }

    /// Whether all that the change asks for is so.
    pub fn satisfies(&self, change: &Change) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, found: &Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        is(&change.microphone_db, &self.microphone_db)
            && is(&change.muted, &self.muted)
            && is(&change.speaker_db, &self.speaker_db)
            && is(&change.echo, &self.echo)
            && is(&change.noise_suppression, &self.noise_suppression)
            && is(&change.input_device, &self.input_device)
            && is(&change.output_device, &self.output_device)
            && is(&change.quality_test, &self.quality_test)
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn echo_layers_step_from_weak_to_strong_and_end_at_both_ends() {
        assert_eq!(EchoLayer::Browser.step(true), Some(EchoLayer::Suppressor));
        assert_eq!(EchoLayer::Browser.step(false), Some(EchoLayer::Off));
        assert_eq!((EchoLayer::Off.step(false), EchoLayer::Canceller.step(true)), (None, None));
    }

    #[test]
    fn a_report_changes_what_it_tells_and_nothing_else() {
        let told = |text: &str| -> Result<VisitorRequest, serde_json::Error> { serde_json::from_str(text) };
        let mut state = State::default();
        let change = Change { speaker_db: Some(4), muted: Some(true), ..Change::default() };
        assert!(!state.satisfies(&change) && state.satisfies(&Change::default()));
        let report = told(r#"{"type":"settings","speaker_db":4,"input_devices":"One\nTwo"}"#);
        assert!(report.is_ok());
        state.learn(report.unwrap_or(VisitorRequest::Ready {}));
        assert_eq!((state.speaker_db, state.input_devices.len(), state.muted), (Some(4), 2, None));
        assert!(!state.satisfies(&change));
        state.learn(told(r#"{"type":"settings","muted":true}"#).unwrap_or(VisitorRequest::Ready {}));
        assert!(state.satisfies(&change) && state.input_devices.len() == 2);
        assert_eq!(change.touches().collect::<Vec<_>>(), [Setting::Mute, Setting::Speaker]);
    }

    #[test]
    fn a_test_that_begins_forgets_what_the_last_has_found_and_a_score_that_is_none_is_not_taken() {
        let told = |text: &str| serde_json::from_str(text).unwrap_or(VisitorRequest::Ready {});
        let mut state = State::default();
        state.learn(told(r#"{"type":"settings","quality_test":false,"quality_score":4,"round_trip_ms":80}"#));
        assert_eq!((state.quality_score, state.round_trip_ms), (Some(4), Some(80)));
        state.learn(told(r#"{"type":"settings","quality_test":true}"#));
        assert_eq!((state.quality_test, state.quality_score, state.round_trip_ms), (Some(true), None, None));
        state.learn(told(r#"{"type":"settings","quality_test":false,"quality_score":4000000000}"#));
        assert_eq!((state.quality_test, state.quality_score), (Some(false), None));
    }
}
