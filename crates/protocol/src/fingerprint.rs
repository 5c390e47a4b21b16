//! The fingerprint of a DTLS certificate as it stands in SDP (RFC 8122 section 5): `sha-256 4A:AD:…`. Not here: the certificate.

/// Octets of a SHA-256 digest.
const OCTETS: usize = 32;

/// The first fingerprint in a description, with its hash function.
pub fn of_sdp(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=fingerprint:")).map(str::trim_end)
}

/// Whether it is one of SHA-256, which is the one that browsers make.
pub fn is_sha256(fingerprint: &str) -> bool {
    let Some(digest) = fingerprint.strip_prefix("sha-256 ") else { return false };
    let is_octet = |octet: &str| octet.len() == 2 && octet.bytes().all(|digit| digit.is_ascii_hexdigit());
    digest.split(':').count() == OCTETS && digest.split(':').all(is_octet)
}

/// Whether both are of the same certificate: hexadecimal digits have no case.
pub fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_found_in_a_description_and_told_from_what_is_none() {
        let digest = ["4A"; OCTETS].join(":");
        let good = format!("sha-256 {digest}");
        assert_eq!(of_sdp(&format!("v=0\r\na=fingerprint:{good}\r\na=setup:actpass\r\n")), Some(good.as_str()));
        assert_eq!(of_sdp("v=0\r\n"), None);
        let table = [
            (good.clone(), true),
            (good.to_lowercase(), true),
            (format!("sha-1 {digest}"), false),
            (format!("{good}:4A"), false),
            (good.replacen("4A", "4", 1), false),
            (good.replacen("4A", "4G", 1), false),
            ("sha-256 ".to_owned(), false),
            (String::new(), false),
        ];
        for (text, is_good) in table {
            assert_eq!(is_sha256(&text), is_good, "{text}");
        }
        assert!(is_same(&good, &good.to_lowercase()) && !is_same(&good, &good.replacen('A', "B", 1)));
    }
}
