//! Digest credentials for requests that were challenged (RFC 7616, RFC 8760): MD5 and SHA-256, their `-sess` forms, with
//! `qop=auth` or none. We never challenge anybody ourselves. rsipstack's own digest stays unused: it gives up on
//! `algorithm=SHA-256`.

use crate::config::Password;
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Retries of one request because its nonce was stale: a server that says so for ever ends here.
const MAX_STALE: u8 = 2;

/// Challenges that one call may meet: a proxy or two and the far end itself.
const MAX_REALMS: usize = 4;

/// Who we are.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Password,
}

/// Whose challenge it is: this decides about header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenger {
    /// 401, `WWW-Authenticate`, `Authorization`.
    UserAgent,
    /// 407, `Proxy-Authenticate`, `Proxy-Authorization`.
    Proxy,
}

/// Answers challenges over the life of a call, and remembers them: later requests bring credentials unasked.
#[derive(Clone, Debug)]
pub(super) struct Authenticator {
    credentials: Option<Credentials>,
    realms: Vec<Realm>,
    stale: u8,
}

#[derive(Clone, Debug)]
struct Realm {
    challenger: Challenger,
    challenge: Challenge,
    /// How often the nonce was used.
    nonce_count: u32,
    /// Whether the request at hand has been sent with an answer to a challenge to itself.
    answered: bool,
}

impl Authenticator {
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials, realms: Vec::new(), stale: 0 }
    }

    /// A new request begins: it may be challenged anew.
    pub(super) fn begin(&mut self) {
        self.stale = 0;
        for realm in &mut self.realms {
            realm.answered = false;
        }
    }

    /// Takes the challenges of a 401 or 407. Whether sending the request again, with [`Self::answers`], makes sense: not
    /// when the credentials themselves were refused, when we have none, or when we know none of the algorithms.
    pub(super) fn take(&mut self, challenger: Challenger, headers: &[&str]) -> bool {
        if self.credentials.is_none() {
            return false;
        }
        let mut offered: Vec<Challenge> = headers.iter().flat_map(|header| Challenge::parse_all(header)).collect();
        // Stronger first; the sort is stable, so that the server's order decides among equals (RFC 7616 section 3.7).
        offered.sort_by_key(|challenge| challenge.algorithm.preference());
        let room = self.realms.len() < MAX_REALMS;
        let mut taken: Vec<String> = Vec::new();
        let mut retry = false;
        for challenge in offered {
            if taken.contains(&challenge.realm) {
                continue;
            }
            taken.push(challenge.realm.clone());
            let known =
                self.realms.iter_mut().find(|r| r.challenger == challenger && r.challenge.realm == challenge.realm);
            match known {
                Some(realm) if realm.answered && !(challenge.stale && self.stale < MAX_STALE) => return false,
                Some(realm) => {
                    self.stale += u8::from(realm.answered);
                    *realm = Realm { challenger, challenge, nonce_count: 0, answered: true };
                    retry = true;
                }
                None if room => {
                    self.realms.push(Realm { challenger, challenge, nonce_count: 0, answered: true });
                    retry = true;
                }
                None => return false,
            }
        }
        retry
    }

    /// The values of `Authorization` and `Proxy-Authorization` for a request. `cnonce` is fresh randomness.
    pub(super) fn answers(&mut self, method: &str, uri: &str, cnonce: &str) -> Vec<(Challenger, String)> {
        let Some(credentials) = &self.credentials else { return Vec::new() };
        let answer = |realm: &mut Realm| {
            realm.nonce_count += 1;
            (realm.challenger, realm.challenge.answer(credentials, method, uri, cnonce, realm.nonce_count))
        };
        self.realms.iter_mut().map(answer).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5 { session: bool },
    Sha256 { session: bool },
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        let (name, session) = match name.len().checked_sub(5).and_then(|at| name.split_at_checked(at)) {
            Some((base, suffix)) if suffix.eq_ignore_ascii_case("-sess") => (base, true),
            Some(_) | None => (name, false),
        };
        if name.eq_ignore_ascii_case("SHA-256") {
            Some(Self::Sha256 { session })
        } else {
            name.eq_ignore_ascii_case("MD5").then_some(Self::Md5 { session })
        }
    }

    const fn preference(self) -> u8 {
        match self {
            Self::Sha256 { .. } => 0,
            Self::Md5 { .. } => 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Md5 { session: false } => "MD5",
            Self::Md5 { session: true } => "MD5-sess",
            Self::Sha256 { session: false } => "SHA-256",
            Self::Sha256 { session: true } => "SHA-256-sess",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 { .. } => hex::encode(Md5::digest(text.as_bytes())),
            Self::Sha256 { .. } => hex::encode(Sha256::digest(text.as_bytes())),
        }
    }

    const fn is_session(self) -> bool {
        match self {
            Self::Md5 { session } | Self::Sha256 { session } => session,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether the server knows `qop=auth`; without it the answer is RFC 2069's.
    qop_auth: bool,
    stale: bool,
}

impl Challenge {
    /// The challenges of one header field that we can answer.
    fn parse_all(header: &str) -> Vec<Self> {
        let mut challenges: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
        for item in split_quoted(header) {
            let item = item.trim();
            // `Digest realm="x"` begins a challenge, `nonce="y"` continues one.
            let (scheme, parameter) = match item.split_once([' ', '\t']) {
                Some((word, rest)) if !word.contains('=') => (Some(word), rest.trim()),
                Some(_) | None => (None, item),
            };
            if let Some(scheme) = scheme {
                challenges.push((scheme, Vec::new()));
            }
            if let (Some((_, parameters)), Some((name, value))) = (challenges.last_mut(), parameter.split_once('=')) {
                parameters.push((name.trim(), unquote(value.trim())));
            }
        }
        challenges
            .iter()
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Digest"))
            .filter_map(|(_, parameters)| Self::of_parameters(parameters))
            .collect()
    }

    fn of_parameters(parameters: &[(&str, String)]) -> Option<Self> {
        let get = |wanted: &str| {
            parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
        };
        let qop = get("qop");
        let qop_auth =
            qop.as_ref().is_some_and(|list| list.split(',').any(|word| word.trim().eq_ignore_ascii_case("auth")));
        // `auth-int` alone: nothing that we could answer.
        (qop.is_none() || qop_auth).then_some(())?;
        Some(Self {
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm: get("algorithm")
                .map_or(Some(Algorithm::Md5 { session: false }), |name| Algorithm::parse(&name))?,
            qop_auth,
            stale: get("stale").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }

    /// RFC 7616 section 3.4.
    fn answer(&self, who: &Credentials, method: &str, uri: &str, cnonce: &str, count: u32) -> String {
        let hash = |text: String| self.algorithm.hash(&text);
        let (realm, nonce) = (&self.realm, &self.nonce);
        let mut ha1 = hash(format!("{}:{realm}:{}", who.username, who.password.reveal()));
        if self.algorithm.is_session() {
            ha1 = hash(format!("{ha1}:{nonce}:{cnonce}"));
        }
        let ha2 = hash(format!("{method}:{uri}"));
        let response = if self.qop_auth {
            hash(format!("{ha1}:{nonce}:{count:08x}:{cnonce}:auth:{ha2}"))
        } else {
            hash(format!("{ha1}:{nonce}:{ha2}"))
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri=\"{uri}\", response=\"{response}\", algorithm={}",
            quote(&who.username),
            quote(realm),
            quote(nonce),
            self.algorithm.name(),
        );
        if self.qop_auth {
            value.push_str(&format!(", qop=auth, cnonce=\"{cnonce}\", nc={count:08x}"));
        } else if self.algorithm.is_session() {
            value.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque={}", quote(opaque)));
        }
        value
    }
}

/// Splits at commas outside quoted strings.
fn split_quoted(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    items.extend(text.get(start..));
    items
}

/// A quoted-string (RFC 3261 section 25.1).
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => out.extend(letters.next()),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authenticator(username: &str, password: &str) -> Authenticator {
        Authenticator::new(Some(Credentials { username: username.to_owned(), password: Password::new(password) }))
    }

    fn answer(authenticator: &mut Authenticator, method: &str, uri: &str, cnonce: &str) -> String {
        authenticator.answers(method, uri, cnonce).pop().map(|(_, value)| value).unwrap_or_default()
    }

    /// RFC 7616 section 3.9.1, whose example offers both algorithms.
    #[test]
    fn the_example_of_rfc_7616_comes_out() {
        let challenge = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let mut client = authenticator("Mufasa", "Circle of Life");
            assert!(client.take(Challenger::UserAgent, &[&challenge(algorithm)]));
            let value = answer(&mut client, "GET", "/dir/index.html", cnonce);
            assert!(value.contains(&format!("response=\"{response}\"")), "{value}");
            assert!(value.contains(&format!("algorithm={algorithm},")) && value.contains("nc=00000001"), "{value}");
        }
    }

    #[test]
    fn sha_256_is_preferred_when_md5_is_offered_too() {
        for headers in [
            &["Digest realm=\"r\", nonce=\"1\", algorithm=MD5", "Digest realm=\"r\", nonce=\"1\", algorithm=SHA-256"][..],
            &["Digest realm=\"r\", nonce=\"1\", algorithm=MD5, Digest realm=\"r\", nonce=\"1\", algorithm=SHA-256"][..],
        ] {
            let mut client = authenticator("a", "b");
            assert!(client.take(Challenger::Proxy, headers));
            let answers = client.answers("INVITE", "sip:x", "c");
            assert_eq!(answers.len(), 1);
            assert!(
                answers.iter().all(|(who, value)| *who == Challenger::Proxy && value.contains("algorithm=SHA-256"))
            );
        }
    }

    #[test]
    fn a_challenge_to_our_credentials_is_not_answered_again() {
        let mut client = authenticator("a", "wrong");
        client.begin();
        assert!(client.take(Challenger::UserAgent, &["Digest realm=\"r\", nonce=\"1\""]));
        assert!(!client.take(Challenger::UserAgent, &["Digest realm=\"r\", nonce=\"2\""]));
    }

    #[test]
    fn a_stale_nonce_is_replaced_but_not_for_ever() {
        let mut client = authenticator("a", "b");
        client.begin();
        assert!(client.take(Challenger::UserAgent, &["Digest realm=\"r\", nonce=\"1\""]));
        for nonce in ["2", "3"] {
            let header = format!("Digest realm=\"r\", nonce=\"{nonce}\", stale=TRUE");
            assert!(client.take(Challenger::UserAgent, &[&header]));
            assert!(answer(&mut client, "INVITE", "sip:x", "c").contains(&format!("nonce=\"{nonce}\"")));
        }
        assert!(!client.take(Challenger::UserAgent, &["Digest realm=\"r\", nonce=\"4\", stale=true"]));
    }

    #[test]
    fn a_later_request_counts_the_nonce_up_and_may_be_challenged_anew() {
        let mut client = authenticator("a", "b");
        assert!(client.take(Challenger::UserAgent, &["Digest realm=\"r\", nonce=\"1\", qop=auth"]));
        assert!(answer(&mut client, "INVITE", "sip:x", "c").contains("nc=00000001"));
        client.begin();
        assert!(answer(&mut client, "BYE", "sip:x", "c").contains("nc=00000002"));
        assert!(client.take(Challenger::UserAgent, &["Digest realm=\"r\", nonce=\"9\", qop=auth"]));
        assert!(answer(&mut client, "BYE", "sip:x", "c").contains("nc=00000001"));
    }

    #[test]
    fn a_proxy_and_the_far_end_are_both_answered() {
        let mut client = authenticator("a", "b");
        assert!(client.take(Challenger::Proxy, &["Digest realm=\"p\", nonce=\"1\""]));
        assert!(client.take(Challenger::UserAgent, &["Digest realm=\"u\", nonce=\"2\""]));
        let who: Vec<_> = client.answers("INVITE", "sip:x", "c").into_iter().map(|(who, _)| who).collect();
        assert_eq!(who, [Challenger::Proxy, Challenger::UserAgent]);
    }

    #[test]
    fn what_cannot_be_answered_is_left() {
        let mut client = authenticator("a", "b");
        for header in [
            "Basic realm=\"r\"",
            "Digest realm=\"r\"",
            "Digest realm=\"r\", nonce=\"1\", algorithm=SHA-512-256",
            "Digest realm=\"r\", nonce=\"1\", qop=\"auth-int\"",
            "",
            "=,\"",
            "Digest",
        ] {
            assert!(!client.take(Challenger::UserAgent, &[header]), "{header}");
        }
        assert!(!Authenticator::new(None).take(Challenger::UserAgent, &["Digest realm=\"r\", nonce=\"1\""]));
    }

    #[test]
    fn a_comma_within_quotes_separates_nothing() {
        let challenges = Challenge::parse_all(r#"Digest realm="a, \"b\"", nonce="x,y""#);
        let read: Vec<_> = challenges.iter().map(|c| (c.realm.as_str(), c.nonce.as_str())).collect();
        assert_eq!(read, [(r#"a, "b""#, "x,y")]);
    }

    proptest! {
        #[test]
        fn whatever_a_challenge_says_nothing_panics(header in "\\PC{0,80}") {
            let mut client = authenticator("a", "b");
            client.take(Challenger::UserAgent, &[&header]);
            let _ = client.answers("INVITE", "sip:x", "c");
        }
    }
}
