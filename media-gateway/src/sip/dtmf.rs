//! Keys in INFO bodies, as PBXs send them that know no RFC 4733: `application/dtmf-relay` (`Signal=5`, `Duration=160`) and
//! `application/dtmf` (the bare key). Neither was ever standardised; RFC 6086 describes the practice.

/// What is meant when no duration is given.
const DEFAULT_DURATION_MS: u32 = 250;

/// Longer than anybody holds a key.
const MAX_DURATION_MS: u32 = 10_000;

/// A key and how long it was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) digit: char,
    pub(super) duration_ms: u32,
}

/// Reads an INFO body. `None` when it is something else, or names no key.
pub(super) fn parse(content_type: &str, body: &[u8]) -> Option<Key> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let text = std::str::from_utf8(body).ok()?;
    if kind.eq_ignore_ascii_case("application/dtmf-relay") {
        let field = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        };
        let duration = field("Duration").and_then(|(_, value)| value.trim().parse().ok());
        return key(field("Signal")?.1, duration);
    }
    kind.eq_ignore_ascii_case("application/dtmf").then(|| key(text, None)).flatten()
}

fn key(signal: &str, duration_ms: Option<u32>) -> Option<Key> {
    let mut letters = signal.trim().chars();
    let digit = match (letters.next(), letters.next()) {
        (Some(letter), None) => letter.to_ascii_uppercase(),
        // Some write the event code for the star and the hash.
        (Some('1'), Some('0')) => '*',
        (Some('1'), Some('1')) => '#',
        (Some(_) | None, _) => return None,
    };
    let known = digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D');
    known.then(|| Key { digit, duration_ms: duration_ms.unwrap_or(DEFAULT_DURATION_MS).min(MAX_DURATION_MS) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read() {
        let read = |kind, body: &str| parse(kind, body.as_bytes()).map(|key| (key.digit, key.duration_ms));
        assert_eq!(read("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"), Some(('5', 160)));
        assert_eq!(read("Application/DTMF-Relay; x=y", "Signal= #\nDuration=x\n"), Some(('#', 250)));
        assert_eq!(read("application/dtmf-relay", "Signal=10\r\n"), Some(('*', 250)));
        assert_eq!(read("application/dtmf", "d"), Some(('D', 250)));
        assert_eq!(read("application/dtmf-relay", "Duration=160\r\n"), None);
        assert_eq!(read("application/dtmf", "E"), None);
        assert_eq!(read("text/plain", "5"), None);
        assert_eq!(parse("application/dtmf", &[0xff]), None);
    }
}
