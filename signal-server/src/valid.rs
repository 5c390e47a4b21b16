//! What makes a value valid that people write: bounds of texts, numbers and SIP addresses.

/// The longest name or label.
pub(crate) const MAX_NAME_CHARS: usize = 100;

/// The longest number, user part or SIP URI.
const MAX_ADDRESS_BYTES: usize = 256;

/// A name as the panel shows it.
pub(crate) fn is_name(text: &str) -> bool {
    let chars = text.chars().count();
    (1..=MAX_NAME_CHARS).contains(&chars) && text.trim() == text && !text.chars().any(char::is_control)
}

/// A user part of a SIP URI (RFC 3261 section 25.1, less the escapes), or a `sip:` URI without headers: those could add
/// header fields to the INVITE.
pub fn is_address(text: &str) -> bool {
    let graphic = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'\\' | b'?');
    let bounded = (1..=MAX_ADDRESS_BYTES).contains(&text.len()) && text.bytes().all(graphic);
    let uri = text.strip_prefix("sip:");
    bounded
        && match uri {
            Some(rest) => {
                rest.split_once('@').is_some_and(|(user, host)| !user.is_empty() && is_host(host)) || is_host(rest)
            }
            None => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/#".contains(&byte)),
        }
}

/// Whether it begins like a host name, an IPv4 address or an IPv6 reference; the gateway parses it for good.
fn is_host(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[') && !text.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_number_a_user_part_or_a_sip_uri_that_adds_no_header() {
        let table = [
            ("1001", true),
            ("+43123456", true),
            ("*43#", true),
            ("sip:1001@pbx.example", true),
            ("sips:pbx.example:5061;transport=tcp", false),
            ("sip:1001@[2001:db8::1]:5060", true),
            ("", false),
            ("10 01", false),
            ("1001@pbx.example", false),
            ("sip:", false),
            ("sip:@pbx.example", false),
            ("sip:1001@pbx.example?Route=x", false),
            ("sip:1001@pbx.example>\r\nX: y", false),
            ("tel:+43123456", false),
        ];
        for (text, valid) in table {
            assert_eq!(is_address(text), valid, "{text}");
        }
        assert!(!is_address(&"1".repeat(257)));
    }
}
