//! Commands: what the far end's keys mean, as the REST API, the configuration and the store write them.
//!
//! A sequence is a star and 1 to [`MAX_KEYS`] − 1 further keys, so that plain digits never wait for what may follow. Not here:
//! how keys become commands (the switchboard's business), and which pages a merchant may name (the server's).

use crate::settings::Setting;
use serde::{Deserialize, Serialize};

/// The longest sequence, its star included: nobody keys more by heart.
pub const MAX_KEYS: usize = 12;

/// The longest address of a page or resolver, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;

/// The shortest and the longest pause that ends a sequence which could go on, in milliseconds.
pub const PAUSE_MS: core::ops::RangeInclusive<u32> = 300..=5_000;

/// The usual pause: longer than a hand needs from key to key.
pub const DEFAULT_PAUSE_MS: u32 = 1_500;

words! {
    /// What a command does.
    pub enum Action {
        /// The shopper's page goes to `url`.
        Page = "page",
        /// The merchant's own server at `url` is asked for the page.
        Resolve = "resolve",
        /// What the shopper hears becomes louder by one step.
        SpeakerLouder = "speaker_louder",
        /// What the shopper hears becomes softer by one step.
        SpeakerSofter = "speaker_softer",
        /// What the shopper says becomes louder by one step.
        MicrophoneLouder = "microphone_louder",
        /// What the shopper says becomes softer by one step.
        MicrophoneSofter = "microphone_softer",
        /// The next stronger layer against echo.
        EchoUp = "echo_up",
        /// The next weaker layer against echo.
        EchoDown = "echo_down",
        /// The shopper's microphone is muted.
        Mute = "mute",
        /// The quality of the shopper's connection is tested.
        QualityTest = "quality_test",
        /// Nothing: the keys pass as plain digits. Takes a default away.
        Off = "off",
    }
}

impl Action {
    /// Whether it goes with an address.
    pub fn wants_url(self) -> bool {
        matches!(self, Self::Page | Self::Resolve)
    }

    /// What a merchant forbids when this shall not be possible.
    pub fn touches(self) -> Option<Setting> {
        match self {
            Self::Page | Self::Resolve => Some(Setting::Page),
            Self::SpeakerLouder | Self::SpeakerSofter => Some(Setting::Speaker),
            Self::MicrophoneLouder | Self::MicrophoneSofter => Some(Setting::Microphone),
            Self::EchoUp | Self::EchoDown => Some(Setting::Echo),
            Self::Mute => Some(Setting::Mute),
            Self::QualityTest => Some(Setting::QualityTest),
            Self::Off => None,
        }
    }
}

/// What a merchant has from the beginning: twice the same key is more, the key and a zero is less.
pub const DEFAULTS: [(&str, Action, &str); 8] = [
    ("*22", Action::SpeakerLouder, "The shopper hears you louder"),
    ("*20", Action::SpeakerSofter, "The shopper hears you softer"),
    ("*88", Action::MicrophoneLouder, "You hear the shopper louder"),
    ("*80", Action::MicrophoneSofter, "You hear the shopper softer"),
    ("*33", Action::EchoUp, "More against echo"),
    ("*30", Action::EchoDown, "Less against echo"),
    ("*66", Action::Mute, "Mute the shopper's microphone"),
    ("*99", Action::QualityTest, "Test the shopper's connection"),
];

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The keys: `*` and 1 to 11 of `0`–`9`, `A`–`D`.
    pub sequence: String,
    /// What it does.
    pub action: Action,
    /// For `page`: a path of the shop, or an absolute address of one of the merchant's origins; `{customer}`, `{call}`,
    /// `{sequence}` and `{page}` in path, query or fragment stand for what they name, percent-encoded. For `resolve`: the
    /// address of the merchant's server, https unless the operator allows its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What agents read on their card; at most 100 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
}

/// What `PUT /v1/merchants/{merchant}/commands/{sequence}` takes: a [`Command`] whose sequence stands in the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CommandWrite {
    /// What it does.
    pub action: Action,
    /// As in a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What agents read on their card.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
}

impl CommandWrite {
    /// The command of that sequence.
    pub fn at(self, sequence: String) -> Command {
        Command { sequence, action: self.action, url: self.url, label: self.label }
    }
}

/// Whether keys can be a command's sequence.
pub fn is_sequence(keys: &str) -> bool {
    let rest = keys.strip_prefix('*');
    rest.is_some_and(|rest| {
        (1..MAX_KEYS).contains(&rest.len()) && rest.bytes().all(|key| is_plain_key(char::from(key)))
    })
}

/// Whether a key may stand behind a sequence's star.
pub fn is_plain_key(key: char) -> bool {
    key.is_ascii_digit() || ('A'..='D').contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_a_star_and_some_plain_keys() {
        for keys in ["*7", "*76", "*00000000000", "*A1"] {
            assert!(is_sequence(keys), "{keys}");
        }
        for keys in ["", "*", "76", "*7#", "**7", "*7*", "#7", "*7a", "* 7", "*000000000000", "*½"] {
            assert!(!is_sequence(keys), "{keys}");
        }
        assert!(DEFAULTS.iter().all(|(sequence, action, _)| is_sequence(sequence) && !action.wants_url()));
    }
}
