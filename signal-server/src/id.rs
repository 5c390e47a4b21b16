//! Fresh ids and secrets, and what an id that people choose may look like.

use crate::store::Millis;
use protocol::CallId;
use rand::Rng;

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The longest id of a merchant, link or destination.
const MAX_ID_CHARS: usize = 64;

/// A call's id: a ULID, 48 bits of time and 80 of chance in 26 characters, so that ids sort by the time they were made.
pub(crate) fn call_id(now: Millis, random: u128) -> CallId {
    let time = u128::try_from(now.0).unwrap_or_default() & ((1 << 48) - 1);
    let number = (time << 80) | (random & ((1 << 80) - 1));
    let letter = |place: u32| {
        let index = (number >> (5 * place)) & 31;
        ALPHABET.get(index as usize).map_or('0', |byte| char::from(*byte))
    };
    CallId::new((0..26).rev().map(letter).collect::<String>())
}

/// A secret of 256 bits, in hexadecimal.
pub(crate) fn secret() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A short id for something that nobody guesses at: 64 bits, in hexadecimal.
pub(crate) fn short_id() -> String {
    format!("{:016x}", rand::rng().next_u64())
}

/// Whether a text may be an id that people choose. It stands in URLs and HTML attributes, so it needs no escaping.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_a_ulid() {
        // The example of the ULID specification: 01ARZ3NDEKTSV4RRFFQ69G5FAV.
        let random = 0xD676_4C61_EFB9_9302_BD5B_u128;
        assert_eq!(call_id(Millis(1_469_922_850_259), random).as_str(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert!(call_id(Millis(1), u128::MAX) < call_id(Millis(2), 0));
    }

    #[test]
    fn an_id_needs_no_escaping_anywhere() {
        for (text, valid) in
            [("acme", true), ("a-b_c.9", true), ("", false), ("a b", false), ("a/b", false), ("é", false)]
        {
            assert_eq!(is_id(text), valid, "{text}");
        }
        assert!(is_id(&"a".repeat(64)) && !is_id(&"a".repeat(65)));
    }
}
